//! Closing during other calls.

use std::time::Duration;

use session_core::Applied::No;
use session_core::StoreErrorKind::Closed;
use session_core::{Condition, Driver, Durability};
use session_store_postgres::PostgresStore;
use tokio::time::timeout;

use crate::{config, fails, key, lock, nap, open, pool, put, raw, record, server, waiting};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_that_waits_for_a_connection_is_closed() {
    let server = server();
    let store = PostgresStore::open(config(server.url()).connections(1)).await.unwrap();
    put(&store, &key("a"), record(1)).await;
    let other = raw(&server.url()).await;
    lock(&other, &key("a")).await;
    let change = |name: &'static str| {
        let store = store.clone();
        tokio::spawn(async move { store.store(&key(name), record(2), Condition::Any).await })
    };
    let first = change("a");
    waiting(&other).await;
    let waits = change("b");
    nap(100).await;
    // Its flush waits too. An abandoned close closes the store all the same.
    assert!(timeout(Duration::from_millis(200), store.close()).await.is_err());
    fails(waits.await.unwrap(), Closed, No);
    fails(store.retrieve(&key("a")).await, Closed, No);
    store.close().await.unwrap();
    other.batch_execute("COMMIT").await.unwrap();
    assert!(first.await.unwrap().unwrap().is_applied());
}

/// A change after the flush of `close` would be acknowledged and not on disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn close_lets_no_change_in_after_its_flush_began() {
    let server = server();
    let put_first = open(&server).await;
    put(&put_first, &key("a"), record(1)).await;
    let pool = pool(&server.url());
    let settings = config(String::new()).durability(Durability::Process);
    let store = PostgresStore::with_pool(pool.clone(), settings).await.unwrap();
    // The flush waits until a connection is free.
    let mut taken = Vec::new();
    while taken.len() < pool.status().max_size {
        taken.push(pool.get().await.unwrap());
    }
    let closing = tokio::spawn({
        let store = store.clone();
        async move { store.close().await }
    });
    nap(200).await;
    fails(
        timeout(Duration::from_secs(1), store.remove(&key("a"), Condition::Any)).await.unwrap(),
        Closed,
        No,
    );
    drop(taken);
    closing.await.unwrap().unwrap();
    // The application's pool stays open.
    assert_eq!(put_first.retrieve(&key("a")).await.unwrap(), Some(record(1)));
    drop(pool.get().await.unwrap());
}
