//! A sweep that the builder starts.

use std::sync::Arc;
use std::time::Duration;

use session_conformance::testing::MapDriver;
use session_core::{Clock as _, Driver as _, TestClock};
use session_manager::{ErrorKind, Sessions, SessionsBuilder, Sweep};
use tokio::runtime::Handle;

use crate::clock;

const OFTEN: Duration = Duration::from_millis(10);

fn builder(clock: &TestClock) -> SessionsBuilder<MapDriver> {
    Sessions::builder(MapDriver::with_clock(Arc::new(clock.clone()))).sweep(Sweep::default().every(OFTEN))
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..2_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{what} within ten seconds");
}

#[tokio::test]
async fn built_sweep_removes_expired_sessions() {
    let clock = clock();
    let sessions = builder(&clock).build().unwrap();
    let session = sessions.load(None).await.unwrap();
    session.insert("a", &1).unwrap();
    drop(sessions.finish(&session).await.unwrap());
    assert_eq!(sessions.driver().all().len(), 1);
    clock.set(clock.now().saturating_add(Duration::from_secs(3 * 3_600)));
    until("the expired session is removed", async || sessions.driver().all().is_empty()).await;
}

#[tokio::test]
async fn built_sweep_ends_with_the_last_handle_or_the_store() {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let clock = clock();
    let sessions = builder(&clock).build().unwrap();
    let other = sessions.clone();
    assert_eq!(tasks(), before + 1);
    drop(sessions);
    tokio::time::sleep(5 * OFTEN).await;
    assert_eq!(tasks(), before + 1, "a handle is left");
    drop(other);
    until("the task has ended", async || tasks() == before).await;

    let sessions = builder(&clock).build().unwrap();
    sessions.driver().close().await.unwrap();
    until("the task has ended", async || tasks() == before).await;
    drop(sessions);
}

#[test]
fn built_sweep_without_a_runtime_is_an_error() {
    let error = builder(&clock()).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("sweep needs a tokio runtime: call build inside of one"), "{error}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    builder(&clock()).build().unwrap();
}
