//! Terminated backends and limits of the server.

use session_core::Applied::{No, Unknown};
use session_core::StoreErrorKind::{Timeout, Unavailable};
use session_core::{Condition, Driver};
use session_store_postgres::PostgresStore;

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
