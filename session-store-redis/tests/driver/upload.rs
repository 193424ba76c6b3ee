//! Large values, which the driver sends in parts.

use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use session_core::{Applied, Condition, Driver, DriverExt, Record, StoreErrorKind};
use session_store_redis::RedisStore;
use xtask_redis::{Options, Server};

use crate::proxy::Proxy;
use crate::round_trips::{calls, reset};
use crate::{at, connect, fails, key, put, record, recovered, server, users};

pub(crate) const MIB: usize = 1 << 20;

/// A record with the revision of `record(n)`, and data in which no two parts are equal.
pub(crate) fn large(n: u8, length: usize) -> Record {
    let data: Vec<u8> = (0..length).map(|at| (at >> 10) as u8 ^ n).collect();
    Record { data: data.into(), ..record(n) }
}

/// The names of the parts on the server.
fn parts(server: &Server) -> String {
    server.command("EVAL \"return table.concat(redis.call('KEYS','session-kit:[?]*'),' ')\" 0").unwrap()
}

/// Polls an upload, which sends at most one command, and waits until the connection has an answer to it.
async fn step(store: &RedisStore, upload: Pin<&mut impl Future>) {
    assert!(upload.poll(&mut Context::from_waker(Waker::noop())).is_pending(), "it has ended");
    put(store, &key("b"), record(1), Condition::Any).await;
}

/// The mechanism that keeps other tasks running: no command carries more than a part, and each waits for an answer.
#[tokio::test]
async fn large_value_is_sent_in_parts() {
    let server = server();
    let store = connect(&server).await;
    for (length, appends) in [(MIB, 0), (MIB + 1, 2), (8 * MIB, 9), (16 * MIB, 17)] {
        for condition in [Condition::Any, at(1), Condition::Absent] {
            drop(store.remove(&key("a"), Condition::Any).await.unwrap());
            if condition == at(1) {
                put(&store, &key("a"), record(1), Condition::Absent).await;
            }
            reset(&server);
            put(&store, &key("a"), large(2, length), condition).await;
            assert_eq!(calls(&server).get("append").copied().unwrap_or(0), appends, "{length}");
            assert_eq!(store.retrieve(&key("a")).await.unwrap(), Some(large(2, length)));
        }
    }
    assert_eq!(parts(&server), "");
}

#[tokio::test]
async fn large_value_keeps_the_decision_table() {
    let server = server();
    let store = connect(&server).await;
    let later = |seconds| Some(store.clock().now().saturating_add(Duration::from_secs(seconds)));
    let stored = [
        None,
        Some(record(1)),
        Some(record(3)),
        Some(Record { expires: later(1_000), ..record(1) }),
        Some(large(1, 2 * MIB)),
        Some(record(2)),
    ];
    for stored in &stored {
        for condition in [Condition::Any, Condition::Absent, at(1)] {
            for expires in [None, later(5_000)] {
                let mut seen = Vec::new();
                for length in [100, 2 * MIB] {
                    drop(store.remove(&key("a"), Condition::Any).await.unwrap());
                    if let Some(stored) = stored {
                        put(&store, &key("a"), stored.clone(), Condition::Any).await;
                    }
                    let offered = Record { expires, ..large(2, length) };
                    let answer = store.store(&key("a"), offered, condition).await.unwrap();
                    let found = store.retrieve(&key("a")).await.unwrap();
                    seen.push((answer, found.as_ref().map(|found| (found.expires, found.revision))));
                    let left: i64 = server.command("PTTL session-kit:user:a").unwrap()[1..].parse().unwrap();
                    let Some(deadline) = found.and_then(|found| found.expires) else {
                        assert!(left < 0, "{left}");
                        continue;
                    };
                    // The time to live is that of the record and the grace, and not that of the parts.
                    let end = store.clock().now().as_millis() as i64 + left;
                    let grace = end - deadline.as_millis() as i64;
                    assert!((59_000..120_000).contains(&grace), "{grace}");
                }
                assert_eq!(seen[0], seen[1], "{condition:?}");
            }
        }
    }
    assert_eq!(parts(&server), "");
    assert_eq!(store.count(&users()).await.unwrap(), 1);
}

/// The call ends at any point before the last step: nothing has changed, and no other call waits for it.
#[tokio::test]
async fn dropped_upload_changes_nothing() {
    let server = server();
    let store = connect(&server).await;
    put(&store, &key("a"), record(1), Condition::Any).await;
    // `SET`, five parts, and then the last step.
    for polls in 1..=6 {
        let name = key("a");
        let mut upload = Box::pin(store.store(&name, large(2, 4 * MIB), at(1)));
        for _ in 0..polls {
            step(&store, upload.as_mut()).await;
        }
        drop(upload);
        assert_eq!(store.retrieve(&key("a")).await.unwrap(), Some(record(1)));
    }
    assert_eq!(store.count(&users()).await.unwrap(), 2, "a walk omits parts");
    for name in parts(&server).split(' ').filter(|name| !name.is_empty()) {
        let left: i64 = server.command(&format!("PTTL {name}")).unwrap()[1..].parse().unwrap();
        assert!((1..=62_000).contains(&left), "{left}");
    }
    put(&store, &key("a"), large(3, 4 * MIB), at(1)).await;
}

