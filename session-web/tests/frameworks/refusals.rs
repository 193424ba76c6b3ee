//! The layer's own responses.

use crate::on_both;
use crate::scene::{Framework, Scene, Setup, soon};

on_both!(
    refusal_has_the_format_that_the_client_accepts,
    error_of_a_handler_is_rendered_by_the_layer,
    changes_of_an_ended_session_are_a_conflict,
    own_refusals_replace_the_default,
);

const JSON: &str = "application/problem+json";

async fn refusal_has_the_format_that_the_client_accepts(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.begun().await;
    scene.fail(false, true);
    for (accept, kind) in [
        ("*/*", "text/plain; charset=utf-8"),
        ("text/html, application/json;q=0.5", "text/plain; charset=utf-8"),
        ("application/json", JSON),
    ] {
        for path in ["/add", "/lazy/add"] {
            let answer = browser.send("GET", path, &[("accept", accept.as_bytes())]).await.is(503);
            assert_eq!(answer.all("content-type"), [kind], "{accept} {path}");
            let json = "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\"detail\":\
                        \"Sessions are not available at the moment. Please try again.\"}";
            assert_eq!(answer.body == json, kind == JSON, "{answer:?}");
            assert!(answer.complete && answer.all("location").is_empty());
        }
    }
}

async fn error_of_a_handler_is_rendered_by_the_layer(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.begun().await;
    let answer = browser.send("GET", "/not-a-number", &[("accept", b"application/json")]).await.is(500);
    assert_eq!((answer.all("content-type"), answer.all("vary")), (vec![JSON], vec!["Cookie"]));
    assert!(answer.body.contains("\"status\":500"), "{answer:?}");
    // A CDN that keeps pages keeps no refusal.
    assert_eq!(browser.get("/cdn/read").await.is(200).all("cdn-cache-control"), ["max-age=600"]);
    let answer = browser.get("/cdn/not-a-number").await.is(500);
    assert_eq!(answer.all("cache-control"), ["no-store"]);
    for (name, _) in crate::app::FOR_A_CDN {
        assert!(answer.all(name).is_empty(), "{name}: {answer:?}");
    }
}

async fn changes_of_an_ended_session_are_a_conflict(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.begun().await;
    let mut tab = browser.clone();
    let slow = tab.ask("GET", "/lazy/save", &[]).await;
    soon("the handler", scene.shared.begun.notified()).await;
    browser.get("/logout").await.is(200);
    scene.shared.go.notify_one();
    let answer = tab.rest(slow, false).await.is(409).sets_no_cookie();
    assert!(answer.all("location").is_empty(), "{answer:?}");
    assert_eq!(answer.body, "Your session has ended, so your changes were not saved.");
}

async fn own_refusals_replace_the_default(framework: Framework) {
    let scene = Scene::with(framework, |setup| Setup { own_refusals: true, ..setup }).await;
    let mut browser = scene.begun().await;
    assert_eq!(
        browser.get("/not-a-number").await.is(500).body,
        "our own: Something went wrong with the session."
    );
    scene.fail(false, true);
    let answer = browser.get("/add").await.is(503);
    assert!(answer.body.starts_with("our own: ") && answer.all("retry-after") == ["5"], "{answer:?}");
}
