//! Changes whose callers go away.

use std::time::Duration;

use session_core::{Condition, Driver};
use session_store_postgres::PostgresStore;
use tokio::time::timeout;

use crate::switch::Switch;
use crate::{config, key, lock, nap, open, put, raw, record, server, signal, waiting};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abandoned_change_ends_without_a_cancel() {
    let server = server();
    put(&open(&server).await, &key("a"), record(1)).await;
    let other = raw(&server.url()).await;
    let settings = config(String::new()).response_timeout(Duration::from_secs(2));
    let pool = Switch::new(server.port()).pool(4);
    let store = PostgresStore::with_pool(pool, settings).await.unwrap();
    for condition in [Condition::Any, Condition::Absent, Condition::Revision(record(1).revision)] {
        lock(&other, &key("a")).await;
        let place = key("a");
        let abandoned = store.store(&place, record(2), condition);
        assert!(timeout(Duration::from_millis(500), abandoned).await.is_err());
        none_waits(&other).await;
        let removal = store.remove(&place, condition);
        assert!(timeout(Duration::from_millis(500), removal).await.is_err());
        none_waits(&other).await;
        let touch = session_core::Touch { from: record(1).revision, to: record(2).revision, deadline: None };
        assert!(timeout(Duration::from_millis(500), store.touch(&place, touch)).await.is_err());
        none_waits(&other).await;
        other.batch_execute("COMMIT").await.unwrap();
        assert_eq!(store.retrieve(&key("a")).await.unwrap(), Some(record(1)));
    }
    put(&store, &key("a"), record(3)).await;
}

/// Waits until no statement waits for a lock, as the lock is held.
async fn none_waits(client: &tokio_postgres::Client) {
    waiting(client).await;
    let sql = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    for _ in 0..500 {
        if client.query(sql, &[]).await.unwrap().is_empty() {
            return;
        }
        nap(10).await;
    }
    panic!("a statement waits for a lock");
}
