//! A server that is killed, hangs, is full or is absent.

use std::time::Duration;

use session_conformance::testing::full;
use session_core::StoreErrorKind::{Closed, Full, Timeout, Unavailable};
use session_core::{Applied, Change, Condition, Driver, DriverExt, Record, StoreErrorKind, Timestamp};
use session_store_redis::{RedisConfig, RedisStore};
use xtask_redis::{Options, Server};

use crate::counter::{Counters, all_there};
use crate::{at, connect, fails, key, put, record, recovered, server, touch, users};

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
    for url in
        ["", "http://127.0.0.1", "redis://", "redis://127.0.0.1:port", "redis://h/database", "redis://h?db=3"]
    {
        let error = RedisStore::open(url).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{url:?}: {error:?}");
    }
}

/// A full server refuses a store. A touch needs no more memory, and an ended touch removes.
#[tokio::test]
async fn full_server_still_touches() {
    let server = server();
    let store = connect(&server).await;
    let after = |seconds| Some(store.clock().now().saturating_add(Duration::from_secs(seconds)));
    put(&store, &key("a"), record(1), Condition::Absent).await;
    put(&store, &key("b"), Record { expires: after(100), ..record(1) }, Condition::Absent).await;
    for setting in ["maxmemory-policy noeviction", "maxmemory 1"] {
        assert_eq!(server.command(&format!("CONFIG SET {setting}")).unwrap(), "+OK");
    }
    fails(store.store(&key("a"), record(2), at(1)).await, Full, Applied::No);
    for name in ["a", "b"] {
        let mut from = 1;
        for deadline in [after(1_000), after(50), None, None, after(1_000)] {
            assert!(store.touch(&key(name), touch(from, from + 1, deadline)).await.unwrap());
            from += 1;
            let now = Record { expires: deadline, data: record(1).data, ..record(from) };
            assert_eq!(store.retrieve(&key(name)).await.unwrap(), Some(now));
        }
        assert!(store.touch(&key(name), touch(from, 9, Some(Timestamp::from_millis(0)))).await.unwrap());
        assert_eq!(store.retrieve(&key(name)).await.unwrap(), None);
    }
}

/// Linux keeps all bytes that a killed process wrote to a file. With `everysec` the server writes nothing for up to two
/// seconds while an fsync is running, so a slow fsync and a kill lose changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_server_with_a_slow_disk_keeps_what_the_readme_says() {
    for (setting, delay, keeps) in [("always", 50, true), ("no", 1_900, true), ("everysec", 1_900, false)] {
        let options = Options::new().set("appendonly", "yes").set("appendfsync", setting);
        let mut server = Server::start(options.slow_sync(Duration::from_millis(delay))).unwrap();
        let store = connect(&server).await;
        let counters = Counters::begin(&store, (0..8).map(|n| key(&n.to_string()))).await;
        let times: &[u64] = if keeps && !full() { &[2_000] } else { &[4_500, 1_300, 2_000] };
        // The first is so long that the new records are on the disk; the others so that one kill meets an fsync.
        for time in times.iter().copied().map(Duration::from_millis) {
            let begin = tokio::time::Instant::now();
            while begin.elapsed() < time {
                counters.steps(10).await;
            }
            server.kill();
            server.restart().unwrap();
        }
        let mut lost = 0;
        for counter in counters.end().await {
            assert_eq!(counter.stored(), counter.made - counter.lost, "{setting}");
            lost += counter.lost;
        }
        println!("{setting}: {lost} acknowledged changes were lost");
        assert_eq!(lost == 0, keeps, "{setting}");
    }
}

