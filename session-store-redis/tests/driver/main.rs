//! Tests that only Redis needs: round trips, the engine's own expiry, restarts, broken and dead connections, full
//! memory, rights, TLS, and a cluster whose nodes die and whose slots move.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails where it cannot continue, and prints what it saw"
)]

mod breaks;
#[cfg(feature = "cluster")]
mod cluster;
mod counter;
mod expiry;
#[cfg(feature = "cluster")]
mod failover;
mod native;
mod outages;
mod parts;
mod proxy;
mod rights;
mod round_trips;
#[cfg(feature = "tls")]
mod tls;
mod traverse;
mod upload;

use std::time::Duration;

use session_core::{
    Applied, Change, Condition, Driver, Key, Prefix, Record, Revision, StoreError, StoreErrorKind, Timestamp,
    Touch,
};
use session_store_redis::RedisStore;
use xtask_redis::{Options, Server};

fn key(name: &str) -> Key {
    Key::parse(&format!("user:{name}")).unwrap()
}

fn record(n: u8) -> Record {
    Record::new(vec![n; 100], None, Revision::from_bytes([n; 8]))
}

/// Moves the deadline of `record(from)` and makes it `record(to)`.
fn touch(from: u8, to: u8, deadline: Option<Timestamp>) -> Touch {
    Touch { from: record(from).revision, to: record(to).revision, deadline }
}

fn at(n: u8) -> Condition {
    Condition::Revision(record(n).revision)
}

async fn put(store: &RedisStore, key: &Key, record: Record, when: Condition) {
    assert_eq!(store.store(key, record, when).await.unwrap(), Change::Applied);
}

fn server() -> Server {
    Server::start(Options::new()).unwrap()
}

async fn connect(server: &Server) -> RedisStore {
    RedisStore::open(server.url()).await.unwrap()
}

/// Fails unless the call failed like this.
#[track_caller]
fn fails<T: std::fmt::Debug>(answer: Result<T, StoreError>, kind: StoreErrorKind, applied: Applied) {
    let error = answer.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (kind, applied), "{error:?}");
}

fn users() -> Prefix {
    Prefix::new("user").unwrap()
}

/// Retries for half a minute.
async fn recovered<T>(mut call: impl AsyncFnMut() -> session_core::Result<T>) -> T {
    let mut last = None;
    for _ in 0..1_500 {
        match call().await {
            Ok(answer) => return answer,
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no recovery within half a minute: {last:?}");
}

#[test]
fn futures_beside_the_driver_are_send() {
    fn spawnable(_: impl Future + Send) {}
    let _: fn() = || spawnable(RedisStore::open("redis://127.0.0.1"));
    let _: fn(&RedisStore) = |store| spawnable(store.change_password("new"));
}
