//! Tests that only PostgreSQL needs: the table and its versions, PgBouncer, settings, durability, the order of abandoned changes,
//! terminated backends, limits of the server, TLS, and failover to a standby.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot continue")]

mod bouncer;
mod close;
mod connect;
mod durability;
mod failover;
mod faults;
mod index;
mod large;
mod order;
mod round_trips;
mod runtimes;
mod schema;
mod settings;
mod switch;
mod time;
#[cfg(feature = "tls")]
mod tls;

use std::time::Duration;

use session_core::{Applied, Condition, Driver, Key, Record, Revision, StoreError, StoreErrorKind};
use session_store_postgres::{PostgresConfig, PostgresStore, deadpool_postgres};
use tokio_postgres::{Client, NoTls};
use xtask_postgres::{Options, Server};

fn key(name: &str) -> Key {
    Key::parse(&format!("user:{name}")).unwrap()
}

fn record(n: u8) -> Record {
    Record::new(vec![n; 100], None, Revision::from_bytes([n; 8]))
}

fn server() -> Server {
    Server::start(Options::new()).unwrap()
}

/// With time limits for a loaded machine.
fn config(url: String) -> PostgresConfig {
    PostgresConfig::new(url)
        .response_timeout(Duration::from_secs(20))
        .connect_timeout(Duration::from_secs(10))
}

async fn open(server: &Server) -> PostgresStore {
    PostgresStore::open(config(server.url())).await.unwrap()
}

async fn put(store: &PostgresStore, key: &Key, record: Record) {
    assert!(store.store(key, record, Condition::Any).await.unwrap().is_applied());
}

/// A connection of the tests' own.
async fn raw(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A pool as an application makes it.
fn pool(url: &str) -> deadpool_postgres::Pool {
    let manager = deadpool_postgres::Manager::new(url.parse().unwrap(), NoTls);
    deadpool_postgres::Pool::builder(manager).build().unwrap()
}

/// The number of the driver's connections.
fn connections(server: &Server) -> String {
    server.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'session-kit'").unwrap()
}

/// Locks the row of a key until the client commits.
async fn lock(client: &Client, key: &Key) {
    client.batch_execute("BEGIN").await.unwrap();
    let sql = "SELECT 1 FROM sessions WHERE key = $1 FOR UPDATE";
    assert_eq!(client.query(sql, &[&key.as_bytes()]).await.unwrap().len(), 1);
}

/// The process of the backend that waits for a lock.
async fn waiting(client: &Client) -> i32 {
    let sql = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    for _ in 0..1_000 {
        if let Some(row) = client.query(sql, &[]).await.unwrap().first() {
            return row.get(0);
        }
        nap(10).await;
    }
    panic!("no backend waits for a lock");
}

async fn nap(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

fn signal(process: i32, signal: &str) {
    let status = std::process::Command::new("kill").args([signal, &process.to_string()]).status();
    assert!(status.unwrap().success());
}

/// Fails unless the call failed like this.
#[track_caller]
fn fails<T: std::fmt::Debug>(answer: Result<T, StoreError>, kind: StoreErrorKind, applied: Applied) {
    let error = answer.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (kind, applied), "{error:?}");
}

#[test]
fn opening_futures_are_send() {
    fn spawnable(_: impl Future + Send) {}
    let _: fn(PostgresConfig) = |config| spawnable(PostgresStore::open(config));
    let _: fn(deadpool_postgres::Pool, PostgresConfig) =
        |pool, config| spawnable(PostgresStore::with_pool(pool, config));
}