/// The connection breaks after each command in turn. Before the last one nothing has changed.
#[tokio::test]
async fn broken_connection_leaves_the_old_or_the_new_record() {
    let server = server();
    let proxy = Proxy::before(&server).await;
    let store = RedisStore::open(proxy.config()).await.unwrap();
    let direct = connect(&server).await;
    let mut unknown = 0;
    for after in 0..10 {
        put(&direct, &key("a"), record(1), Condition::Any).await;
        recovered(async || store.retrieve(&key("a")).await).await;
        proxy.drop_the_answer_after(after);
        let answer = store.store(&key("a"), large(2, 2 * MIB), at(1)).await;
        let there = direct.retrieve(&key("a")).await.unwrap().unwrap().revision;
        match answer {
            Ok(answer) => {
                proxy.drop_the_answer_after(u64::MAX);
                assert!(answer.is_applied() && there == record(2).revision);
            }
            Err(error) if error.applied() == Applied::No => {
                assert!(error.is_retryable(), "{error:?}");
                assert_eq!(there, record(1).revision, "{error:?}");
            }
            Err(error) => {
                assert!(error.is_retryable(), "{error:?}");
                unknown += 1;
            }
        }
    }
    // The script by its hash, and by its source.
    assert!(unknown <= 2, "only the last step is uncertain");
}

/// Parts that a restarted server does not have are noticed, and never become a record with a hole.
#[tokio::test]
async fn parts_of_a_restarted_server_are_noticed() {
    let mut server = server();
    let store = connect(&server).await;
    let name = key("a");
    let mut upload = Box::pin(store.store(&name, large(2, 8 * MIB), Condition::Any));
    for _ in 0..4 {
        step(&store, upload.as_mut()).await;
    }
    server.restart().unwrap();
    let error = upload.await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Unavailable, Applied::No), "{error:?}");
    assert_eq!(recovered(async || store.retrieve(&key("a")).await).await, None);
    assert_eq!(parts(&server), "");
    put(&store, &key("a"), large(2, 8 * MIB), Condition::Any).await;
}

/// Without the rights one command carries the value, as before these rights existed.
#[tokio::test]
async fn without_rights_one_command_carries_the_value() {
    let server = server();
    let rights = |rights: &str| {
        assert_eq!(server.command(&format!("ACL SETUSER app {rights}")).unwrap(), "+OK", "{rights}");
    };
    rights("on >word ~session-kit:* +@all");
    let store = RedisStore::open(server.url_of("app:word")).await.unwrap();
    for missing in ["append", "rename"] {
        rights(&format!("-{missing}"));
        for (n, condition) in [(1, Condition::Any), (2, at(1)), (2, Condition::Absent)] {
            // The last one repeats a change.
            put(&store, &key("a"), large(n, 2 * MIB), condition).await;
            assert_eq!(store.retrieve(&key("a")).await.unwrap(), Some(large(n, 2 * MIB)));
        }
        assert_eq!(parts(&server), "", "{missing}");
        rights(&format!("+{missing}"));
    }
}

#[tokio::test]
async fn full_server_refuses_a_large_value_and_keeps_no_part() {
    let server = Server::start(Options::new().set("maxmemory", "12mb")).unwrap();
    let store = connect(&server).await;
    put(&store, &key("a"), record(1), Condition::Any).await;
    let full = store.store(&key("a"), large(2, 15 * MIB), at(1)).await;
    fails(full, StoreErrorKind::Full, Applied::No);
    assert_eq!(store.retrieve(&key("a")).await.unwrap(), Some(record(1)));
    assert_eq!(parts(&server), "");
    put(&store, &key("a"), large(2, 3 * MIB), at(1)).await;
}

/// A value of another type is replaced by an unconditional store, and corrupt for a conditional one.
#[tokio::test]
async fn large_value_over_another_type() {
    let server = server();
    let store = connect(&server).await;
    server.command("LPUSH session-kit:user:a x").unwrap();
    fails(store.store(&key("a"), large(2, 2 * MIB), at(1)).await, StoreErrorKind::Corrupt, Applied::No);
    assert_eq!(parts(&server), "");
    put(&store, &key("a"), large(2, 2 * MIB), Condition::Any).await;
}

/// The parts have the slot of the record. Where braces in the key make that impossible, one command carries the value.
#[cfg(feature = "cluster")]
#[tokio::test]
async fn large_values_in_a_cluster() {
    let cluster = xtask_redis::Cluster::start().unwrap();
    let store = RedisStore::open(session_store_redis::RedisConfig::cluster(cluster.urls())).await.unwrap();
    for name in ["a", "b", "c", "d", "a{b}c", "a}b", "{"] {
        put(&store, &key(name), record(1), Condition::Absent).await;
        put(&store, &key(name), large(2, 2 * MIB), at(1)).await;
        assert_eq!(store.retrieve(&key(name)).await.unwrap(), Some(large(2, 2 * MIB)), "{name}");
        put(&store, &key(name), record(3), at(2)).await;
    }
    let appends: u64 = cluster.servers.iter().filter_map(|server| calls(server).get("append").copied()).sum();
    // Replicas count them too.
    assert!(appends >= 12, "{appends}");
    assert_eq!(store.count(&users()).await.unwrap(), 7);
}
