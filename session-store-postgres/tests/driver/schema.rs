//! The table, its versions, and the rights of the role.

use session_core::Applied::No;
use session_core::StoreErrorKind::{Misconfigured, Missing, Timeout};
use session_core::{Condition, Driver};
use session_store_postgres::PostgresStore;
use xtask_postgres::Bouncer;

use crate::{config, fails, key, open, put, raw, record, server, waiting};

#[tokio::test]
async fn open_creates_one_table_and_keeps_it() {
    let server = server();
    fails(PostgresStore::open(config(server.url()).create_table(false)).await, Missing, No);
    let opened = tokio::join!(open(&server), open(&server), open(&server));
    put(&opened.0, &key("a"), record(1)).await;
    let again = PostgresStore::open(config(server.url()).create_table(false)).await.unwrap();
    assert_eq!(again.retrieve(&key("a")).await.unwrap(), Some(record(1)));
    let other = PostgresStore::open(config(server.url()).table("public.Other one")).await.unwrap();
    assert_eq!(other.retrieve(&key("a")).await.unwrap(), None);
}

#[tokio::test]
async fn foreign_and_newer_tables_are_refused_unchanged() {
    let server = server();
    server.sql("CREATE TABLE sessions (id int)").unwrap();
    fails(PostgresStore::open(config(server.url())).await, Misconfigured, No);
    server.sql("COMMENT ON TABLE sessions IS 'session-store-postgres, version 99'").unwrap();
    fails(PostgresStore::open(config(server.url())).await, Misconfigured, No);
    assert_eq!(server.sql("SELECT count(*) FROM sessions").unwrap(), "0");
}

#[tokio::test]
async fn power_needs_a_server_that_syncs() {
    let server = xtask_postgres::Server::start(xtask_postgres::Options::new().set("fsync", "off")).unwrap();
    fails(PostgresStore::open(config(server.url())).await, Misconfigured, No);
    let process = config(server.url()).durability(session_core::Durability::Process);
    put(&PostgresStore::open(process).await.unwrap(), &key("a"), record(1)).await;
}

#[tokio::test]
async fn wrong_user_database_and_right_are_misconfigured() {
    let server = server();
    open(&server).await;
    server.sql("CREATE ROLE app LOGIN").unwrap();
    fails(PostgresStore::open(config(server.url_of("nobody"))).await, Misconfigured, No);
    fails(PostgresStore::open(config(format!("{}x", server.url()))).await, Misconfigured, No);
    let store = PostgresStore::open(config(server.url_of("app"))).await.unwrap();
    fails(store.retrieve(&key("a")).await, Misconfigured, No);
    fails(store.store(&key("a"), record(1), Condition::Any).await, Misconfigured, No);
    server.sql("GRANT SELECT, INSERT, UPDATE, DELETE ON sessions TO app").unwrap();
    put(&store, &key("a"), record(1)).await;
    assert!(store.remove(&key("a"), Condition::Any).await.unwrap().is_applied());
    assert_eq!(store.purge(10).await.unwrap().removed, 0);
    store.close().await.unwrap();
}

/// The lock that migrations take.
const LOCK: &str = "SELECT pg_advisory_lock(x'0073657373696f6e'::bigint)";
const UNLOCK: &str = "SELECT pg_advisory_unlock_all()";

/// Behind PgBouncer the look and the migration use different backends. One backend alone would remember that the table was
/// missing, and fail to create it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_table_that_appears_meanwhile_is_refused() {
    let server = server();
    let other = raw(&server.url()).await;
    let bouncer = Bouncer::start(&server, &["postgres"]).unwrap();
    let url = bouncer.url_of("postgres");
    // Both of PgBouncer's connections exist before the look.
    let (one, two) = (raw(&url).await, raw(&url).await);
    for text in ["BEGIN", "COMMIT"] {
        one.batch_execute(text).await.unwrap();
        two.batch_execute(text).await.unwrap();
    }
    for (table, version) in [("foreign_one", ""), ("newer", "session-store-postgres, version 99")] {
        other.batch_execute(LOCK).await.unwrap();
        let opening = tokio::spawn(PostgresStore::open(config(url.clone()).table(table)));
        waiting(&other).await;
        let create = format!("CREATE TABLE {table} (id int); COMMENT ON TABLE {table} IS '{version}'");
        other.batch_execute(&create).await.unwrap();
        // After the table is committed.
        other.batch_execute(UNLOCK).await.unwrap();
        fails(opening.await.unwrap(), Misconfigured, No);
    }
}

#[tokio::test]
async fn open_waits_a_limited_time_for_a_migration() {
    let server = server();
    let other = raw(&server.url()).await;
    other.batch_execute(LOCK).await.unwrap();
    let settings = || config(server.url()).response_timeout(std::time::Duration::from_secs(1));
    fails(PostgresStore::open(settings()).await, Timeout, No);
    other.batch_execute(UNLOCK).await.unwrap();
    PostgresStore::open(settings()).await.unwrap();
}
