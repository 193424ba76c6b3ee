//! Changes while the body is sent.

use tokio::io::AsyncReadExt as _;

use crate::app::PIECE;
use crate::on_both;
use crate::scene::{Framework, Scene, soon};

on_both!(
    end_of_the_body_follows_its_commit,
    failed_commit_leaves_the_body_incomplete,
    dropped_body_commits_nothing,
    session_cannot_begin_after_the_head,
);

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
    // The body fails with `NoResponse`.
    let answer = browser.get("/stream").await;
    assert!(!answer.complete && answer.all("set-cookie").is_empty(), "{answer:?}");
    assert_eq!(scene.records(), 0);
}
