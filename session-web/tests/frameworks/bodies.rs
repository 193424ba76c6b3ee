//! Changes while the body is sent.

use tokio::io::AsyncReadExt as _;

use session_manager::ErrorKind;

use crate::app::{LONG, PIECE};
use crate::on_both;
use crate::scene::{Framework, Scene, soon};

on_both!(
    end_of_the_body_follows_its_commit,
    failed_commit_leaves_the_body_incomplete,
    dropped_body_commits_nothing,
    session_cannot_begin_after_the_head,
    write_during_a_slow_body_is_kept,
    logout_during_a_body_is_final,
);

/// The end of a chunked body.
const END: &[u8] = b"\r\n0\r\n\r\n";

async fn end_of_the_body_follows_its_commit(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.begun().await;
    let answer = browser.get("/stream").await.is(200);
    assert!(answer.complete && answer.body.len() == 3 * PIECE, "{}", answer.body.len());
    // No request of this client can be earlier.
    assert_eq!(browser.get("/read").await.body, "Some(4)");
}

async fn failed_commit_leaves_the_body_incomplete(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.begun().await;
    scene.fail(false, true);
    // A server may abort the connection before it has sent the head.
    let answer = browser.get("/stream").await;
    assert!(!answer.complete, "the client takes a failed answer for complete");
    scene.probe.recover();
    assert_eq!(browser.get("/read").await.body, "Some(1)");
}

async fn dropped_body_commits_nothing(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.begun().await;
    let mut stream = browser.ask("GET", "/stream-forever", &[]).await;
    let mut some = vec![0; 10 * PIECE];
    soon("ten pieces", stream.read_exact(&mut some)).await.unwrap();
    drop(stream);
    assert_eq!(browser.get("/read").await.body, "Some(1)");
}

async fn session_cannot_begin_after_the_head(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.browser();
    let answer = browser.get("/stream").await;
    assert!(!answer.complete && answer.all("set-cookie").is_empty(), "{answer:?}");
    assert_eq!(*scene.shared.failed.lock().unwrap(), Some(ErrorKind::NoResponse));
    assert_eq!(scene.records(), 0);
}

async fn write_during_a_slow_body_is_kept(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.begun().await;
    let mut stream = browser.ask("GET", "/stream-long", &[]).await;
    let mut bytes = vec![0; 10 * PIECE];
    soon("ten pieces", stream.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(browser.get("/add").await.is(200).body, "2");
    assert_eq!(browser.get("/read").await.body, "Some(2)", "the body is not at its end");
    soon("the end of the body", stream.read_to_end(&mut bytes)).await.unwrap();
    assert!(bytes.ends_with(END));
    assert_eq!(browser.get("/read").await.body, format!("Some({})", 2 + LONG));
}

async fn logout_during_a_body_is_final(framework: Framework) {
    for (path, is_complete) in [("/stream-long", true), ("/strict/stream-long", false)] {
        let scene = Scene::new(framework).await;
        let mut browser = scene.begun().await;
        let mut tab = browser.clone();
        let mut stream = browser.ask("GET", path, &[]).await;
        let mut bytes = vec![0; 10 * PIECE];
        soon("ten pieces", stream.read_exact(&mut bytes)).await.unwrap();
        assert_eq!(tab.get("/logout").await.is(200).body, "true");
        // A server that aborts a body may reset the connection.
        let _ = soon("the end of the body", stream.read_to_end(&mut bytes)).await;
        assert_eq!(bytes.ends_with(END), is_complete, "{path}");
        assert_eq!(scene.records(), 0, "{path}");
        assert!(browser.get("/read").await.is(200).body.starts_with("None"), "{path}");
    }
}
