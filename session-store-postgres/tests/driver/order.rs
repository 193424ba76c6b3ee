//! Changes whose callers go away.

use std::time::Duration;

use session_core::{Condition, Driver};
use tokio::time::timeout;

use crate::{key, lock, nap, open, put, raw, record, server, signal, waiting};

/// The abandoned change hangs in its backend. Without the driver's care the next one would overtake it on another
/// connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn next_change_waits_for_an_abandoned_one() {
    let server = server();
    let (store, other) = (open(&server).await, raw(&server.url()).await);
    put(&store, &key("a"), record(1)).await;
    lock(&other, &key("a")).await;
    let place = key("a");
    let abandoned = store.store(&place, record(2), Condition::Any);
    assert!(timeout(Duration::from_millis(300), abandoned).await.is_err());
    let backend = waiting(&other).await;
    signal(backend, "-STOP");
    other.batch_execute("COMMIT").await.unwrap();
    let next = tokio::spawn({
        let store = store.clone();
        async move { store.store(&key("a"), record(3), Condition::Any).await }
    });
    nap(500).await;
    assert!(!next.is_finished(), "the next change did not wait");
    // Other keys do not wait.
    put(&store, &key("b"), record(4)).await;
    signal(backend, "-CONT");
    assert!(next.await.unwrap().unwrap().is_applied());
    assert_eq!(store.retrieve(&key("a")).await.unwrap(), Some(record(3)));
}
