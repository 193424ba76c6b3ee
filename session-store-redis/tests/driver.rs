//! What is particular to Redis: round trips, restarts, memory that is full, rights, a server that hangs, a cluster.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::sync::Arc;
use std::time::Duration;

use session_core::{
    Applied, Clock, Condition, Cursor, Driver, ErrorKind, Key, Prefix, Record, Revision, Stored, TestClock,
    Timestamp,
};
use session_store_redis::{Config, Redis};
use xtask_redis::{Options, Server};

fn key(name: &str) -> Key {
    Key::parse(&format!("user:{name}")).unwrap()
}

fn record(n: u8) -> Record {
    Record::new(vec![n; 100], None, Revision::from_bytes([n; 8]))
}

async fn put(store: &Redis, key: &Key, record: Record, when: Condition) {
    assert_eq!(store.store(key, record, when).await.unwrap(), Stored::Yes);
}

fn server() -> Server {
    Server::start(Options::new()).unwrap()
}

async fn connect(server: &Server) -> Redis {
    Redis::connect(Config::new(server.url())).await.unwrap()
}

/// How often the server ran each command since it started.
fn calls(server: &Server, command: &str) -> u64 {
    let statistics = server.command("INFO commandstats").unwrap();
    let line = statistics.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn every_operation_is_one_command() {
    let server = server();
    let store = connect(&server).await;
    // The server learns each script once.
    assert!(store.store(&key("a"), record(1), Condition::Absent).await.unwrap().is_yes());
    assert!(store.touch(&key("a"), record(1).revision, record(2).revision, None).await.unwrap());
    server.command("CONFIG RESETSTAT").unwrap();
    for n in 3..13 {
        let name = key(&format!("k{n}"));
        put(&store, &name, record(n), Condition::Any).await;
        put(&store, &name, record(n + 20), Condition::Revision(record(n).revision)).await;
        store.touch(&name, record(n + 20).revision, record(n + 40).revision, None).await.unwrap();
        store.retrieve(&name).await.unwrap().unwrap();
        assert!(store.remove(&name, Condition::Any).await.unwrap().is_yes());
    }
    assert_eq!((calls(&server, "evalsha"), calls(&server, "eval")), (30, 0));
    // The scripts' own calls are counted as well: a store by script and one without, a removal by script.
    assert_eq!((calls(&server, "get"), calls(&server, "set"), calls(&server, "del")), (10, 20, 10));
}

#[tokio::test]
async fn a_restart_under_load_costs_typed_errors_and_then_it_goes_on() {
    let mut server = server();
    let store = connect(&server).await;
    assert!(store.store(&key("a"), record(1), Condition::Absent).await.unwrap().is_yes());
    let writers: Vec<_> = (0..8)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut failures = Vec::new();
                for n in 0..2_000_u32 {
                    let name = key(&format!("{task}-{n}"));
                    if let Err(error) = store.store(&name, record(9), Condition::Absent).await {
                        failures.push((error.kind(), error.is_retryable()));
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    if failures.len() > 200 {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                failures
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(30)).await;
    server.kill();
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.restart().unwrap();
    for writer in writers {
        for (kind, retryable) in writer.await.unwrap() {
            assert!(retryable, "{kind:?}");
        }
    }
    // Connected again by itself, and the scripts that the new server does not know are sent again.
    let mut answer = store.store(&key("b"), record(1), Condition::Absent).await;
    for _ in 0..50 {
        if answer.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        answer = store.store(&key("b"), record(1), Condition::Absent).await;
    }
    assert_eq!(answer.unwrap(), Stored::Yes);
    assert!(store.touch(&key("b"), record(1).revision, record(2).revision, None).await.unwrap());
    assert!(store.retrieve(&key("a")).await.unwrap().is_none(), "it was not on disk: Redis itself lost it");
}

#[tokio::test]
async fn a_full_server_refuses_and_keeps_the_old_record() {
    let server =
        Server::start(Options::new().set("maxmemory", "3mb").set("maxmemory-policy", "noeviction")).unwrap();
    let store = connect(&server).await;
    assert!(store.store(&key("old"), record(1), Condition::Absent).await.unwrap().is_yes());
    let large = |n: u8| Record::new(vec![n; 100_000], None, Revision::from_bytes([n; 8]));
    let mut refused = None;
    for n in 2..100 {
        if let Err(error) = store.store(&key(&n.to_string()), large(n), Condition::Absent).await {
            refused = Some(error);
            break;
        }
    }
    let refused = refused.expect("3 MiB hold no hundred of these");
    assert_eq!((refused.kind(), refused.applied()), (ErrorKind::Full, Applied::No));
    let when = Condition::Revision(record(1).revision);
    assert_eq!(store.store(&key("old"), large(200), when).await.unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(store.retrieve(&key("old")).await.unwrap(), Some(record(1)));
    assert!(store.remove(&key("2"), Condition::Any).await.unwrap().is_yes());
    assert!(store.remove(&key("3"), Condition::Any).await.unwrap().is_yes());
    assert!(store.store(&key("old"), record(3), when).await.unwrap().is_yes());
}

#[tokio::test]
async fn passwords_and_rights_are_misconfigured_by_name() {
    let options = Options::new()
        .set("requirepass", "secret")
        .set("user", "reader on >word ~session-kit:* +get +ping +client +hello +auth");
    let server = Server::start(options).unwrap();
    let at = |who: &str| format!("redis://{who}127.0.0.1:{}", server.port());
    for who in ["", ":wrong@", "nobody:word@"] {
        let error = Redis::connect(Config::new(at(who))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{who:?}: {error:?}");
        assert!(!format!("{error:?}").contains("wrong"));
    }
    let store = Redis::connect(Config::new(at(":secret@"))).await.unwrap();
    assert!(store.store(&key("a"), record(1), Condition::Absent).await.unwrap().is_yes());
    let reader = Redis::connect(Config::new(at("reader:word@"))).await.unwrap();
    assert_eq!(reader.retrieve(&key("a")).await.unwrap(), Some(record(1)));
    let error = reader.remove(&key("a"), Condition::Any).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Misconfigured, Applied::No));
    assert_eq!(store.retrieve(&key("a")).await.unwrap(), Some(record(1)));
}

#[tokio::test]
async fn a_server_that_hangs_is_a_timeout_of_unknown_effect() {
    let server = server();
    let config = Config::new(server.url()).timeout(Duration::from_millis(200));
    let store = Redis::connect(config).await.unwrap();
    assert!(store.store(&key("a"), record(1), Condition::Absent).await.unwrap().is_yes());
    server.pause().unwrap();
    let error = store.store(&key("a"), record(2), Condition::Any).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Timeout, Applied::Unknown));
    let error = store.retrieve(&key("a")).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Timeout, Applied::No));
    server.resume().unwrap();
    let mut there = store.retrieve(&key("a")).await;
    for _ in 0..50 {
        if there.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        there = store.retrieve(&key("a")).await;
    }
    let revision = there.unwrap().unwrap().revision;
    assert!(revision == record(1).revision || revision == record(2).revision, "old or new");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let mut server = server();
    server.kill();
    let config = Config::new(server.url()).connect_timeout(Duration::from_millis(300));
    assert!(Redis::connect(config).await.unwrap_err().is_retryable());
    for url in ["", "http://127.0.0.1", "redis://"] {
        let kind = Redis::connect(Config::new(url)).await.unwrap_err().kind();
        assert!(matches!(kind, ErrorKind::Misconfigured | ErrorKind::Unavailable), "{url:?}: {kind:?}");
    }
}

