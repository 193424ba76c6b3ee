//! What is particular to RedisStore: round trips, the engine's own expiry, restarts, connections that break or lead nowhere,
//! memory that is full, rights, TLS, and a cluster whose nodes die and whose slots move.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails where it cannot go on, and says what it saw"
)]

mod breaks;
#[cfg(feature = "cluster")]
mod cluster;
mod counter;
mod expiry;
#[cfg(feature = "cluster")]
mod failover;
mod outages;
mod proxy;
mod rights;
mod round_trips;
#[cfg(feature = "tls")]
mod tls;
mod traverse;

use std::time::Duration;

use session_core::{Change, Condition, Driver, Key, Record, Revision};
use session_store_redis::{RedisConfig, RedisStore};
use xtask_redis::{Options, Server};

fn key(name: &str) -> Key {
    Key::parse(&format!("user:{name}")).unwrap()
}

fn record(n: u8) -> Record {
    Record::new(vec![n; 100], None, Revision::from_bytes([n; 8]))
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
    RedisStore::connect(RedisConfig::new(server.url())).await.unwrap()
}

/// Tries until it works, for half a minute.
async fn recovered<T>(mut call: impl AsyncFnMut() -> session_core::Result<T>) -> T {
    let mut last = None;
    for _ in 0..300 {
        match call().await {
            Ok(answer) => return answer,
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it does not work again: {last:?}");
}
