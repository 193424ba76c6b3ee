//! Terminated backends and limits of the server.

use std::time::Duration;

use session_core::Applied::{No, Unknown};
use session_core::StoreErrorKind::{Timeout, Unavailable};
use session_core::{Condition, Cursor, Driver, Prefix, Touch};
use session_store_postgres::{PostgresConfig, PostgresStore};
use tokio::time::timeout;

use crate::{config, fails, key, lock, open, put, raw, record, server, waiting};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminated_backend_leaves_a_change_unknown() {
    let server = server();
    let (store, other) = (open(&server).await, raw(&server.url()).await);
    put(&store, &key("a"), record(1)).await;
    lock(&other, &key("a")).await;
    let change = tokio::spawn({
        let store = store.clone();
        async move { store.store(&key("a"), record(2), Condition::Any).await }
    });
    let backend = waiting(&other).await;
    other.execute("SELECT pg_terminate_backend($1)", &[&backend]).await.unwrap();
    fails(change.await.unwrap(), Unavailable, Unknown);
    other.batch_execute("COMMIT").await.unwrap();
    assert_eq!(store.retrieve(&key("a")).await.unwrap(), Some(record(1)));
    put(&store, &key("a"), record(3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statement_timeout_changes_nothing() {
    let server = server();
    let other = raw(&server.url()).await;
    put(&open(&server).await, &key("a"), record(1)).await;
    server
        .sql(
            "CREATE ROLE app LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON sessions TO app; \
             ALTER ROLE app SET statement_timeout = '300ms'",
        )
        .unwrap();
    let store = PostgresStore::open(config(server.url_of("app"))).await.unwrap();
    lock(&other, &key("a")).await;
    fails(store.store(&key("a"), record(2), Condition::Any).await, Timeout, No);
    fails(store.remove(&key("a"), Condition::Any).await, Timeout, No);
    other.batch_execute("COMMIT").await.unwrap();
    assert_eq!(store.retrieve(&key("a")).await.unwrap(), Some(record(1)));
}

#[tokio::test]
async fn too_many_connections_are_unavailable() {
    let server = server();
    open(&server).await;
    server.sql("CREATE ROLE app LOGIN CONNECTION LIMIT 0").unwrap();
    fails(PostgresStore::open(config(server.url_of("app"))).await, Unavailable, No);
}

/// A purge leaves locked rows to the next one and does not wait.
#[tokio::test]
async fn purge_skips_locked_rows() {
    let server = server();
    let (store, other) = (open(&server).await, raw(&server.url()).await);
    for name in ["a", "b", "c"] {
        put(&store, &key(name), record(1)).await;
    }
    other.execute("UPDATE sessions SET deadline = 1, due = 1", &[]).await.unwrap();
    lock(&other, &key("b")).await;
    assert_eq!(store.purge(10).await.unwrap().removed, 2);
    other.batch_execute("COMMIT").await.unwrap();
    assert_eq!(store.purge(10).await.unwrap().removed, 1);
}

/// A server that is stopped keeps its connections and answers nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_server_times_out() {
    let server = server();
    let settings = || {
        let limit = Duration::from_secs(2);
        PostgresConfig::new(server.url()).response_timeout(limit).connect_timeout(limit)
    };
    let store = PostgresStore::open(settings()).await.unwrap();
    put(&store, &key("a"), record(1)).await;
    server.pause().unwrap();
    fails(store.store(&key("a"), record(2), Condition::Any).await, Timeout, Unknown);
    fails(store.retrieve(&key("a")).await, Timeout, No);
    fails(timeout(Duration::from_secs(20), PostgresStore::open(settings())).await.unwrap(), Timeout, No);
    server.resume().unwrap();
    // The abandoned change comes first.
    let mut last = store.store(&key("a"), record(3), Condition::Any).await;
    for _ in 0..10 {
        if last.is_ok() {
            break;
        }
        last = store.store(&key("a"), record(3), Condition::Any).await;
    }
    assert!(last.unwrap().is_applied());
    assert_eq!(store.retrieve(&key("a")).await.unwrap(), Some(record(3)));
}

/// Prepared statements answer as the others do, also after an error and on a new connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prepared_statements_make_every_operation() {
    let server = server();
    let store = PostgresStore::open(config(server.url()).prepare(true).connections(1)).await.unwrap();
    let at = |n| Condition::Revision(record(n).revision);
    for _ in 0..2 {
        for name in ["a", "b"] {
            let place = key(name);
            assert!(store.store(&place, record(1), Condition::Absent).await.unwrap().is_applied());
            assert!(!store.store(&place, record(2), Condition::Absent).await.unwrap().is_applied());
            assert!(store.store(&place, record(2), at(1)).await.unwrap().is_applied());
            put(&store, &place, record(3)).await;
            let touch = Touch { from: record(3).revision, to: record(4).revision, deadline: None };
            assert!(store.touch(&place, touch).await.unwrap());
            assert_eq!(store.retrieve(&place).await.unwrap().unwrap().revision, record(4).revision);
        }
        let page = store.traverse(&Prefix::new("user").unwrap(), Cursor::start(), 10).await.unwrap();
        assert_eq!(page.entries.len(), 2);
        for name in ["a", "b"] {
            assert!(!store.remove(&key(name), at(1)).await.unwrap().is_applied());
            assert!(store.remove(&key(name), at(4)).await.unwrap().is_applied());
        }
        assert_eq!(store.purge(10).await.unwrap().removed, 0);
        store.flush().await.unwrap();
        let names = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity \
                     WHERE application_name = 'session-kit'";
        assert_eq!(server.sql(names).unwrap(), "1");
    }
}