#[tokio::test]
async fn the_engine_collects_a_minute_late_and_decides_nothing() {
    let server = server();
    // A clock far from the server's: what counts is how long a record has still to live.
    let clock = TestClock::new(Timestamp::from_millis(5_000_000));
    let store = Redis::connect(Config::new(server.url()).clock(Arc::new(clock.clone()))).await.unwrap();
    let expires = Some(clock.now().saturating_add(Duration::from_secs(100)));
    put(&store, &key("a"), Record { expires, ..record(1) }, Condition::Any).await;
    let left = || server.command("PTTL session-kit:user:a").unwrap()[1..].parse::<i64>().unwrap();
    assert!((150_000..=160_000).contains(&left()), "{}", left());
    let later = Some(clock.now().saturating_add(Duration::from_secs(1_000)));
    assert!(store.touch(&key("a"), record(1).revision, record(2).revision, later).await.unwrap());
    assert!((1_050_000..=1_060_000).contains(&left()), "{}", left());
    assert!(store.touch(&key("a"), record(2).revision, record(3).revision, None).await.unwrap());
    assert_eq!(left(), -1);
    clock.advance(Duration::from_secs(10_000));
    assert!(store.retrieve(&key("a")).await.unwrap().is_some(), "without a deadline it never expires");
}

