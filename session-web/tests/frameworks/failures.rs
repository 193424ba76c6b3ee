//! The store fails, the handler fails, or the client goes away.

use session_manager::ErrorKind;
use session_web::{OnHandlerError, OnStoreError, Session};

use crate::on_both;
use crate::scene::{Framework, Scene, Setup, soon};

on_both!(
    failed_load_is_refused_and_a_policy_continues,
    failed_commit_replaces_the_response,
    lost_login_is_refused_with_every_policy,
    handler_failure_discards_changes,
    failed_handler_commits_where_configured,
    client_error_commits_changes,
    changes_that_are_not_stored_are_refused_where_asked,
    explicit_commit_survives_a_later_failure,
    dropped_request_stores_nothing,
    panic_stores_nothing_and_the_server_lives,
    clone_cannot_write_after_the_response,
    handler_outside_every_layer_is_a_500,
);

async fn failed_load_is_refused_and_a_policy_continues(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.begun().await;
    scene.fail(true, false);
    browser.get("/read").await.is(503).sets_no_cookie();
    assert_eq!(browser.get("/continue/read").await.is(200).sets_no_cookie().body, "None detached");
    scene.probe.recover();
    assert_eq!(browser.get("/read").await.is(200).body, "Some(1)");
}

async fn failed_commit_replaces_the_response(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.begun().await;
    scene.fail(false, true);
    let answer = browser.get("/add").await.is(503).sets_no_cookie();
    assert_eq!(answer.body, "Sessions are not available at the moment. Please try again.");
    assert_eq!((answer.all("retry-after"), answer.all("cache-control")), (vec!["5"], vec!["no-store"]));
    browser.get("/continue/add").await.is(200).sets_no_cookie();
    scene.probe.recover();
    assert_eq!(browser.get("/read").await.body, "Some(1)");
}

async fn lost_login_is_refused_with_every_policy(framework: Framework) {
    for policy in [OnStoreError::Reject, OnStoreError::Continue] {
        let scene = Scene::with(framework, |setup| Setup { on_store_error: policy, ..setup }).await;
        let mut browser = scene.begun().await;
        scene.fail(false, true);
        let answer = browser.get("/login").await.is(503).sets_no_cookie();
        assert!(answer.all("location").is_empty(), "{answer:?}");
        scene.probe.recover();
        assert_eq!(browser.get("/read").await.body, "Some(1)");
    }
}

async fn handler_failure_discards_changes(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.begun().await;
    browser.get("/fail").await.is(502).sets_no_cookie();
    assert_eq!(browser.get("/read").await.body, "Some(1)");
}

async fn failed_handler_commits_where_configured(framework: Framework) {
    let change = |setup| Setup { on_handler_error: OnHandlerError::Commit, ..setup };
    let scene = Scene::with(framework, change).await;
    let mut browser = scene.begun().await;
    browser.get("/fail").await.is(502);
    assert_eq!(browser.get("/read").await.body, "Some(9)");
}

async fn changes_that_are_not_stored_are_refused_where_asked(framework: Framework) {
    for (path, status) in [("/slow-add", 200), ("/strict/slow-add", 409)] {
        let scene = Scene::new(framework).await;
        let mut browser = scene.begun().await;
        let mut tab = browser.clone();
        let slow = tab.ask("GET", path, &[]).await;
        soon("the handler", scene.shared.begun.notified()).await;
        browser.get("/logout").await.is(200);
        scene.shared.go.notify_one();
        tab.rest(slow, false).await.is(status).sets_no_cookie();
        assert_eq!(scene.records(), 0, "{path}");
    }
}

async fn client_error_commits_changes(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.begun().await;
    browser.get("/not-found").await.is(404);
    assert_eq!(browser.get("/read").await.body, "Some(9)");
}

async fn explicit_commit_survives_a_later_failure(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.browser();
    assert_eq!(browser.get("/commit-then-fail").await.is(500).all("set-cookie").len(), 1);
    assert_eq!(browser.get("/read").await.body, "Some(9)");
}

async fn dropped_request_stores_nothing(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.begun().await;
    let stream = browser.ask("GET", "/slow-add", &[]).await;
    soon("the handler", scene.shared.begun.notified()).await;
    // A reset: actix-web lets a handler finish whose client has only closed its side.
    stream.set_zero_linger().unwrap();
    drop(stream);
    soon("the drop of the handler", scene.shared.dropped.notified()).await;
    is_over(&scene.kept()).await;
    assert_eq!(browser.get("/read").await.is(200).body, "Some(1)");
}

async fn panic_stores_nothing_and_the_server_lives(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.begun().await;
    let stream = browser.ask("GET", "/slow-panic", &[]).await;
    soon("the handler", scene.shared.begun.notified()).await;
    scene.shared.go.notify_one();
    // The server closes the connection without an answer.
    let mut rest = Vec::new();
    let mut stream = stream;
    let _ = soon("the end", tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest)).await;
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    is_over(&scene.kept()).await;
    assert_eq!(browser.get("/read").await.is(200).body, "Some(1)");
}

/// The layer drops its part of a request right after the handler, or after the connection.
async fn is_over(session: &Session) {
    let over = async {
        while session.insert("n", &5).is_ok() {
            tokio::task::yield_now().await;
        }
    };
    soon("the end of the request", over).await;
    assert_eq!(session.insert("n", &5).unwrap_err().kind(), ErrorKind::Committed);
}

async fn clone_cannot_write_after_the_response(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.begun().await;
    let mut tab = browser.clone();
    let stream = tab.ask("GET", "/slow-add", &[]).await;
    scene.shared.go.notify_one();
    tab.rest(stream, false).await.is(200);
    let session = scene.kept();
    assert_eq!(session.insert("n", &5).unwrap_err().kind(), ErrorKind::Committed);
    assert_eq!(session.destroy("late").await.unwrap_err().kind(), ErrorKind::Committed);
    assert_eq!(browser.get("/read").await.body, "Some(2)");
}

async fn handler_outside_every_layer_is_a_500(framework: Framework) {
    let scene = Scene::new(framework).await;
    let answer = scene.browser().get("/outside").await.is(500);
    assert_eq!(answer.body, "Something went wrong with the session.");
}
