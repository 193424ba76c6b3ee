//! What outlives its request.

use std::sync::Arc;

use crate::on_both;
use crate::scene::{Framework, Scene, soon};

on_both!(reference_follows_its_session_to_the_end);

async fn reference_follows_its_session_to_the_end(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.begun().await;
    let mut tab = browser.clone();
    let slow = tab.ask("GET", "/slow-add", &[]).await;
    soon("the handler", scene.shared.begun.notified()).await;
    let reference = Arc::new(scene.kept().reference().unwrap());
    scene.shared.go.notify_one();
    tab.rest(slow, false).await.is(200);
    let session = reference.open().await.unwrap().unwrap();
    assert_eq!(session.get::<u32>("n").unwrap(), Some(2));
    let ended = tokio::spawn({
        let reference = Arc::clone(&reference);
        async move { reference.ended().await.to_string() }
    });
    browser.get("/logout").await.is(200);
    assert_eq!(soon("the end of the session", ended).await.unwrap(), "out");
    assert!(reference.open().await.unwrap().is_none());
}
