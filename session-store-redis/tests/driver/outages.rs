//! A server that is killed, hangs, is full, or not there.

use std::time::Duration;

use session_core::{Applied, Condition, Driver, Record, Revision, StoreErrorKind, Touch};
use session_store_redis::{RedisConfig, RedisStore};
use xtask_redis::{Options, Server};

use crate::counter::{Counters, all_there};
use crate::{connect, key, put, record, recovered, server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_under_load_costs_no_acknowledged_step() {
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
    assert!(counters.iter().any(|counter| counter.errors > 0), "the kills were met");
}

#[tokio::test]
async fn a_short_absence_is_waited_for_and_a_long_one_is_an_error_that_changed_nothing() {
    let mut server = Server::start(Options::new().lasting()).unwrap();
    let patient = RedisConfig::new(server.url()).timeout(Duration::from_secs(60));
    let patient = RedisStore::connect(patient).await.unwrap();
    let hasty = RedisStore::connect(RedisConfig::new(server.url()).timeout(Duration::from_millis(200)))
        .await
        .unwrap();
    put(&patient, &key("a"), record(1), Condition::Absent).await;
    server.kill();
    // What the connection had just broken under says nothing of the second call.
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
async fn a_full_server_refuses_and_keeps_the_old_record() {
    let options = Options::new().set("maxmemory", "3mb").set("maxmemory-policy", "noeviction");
    let server = Server::start(options).unwrap();
    let store = connect(&server).await;
    put(&store, &key("old"), record(1), Condition::Absent).await;
    put(&store, &key("touched"), record(1), Condition::Absent).await;
    assert!(
        store
            .touch(
                &key("touched"),
                Touch { from: record(1).revision, to: record(2).revision, deadline: None }
            )
            .await
            .unwrap()
    );
    let large = |n: u8| Record::new(vec![n; 100_000], None, Revision::from_bytes([n; 8]));
    let mut refused = None;
    for n in 2..100 {
        if let Err(error) = store.store(&key(&n.to_string()), large(n), Condition::Absent).await {
            refused = Some(error);
            break;
        }
    }
    let refused = refused.expect("3 MiB hold no hundred of these");
    assert_eq!((refused.kind(), refused.applied()), (StoreErrorKind::Full, Applied::No));
    for when in [Condition::Any, crate::at(1)] {
        let error = store.store(&key("old"), large(200), when).await.unwrap_err();
        assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Full, Applied::No));
    }
    assert_eq!(store.retrieve(&key("old")).await.unwrap(), Some(record(1)));
    let touch = store
        .touch(&key("touched"), Touch { from: record(2).revision, to: record(3).revision, deadline: None })
        .await;
    let error = touch.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Full, Applied::No));
    assert_eq!(store.retrieve(&key("touched")).await.unwrap().unwrap().revision, record(2).revision);
    assert!(store.remove(&key("2"), Condition::Any).await.unwrap().is_applied());
    assert!(store.remove(&key("3"), Condition::Any).await.unwrap().is_applied());
    put(&store, &key("old"), record(3), crate::at(1)).await;
}

#[tokio::test]
async fn a_server_that_hangs_is_a_timeout_of_unknown_effect() {
    let server = server();
    let config = RedisConfig::new(server.url()).timeout(Duration::from_millis(200));
    let store = RedisStore::connect(config.connect_timeout(Duration::from_millis(200))).await.unwrap();
    put(&store, &key("a"), record(1), Condition::Absent).await;
    server.pause().unwrap();
    let error = store.store(&key("a"), record(2), Condition::Any).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Timeout, Applied::Unknown));
    let error = store.retrieve(&key("a")).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Timeout, Applied::No));
    let anew = RedisConfig::new(server.url()).connect_timeout(Duration::from_millis(200));
    assert_eq!(RedisStore::connect(anew).await.unwrap_err().kind(), StoreErrorKind::Timeout);
    server.resume().unwrap();
    let there = recovered(async || store.retrieve(&key("a")).await).await.unwrap().revision;
    assert!([record(1).revision, record(2).revision].contains(&there), "old or new");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_and_a_url_that_is_none_misconfigured() {
    let mut server = server();
    server.kill();
    let error = RedisStore::connect(RedisConfig::new(server.url())).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
    let error = RedisStore::connect(RedisConfig::new("redis+unix:///no/such/socket")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
    for url in ["", "http://127.0.0.1", "redis://", "redis://127.0.0.1:port", "redis://h/database"] {
        let error = RedisStore::connect(RedisConfig::new(url)).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{url:?}: {error:?}");
    }
}

#[tokio::test]
async fn closing_lets_go_of_the_connection() {
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
    panic!("the server has a client still");
}
