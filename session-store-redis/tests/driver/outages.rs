//! A server that is killed, hangs, is full or is absent.

use std::time::Duration;

use session_core::StoreErrorKind::{Closed, Timeout, Unavailable};
use session_core::{Applied, Condition, Driver, StoreErrorKind};
use session_store_redis::{RedisConfig, RedisStore};
use xtask_redis::{Options, Server};

use crate::counter::{Counters, all_there};
use crate::{connect, fails, key, put, record, recovered, server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_killed_under_load_loses_no_write() {
    let mut server = Server::start(Options::new().lasting()).unwrap();
    let store = connect(&server).await;
    let counters = Counters::begin(&store, (0..8).map(|n| key(&n.to_string()))).await;
    for _ in 0..3 {
        counters.steps(100).await;
        server.kill();
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.restart().unwrap();
    }
    counters.steps(100).await;
    let counters = counters.end().await;
    all_there(&counters);
    assert!(counters.iter().any(|counter| counter.errors > 0), "no call met a kill");
}

#[tokio::test]
async fn call_waits_for_a_restart_up_to_its_timeout() {
    let mut server = Server::start(Options::new().lasting()).unwrap();
    let patient = RedisConfig::new(server.url()).response_timeout(Duration::from_secs(60));
    let patient = RedisStore::open(patient).await.unwrap();
    let hasty = RedisStore::open(RedisConfig::new(server.url()).response_timeout(Duration::from_millis(200)))
        .await
        .unwrap();
    put(&patient, &key("a"), record(1), Condition::Absent).await;
    server.kill();
    // The first call may meet the end of the connection.
    drop(hasty.store(&key("a"), record(2), Condition::Any).await);
    fails(hasty.store(&key("a"), record(2), Condition::Any).await, Unavailable, Applied::No);
    let read = tokio::spawn({
        let patient = patient.clone();
        async move { patient.retrieve(&key("a")).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!read.is_finished());
    server.restart().unwrap();
    assert_eq!(read.await.unwrap().unwrap(), Some(record(1)));
}

#[tokio::test]
async fn hung_server_is_a_timeout_of_unknown_effect() {
    let server = server();
    let config = RedisConfig::new(server.url()).response_timeout(Duration::from_millis(200));
    let store = RedisStore::open(config.connect_timeout(Duration::from_millis(200))).await.unwrap();
    put(&store, &key("a"), record(1), Condition::Absent).await;
    server.pause().unwrap();
    fails(store.store(&key("a"), record(2), Condition::Any).await, Timeout, Applied::Unknown);
    fails(store.retrieve(&key("a")).await, Timeout, Applied::No);
    let fresh = RedisConfig::new(server.url()).connect_timeout(Duration::from_millis(200));
    fails(RedisStore::open(fresh).await, Timeout, Applied::No);
    server.resume().unwrap();
    let there = recovered(async || store.retrieve(&key("a")).await).await.unwrap().revision;
    assert!([record(1).revision, record(2).revision].contains(&there), "old or new");
}

#[tokio::test]
async fn absent_server_and_malformed_url_are_told_apart() {
    let mut server = server();
    server.kill();
    fails(RedisStore::open(server.url()).await, Unavailable, Applied::No);
    fails(RedisStore::open("redis+unix:///no/such/socket").await, Unavailable, Applied::No);
    for url in ["", "http://127.0.0.1", "redis://", "redis://127.0.0.1:port", "redis://h/database"] {
        let error = RedisStore::open(url).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{url:?}: {error:?}");
    }
}

#[tokio::test]
async fn close_drops_the_connection() {
    let server = server();
    let store = connect(&server).await;
    let other = store.clone();
    put(&store, &key("a"), record(1), Condition::Absent).await;
    store.close().await.unwrap();
    fails(other.retrieve(&key("a")).await, Closed, Applied::No);
    for _ in 0..500 {
        if server.command("INFO clients").unwrap().contains("connected_clients:1\r") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the server still has a client");
}
