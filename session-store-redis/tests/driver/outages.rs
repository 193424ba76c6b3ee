//! A server that is killed, hangs, is full or is absent.

use std::time::Duration;

use session_core::{Applied, Condition, Driver, Record, Revision, StoreErrorKind};
use session_store_redis::{RedisConfig, RedisStore};
use xtask_redis::{Options, Server};

use crate::counter::{Counters, all_there};
use crate::{connect, key, put, record, recovered, server, touch};

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
    let error = hasty.store(&key("a"), record(2), Condition::Any).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Unavailable, Applied::No), "{error:?}");
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
async fn full_server_refuses_and_keeps_the_old_record() {
    let options = Options::new().set("maxmemory", "3mb").set("maxmemory-policy", "noeviction");
    let server = Server::start(options).unwrap();
    let store = connect(&server).await;
    put(&store, &key("old"), record(1), Condition::Absent).await;
    put(&store, &key("touched"), record(1), Condition::Absent).await;
    assert!(store.touch(&key("touched"), touch(1, 2, None)).await.unwrap());
    let large = |n: u8| Record::new(vec![n; 100_000], None, Revision::from_bytes([n; 8]));
    let mut refused = None;
    for n in 2..100 {
        if let Err(error) = store.store(&key(&n.to_string()), large(n), Condition::Absent).await {
            refused = Some(error);
            break;
        }
    }
    let refused = refused.expect("100 records of 100 kB do not fit into 3 MiB");
    assert_eq!((refused.kind(), refused.applied()), (StoreErrorKind::Full, Applied::No));
    for when in [Condition::Any, crate::at(1)] {
        let error = store.store(&key("old"), large(200), when).await.unwrap_err();
        assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Full, Applied::No));
    }
    assert_eq!(store.retrieve(&key("old")).await.unwrap(), Some(record(1)));
    let touch = store.touch(&key("touched"), touch(2, 3, None)).await;
    let error = touch.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Full, Applied::No));
    assert_eq!(store.retrieve(&key("touched")).await.unwrap().unwrap().revision, record(2).revision);
    assert!(store.remove(&key("2"), Condition::Any).await.unwrap().is_applied());
    assert!(store.remove(&key("3"), Condition::Any).await.unwrap().is_applied());
    put(&store, &key("old"), record(3), crate::at(1)).await;
}

#[tokio::test]
async fn hung_server_is_a_timeout_of_unknown_effect() {
    let server = server();
    let config = RedisConfig::new(server.url()).response_timeout(Duration::from_millis(200));
    let store = RedisStore::open(config.connect_timeout(Duration::from_millis(200))).await.unwrap();
    put(&store, &key("a"), record(1), Condition::Absent).await;
    server.pause().unwrap();
    let error = store.store(&key("a"), record(2), Condition::Any).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Timeout, Applied::Unknown));
    let error = store.retrieve(&key("a")).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Timeout, Applied::No));
    let fresh = RedisConfig::new(server.url()).connect_timeout(Duration::from_millis(200));
    assert_eq!(RedisStore::open(fresh).await.unwrap_err().kind(), StoreErrorKind::Timeout);
    server.resume().unwrap();
    let there = recovered(async || store.retrieve(&key("a")).await).await.unwrap().revision;
    assert!([record(1).revision, record(2).revision].contains(&there), "old or new");
}

#[tokio::test]
async fn absent_server_and_malformed_url_are_told_apart() {
    let mut server = server();
    server.kill();
    let error = RedisStore::open(server.url()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
    let error = RedisStore::open("redis+unix:///no/such/socket").await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
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
    assert_eq!(other.retrieve(&key("a")).await.unwrap_err().kind(), StoreErrorKind::Closed);
    for _ in 0..500 {
        if server.command("INFO clients").unwrap().contains("connected_clients:1\r") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the server still has a client");
}
