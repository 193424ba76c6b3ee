//! Values of concurrent and successive requests.

use std::sync::Arc;

use session_core::Operation;
use tokio::sync::Barrier;

use crate::on_both;
use crate::scene::{Framework, Scene};

on_both!(
    counter_counts_every_visit,
    unused_session_makes_no_call_and_no_header,
    eight_concurrent_updates_add_up,
    concurrent_writes_of_two_keys_keep_both,
    value_is_taken_once,
    flash_is_shown_once,
    head_request_consumes_no_flash,
    typed_value_is_updated,
    typed_value_is_saved_and_migrated,
    polling_does_not_move_the_deadline,
    large_value_is_read_back,
);

async fn counter_counts_every_visit(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.browser();
    for n in 1..=3 {
        assert_eq!(browser.get("/add").await.is(200).body, n.to_string());
    }
    assert_eq!((browser.cookies.len(), scene.records()), (1, 1));
}

async fn unused_session_makes_no_call_and_no_header(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.begun().await;
    for path in ["/never", "/lazy/untouched"] {
        let answer = browser.get(path).await.is(200).sets_no_cookie();
        assert!(answer.all("vary").is_empty() && answer.all("cache-control").is_empty(), "{answer:?}");
        assert_eq!(answer.body, "hello");
    }
    assert_eq!(scene.probe.operations(), []);
    assert_eq!(browser.get("/read").await.is(200).all("vary"), ["Cookie"]);
    assert_eq!(scene.probe.operations(), [Operation::Retrieve]);
    browser.get("/add").await.is(200);
    assert_eq!(scene.probe.operations(), [Operation::Retrieve, Operation::Store]);
}

async fn eight_concurrent_updates_add_up(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.begun().await;
    // All of them have loaded the session before the first one stores it.
    *scene.shared.both.lock().unwrap() = Some(Arc::new(Barrier::new(8)));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let mut tab = browser.clone();
            tokio::spawn(async move { tab.get("/add").await.is(200) })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(browser.get("/read").await.body, "Some(9)");
}

async fn concurrent_writes_of_two_keys_keep_both(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.begun().await;
    *scene.shared.both.lock().unwrap() = Some(Arc::new(Barrier::new(2)));
    let (mut one, mut two) = (browser.clone(), browser.clone());
    let (one, two) = tokio::join!(one.get("/insert-a"), two.get("/insert-b"));
    one.is(200).sets_no_cookie();
    two.is(200).sets_no_cookie();
    assert_eq!(browser.get("/keys").await.body, "insert-a insert-b n");
}

async fn value_is_taken_once(framework: Framework) {
    let scene = Scene::new(framework).await;
    let browser = scene.begun().await;
    *scene.shared.both.lock().unwrap() = Some(Arc::new(Barrier::new(2)));
    let (mut one, mut two) = (browser.clone(), browser);
    let (one, two) = tokio::join!(one.get("/spend"), two.get("/spend"));
    let mut seen = [one, two].map(|answer| (answer.status, answer.body == "Some(1)"));
    seen.sort_unstable();
    assert_eq!(seen, [(200, true), (503, false)]);
}

async fn flash_is_shown_once(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.browser();
    assert_eq!(browser.get("/say").await.is(303).all("location"), ["/said"]);
    assert_eq!(browser.get("/said").await.body, "hello");
    assert_eq!(browser.get("/said").await.body, "");
}

async fn head_request_consumes_no_flash(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.browser();
    for path in ["/said", "/said-and-committed", "/said-and-cleared"] {
        browser.get("/say").await.is(303);
        let answer = browser.send("HEAD", path, &[]).await.is(200);
        assert!(answer.complete && answer.body.is_empty(), "{answer:?}");
        assert_eq!(browser.get(path).await.body, "hello", "{path}");
        assert_eq!(browser.get(path).await.body, "", "{path}");
    }
}

async fn typed_value_is_updated(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.browser();
    for n in ["1", "2"] {
        assert_eq!(browser.get("/visit").await.is(200).body, n);
    }
}

async fn typed_value_is_saved_and_migrated(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.begun().await;
    browser.get("/old-settings").await.is(200);
    for n in ["8", "9"] {
        assert_eq!(browser.get("/visit").await.is(200).body, n);
    }
    browser.get("/start-again").await.is(200);
    assert_eq!(browser.get("/visit").await.is(200).body, "1");
    // A value that is of no known type is an error, and the others are there.
    browser.get("/unknown-settings").await.is(200);
    browser.get("/visit").await.is(500).sets_no_cookie();
    assert_eq!(browser.get("/keys").await.is(200).body, "n settings");
    assert_eq!(browser.get("/read").await.is(200).body, "Some(1)");
}

async fn polling_does_not_move_the_deadline(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.begun().await;
    let later = std::time::Duration::from_secs(20 * 60);
    scene.clock.advance(later);
    browser.get("/polling/read").await.is(200);
    assert_eq!(scene.probe.operations(), [Operation::Retrieve]);
    browser.get("/read").await.is(200);
    assert_eq!(scene.probe.operations(), [Operation::Retrieve, Operation::Touch]);
}

async fn large_value_is_read_back(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.browser();
    browser.get("/large").await.is(200);
    assert_eq!(browser.get("/keys").await.body, "large");
}
