//! Stores that live longer than a runtime.

use std::time::Duration;

use session_core::{Condition, Driver};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::{connections, key, lock, nap, open, put, raw, record, server, waiting};

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn key_is_free_after_the_end_of_the_opening_runtime() {
    let server = server();
    let first = runtime();
    let store = first.block_on(open(&server));
    drop(first);
    runtime().block_on(async {
        put(&store, &key("a"), record(1)).await;
        let other = raw(&server.url()).await;
        lock(&other, &key("a")).await;
        let place = key("a");
        let abandoned = store.store(&place, record(2), Condition::Any);
        assert!(timeout(Duration::from_millis(300), abandoned).await.is_err());
        waiting(&other).await;
        other.batch_execute("COMMIT").await.unwrap();
        put(&store, &key("a"), record(3)).await;
        assert_eq!(store.retrieve(&key("a")).await.unwrap(), Some(record(3)));
    });
}

#[test]
fn key_is_free_after_the_end_of_the_caller_runtime() {
    let server = server();
    let first = runtime();
    let store = first.block_on(open(&server));
    first.block_on(put(&store, &key("a"), record(1)));
    let other = first.block_on(raw(&server.url()));
    first.block_on(lock(&other, &key("a")));
    let second = runtime();
    let abandoned = second.spawn({
        let store = store.clone();
        async move { store.store(&key("a"), record(2), Condition::Any).await }
    });
    first.block_on(waiting(&other));
    second.shutdown_timeout(Duration::from_secs(10));
    assert!(first.block_on(abandoned).is_err());
    first.block_on(async {
        other.batch_execute("COMMIT").await.unwrap();
        put(&store, &key("a"), record(3)).await;
        assert_eq!(store.retrieve(&key("a")).await.unwrap(), Some(record(3)));
    });
}

#[test]
fn connection_outlives_the_runtime_of_its_first_call() {
    let server = server();
    let first = runtime();
    let store = first.block_on(open(&server));
    server
        .sql("SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE application_name = 'session-kit'")
        .unwrap();
    assert_eq!(connections(&server), "0");
    let second = runtime();
    assert_eq!(second.block_on(store.retrieve(&key("a"))).unwrap(), None);
    drop(second);
    first.block_on(nap(300));
    assert_eq!(connections(&server), "1");
    first.block_on(put(&store, &key("a"), record(1)));
    assert_eq!(connections(&server), "1");
}
