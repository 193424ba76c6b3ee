//! Large values, which the driver reads in parts.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use session_core::{Change, Condition, Driver, Record, Result};
use session_store_redis::{RedisConfig, RedisStore};
use xtask_redis::Server;

use crate::round_trips::{calls, reset};
use crate::upload::{MIB, large};
use crate::{at, connect, key, put, record, server};

/// How many commands the server ran that are not of the large value: those of [`step`].
fn reads(server: &Server) -> BTreeMap<String, u64> {
    calls(server).into_iter().filter(|(name, _)| ["get", "getrange", "strlen"].contains(&&**name)).collect()
}

fn counted(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// The mechanism that keeps other tasks running: no answer carries more than a part.
#[tokio::test]
async fn large_value_is_read_in_parts() {
    let server = server();
    let store = connect(&server).await;
    // The first part, the others, and the head again.
    for (length, ranges) in [(MIB - 1, 1), (MIB, 2), (MIB + 1, 3), (8 * MIB, 9), (16 * MIB, 17)] {
        put(&store, &key("a"), large(1, length), Condition::Any).await;
        reset(&server);
        assert_eq!(store.retrieve(&key("a")).await.unwrap(), Some(large(1, length)));
        let mut wanted = counted(&[("getrange", ranges)]);
        if ranges > 1 {
            wanted.insert("strlen".into(), 1);
        }
        assert_eq!(reads(&server), wanted, "{length}");
    }
}

/// Neither a conflict of a small store nor one of a large store carries the large record at once.
#[tokio::test]
async fn conflict_with_a_large_value_reads_it_in_parts() {
    let server = server();
    let store = connect(&server).await;
    let there = large(1, 4 * MIB);
    put(&store, &key("a"), there.clone(), Condition::Any).await;
    let conflict = Change::Conflict(Some(there.clone()));
    for offered in [record(3), large(3, 2 * MIB)] {
        for condition in [Condition::Absent, at(9)] {
            let answer = store.store(&key("a"), offered.clone(), condition).await.unwrap();
            assert!(answer == conflict, "{condition:?}");
        }
        let answer = store.store_over(&key("a"), offered, &record(9)).await.unwrap();
        assert!(answer == conflict);
    }
    for condition in [Condition::Absent, at(9)] {
        assert!(store.remove(&key("a"), condition).await.unwrap() == conflict, "{condition:?}");
    }
    assert_eq!(reads(&server).get("get"), None, "a whole value");
    assert!(store.remove(&key("a"), at(1)).await.unwrap().is_applied());
}

/// Polls a read, which sends at most one command, and waits until the connection has an answer to it.
async fn step(
    store: &RedisStore,
    read: Pin<&mut impl Future<Output = Result<Option<Record>>>>,
) -> Option<Record> {
    let polled = read.poll(&mut Context::from_waker(Waker::noop()));
    put(store, &key("b"), record(1), Condition::Any).await;
    match polled {
        Poll::Ready(found) => found.unwrap(),
        Poll::Pending => None,
    }
}

/// Another record takes the place of the one that is read, before each part in turn.
#[tokio::test]
async fn record_that_changes_while_it_is_read_is_whole() {
    let server = server();
    let store = connect(&server).await;
    let name = key("a");
    let records = [large(1, 3 * MIB), large(2, 4 * MIB), record(3)];
    // The first part, the length, two parts, the head.
    for polls in 1..=5 {
        for (before, after) in [(0, 1), (1, 0), (0, 2)] {
            put(&store, &name, records[before].clone(), Condition::Any).await;
            let mut read = Box::pin(store.retrieve(&name));
            for _ in 0..polls {
                assert_eq!(step(&store, read.as_mut()).await, None, "it has ended");
            }
            put(&store, &name, records[after].clone(), Condition::Any).await;
            let found = read.await.unwrap().unwrap();
            assert!(found == records[before] || found == records[after], "after {polls} steps");
        }
        // A removal is not half a record either.
        put(&store, &name, records[0].clone(), Condition::Any).await;
        let mut read = Box::pin(store.retrieve(&name));
        for _ in 0..polls {
            step(&store, read.as_mut()).await;
        }
        assert!(store.remove(&name, Condition::Any).await.unwrap().is_applied());
        let found = read.await.unwrap();
        assert!(found.is_none_or(|found| found == records[0]), "after {polls} steps");
    }
}

/// A record that changes again and again is read by one command in the end.
#[tokio::test]
async fn record_that_always_changes_is_read_at_once() {
    let server = server();
    // The time of the call passes between the steps.
    let patient = RedisConfig::new(server.url()).response_timeout(Duration::from_secs(60));
    let store = RedisStore::open(patient).await.unwrap();
    let name = key("a");
    put(&store, &name, large(1, 2 * MIB), Condition::Any).await;
    reset(&server);
    let mut read = Box::pin(store.retrieve(&name));
    let mut changes = 1;
    let found = loop {
        if let Some(found) = step(&store, read.as_mut()).await {
            break found;
        }
        changes += 1;
        assert!(changes < 100, "it ends");
        put(&store, &name, large(changes, 2 * MIB), Condition::Any).await;
    };
    assert!((1..=changes).any(|n| found == large(n, 2 * MIB)));
    assert_eq!(reads(&server).get("get"), Some(&1), "after four attempts");
}