/// The driver cannot know that records were removed by others: everything reads as absent, and nothing returns.
#[tokio::test]
async fn emptied_or_replaced_server_reads_as_empty() {
    let mut server = server();
    let store = connect(&server).await;
    let full = async || put(&store, &key("a"), record(1), Condition::Any).await;
    let is_empty = async || {
        assert_eq!(store.retrieve(&key("a")).await.unwrap(), None);
        assert_eq!(store.store(&key("a"), record(2), at(1)).await.unwrap(), Change::Conflict(None));
        assert!(!store.touch(&key("a"), touch(1, 2, None)).await.unwrap());
        assert_eq!(store.remove(&key("a"), at(1)).await.unwrap(), Change::Conflict(None));
        assert_eq!(store.count(&users()).await.unwrap(), 0);
        put(&store, &key("a"), record(3), Condition::Absent).await;
    };
    full().await;
    server.command("FLUSHALL").unwrap();
    is_empty().await;
    full().await;
    // Without persistence a restarted server is another one at the same address.
    server.restart().unwrap();
    recovered(async || store.retrieve(&key("b")).await).await;
    is_empty().await;
}

/// The server closes the largest clients. Changes on the way have an unknown effect; the next call works.
#[tokio::test]
async fn server_that_evicts_clients_is_unavailable() {
    let server = server();
    if server.command("CONFIG SET maxmemory-clients 4mb").unwrap() != "+OK" {
        println!("not tried: this server evicts no clients");
        return;
    }
    // In parts, a value larger than the limit arrives.
    let large = Record::new(vec![7; 15 << 20], None, record(2).revision);
    put(&connect(&server).await, &key("large"), large.clone(), Condition::Absent).await;
    // Without this right one command carries the value.
    assert_eq!(server.command("ACL SETUSER app on >word ~* +@all -append").unwrap(), "+OK");
    // So long that the server closes the connection before the time of a call runs out.
    let config = RedisConfig::new(server.url_of("app:word")).response_timeout(Duration::from_secs(5));
    let store = RedisStore::open(config).await.unwrap();
    put(&store, &key("a"), record(1), Condition::Absent).await;
    let error = store.store(&key("a"), large.clone(), at(1)).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (Unavailable, Applied::Unknown), "{error:?}");
    assert_eq!(recovered(async || store.retrieve(&key("a")).await).await, Some(record(1)));
    let name = key("a");
    let smaller = Record::new(vec![7; 1 << 20], None, record(3).revision);
    put(&store, &name, smaller, at(1)).await;
    // One answer at a time is below the limit. Together they are not, and repeated together they stay so.
    assert!(recovered(async || store.retrieve(&name).await).await.is_some());
    let answers = futures_util::future::join_all((0..16).map(|_| store.retrieve(&name))).await;
    let failures: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
    println!("{} of 16 reads failed", failures.len());
    for error in failures {
        assert_eq!((error.kind(), error.applied()), (Unavailable, Applied::No), "{error:?}");
    }
    put(&store, &key("a"), record(4), at(3)).await;
}

/// The server's own clock removes records after the grace. A replica whose clock is ahead by more does so too early.
#[tokio::test]
async fn clock_ahead_by_more_than_the_grace_ends_records_early() {
    let hour = Duration::from_secs(3_600);
    let primary = server();
    let store = connect(&primary).await;
    let after = |seconds| Some(store.clock().now().saturating_add(Duration::from_secs(seconds)));
    for (name, expires) in [("short", after(1_000)), ("long", after(10_000)), ("endless", None)] {
        put(&store, &key(name), Record { expires, ..record(1) }, Condition::Absent).await;
    }
    // New records of a server with a wrong clock live as long as they should.
    for (ahead, kept) in [(Duration::from_secs(30), true), (hour, false)] {
        let replica = Server::start(Options::new().clock_ahead(ahead)).unwrap();
        assert_eq!(replica.command(&format!("REPLICAOF 127.0.0.1 {}", primary.port())).unwrap(), "+OK");
        while !replica.command("INFO replication").unwrap().contains("master_link_status:up") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(replica.command("REPLICAOF NO ONE").unwrap(), "+OK");
        let promoted = connect(&replica).await;
        for (name, there) in [("short", kept), ("long", true), ("endless", true)] {
            assert_eq!(promoted.retrieve(&key(name)).await.unwrap().is_some(), there, "{name}, {ahead:?}");
        }
        let fresh = Record { expires: after(1_000), ..record(2) };
        put(&promoted, &key("fresh"), fresh.clone(), Condition::Absent).await;
        assert_eq!(promoted.retrieve(&key("fresh")).await.unwrap(), Some(fresh));
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