#[tokio::test]
async fn two_namespaces_in_one_server_do_not_meet() {
    let server = server();
    let one = Redis::connect(Config::new(server.url()).namespace("one:")).await.unwrap();
    let two = Redis::connect(Config::new(server.url()).namespace("[a-z]*:")).await.unwrap();
    put(&one, &key("a"), record(1), Condition::Absent).await;
    assert!(two.retrieve(&key("a")).await.unwrap().is_none());
    put(&two, &key("b"), record(2), Condition::Absent).await;
    let users = Prefix::new("user").unwrap();
    assert_eq!((one.count(&users).await.unwrap(), two.count(&users).await.unwrap()), (1, 1));
    assert_eq!(two.clear(&users).await.unwrap(), 1);
    assert!(one.retrieve(&key("a")).await.unwrap().is_some());
    let error = one.traverse(&users, Cursor::from_bytes(vec![9, 9]), 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidCursor);
}

#[cfg(feature = "cluster")]
mod cluster {
    use xtask_redis::Cluster;

    use super::*;

    /// Compare-and-store goes on through the death of a primary: every acknowledged step is one that was made.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn after_a_primary_was_killed_the_driver_goes_on_by_itself() {
        let mut cluster = Cluster::start().unwrap();
        let store =
            Redis::connect(Config::cluster(cluster.urls()).timeout(Duration::from_secs(2))).await.unwrap();
        let counters: Vec<_> = (0..24).map(|n| key(&format!("counter-{n}"))).collect();
        for counter in &counters {
            let zero = Record::new(vec![0; 4], None, Revision::from_bytes([1; 8]));
            put(&store, counter, zero, Condition::Absent).await;
        }
        let tasks: Vec<_> = counters
            .iter()
            .cloned()
            .enumerate()
            .map(|(number, counter)| tokio::spawn(count(store.clone(), counter, number as u8)))
            .collect();
        tokio::time::sleep(Duration::from_millis(500)).await;
        cluster.servers[0].kill();
        for task in tasks {
            let (acknowledged, stored) = task.await.unwrap();
            assert!(stored >= acknowledged, "{acknowledged} steps were acknowledged, {stored} are there");
            assert!(acknowledged >= 60, "it went on: {acknowledged}");
        }
    }

    /// Adds one, sixty times, whatever goes wrong meanwhile; a step whose answer was lost is looked up.
    async fn count(store: Redis, counter: Key, number: u8) -> (u32, u32) {
        let mut acknowledged = 0;
        let mut turn = 0_u32;
        for _ in 0..2_000 {
            turn += 1;
            let Ok(Some(there)) = store.retrieve(&counter).await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let value = u32::from_le_bytes(there.data[..].try_into().unwrap()) + 1;
            let mut revision = [number; 8];
            revision[..4].copy_from_slice(&turn.to_le_bytes());
            let next = Record::new(value.to_le_bytes().to_vec(), None, Revision::from_bytes(revision));
            match store.store(&counter, next, Condition::Revision(there.revision)).await {
                Ok(Stored::Yes) => acknowledged += 1,
                Ok(Stored::Conflict(_)) => {}
                Err(error) => assert!(error.is_retryable(), "{error:?}"),
            }
            if acknowledged >= 60 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let there = store.retrieve(&counter).await.unwrap().unwrap();
        (acknowledged, u32::from_le_bytes(there.data[..].try_into().unwrap()))
    }

    #[tokio::test]
    async fn a_traversal_covers_all_primaries() {
        let cluster = Cluster::start().unwrap();
        let store = Redis::connect(Config::cluster(cluster.urls())).await.unwrap();
        for n in 0..300 {
            put(&store, &key(&n.to_string()), record(1), Condition::Absent).await;
        }
        assert_eq!(store.count(&Prefix::new("user").unwrap()).await.unwrap(), 300);
    }
}
