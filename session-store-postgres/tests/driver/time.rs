//! Records that expire while a change waits.

use std::sync::Arc;
use std::time::Duration;

use session_core::{Condition, Driver, Record, Revision, TestClock, Timestamp, Touch};
use session_store_postgres::PostgresStore;

use crate::{config, key, lock, nap, open, put, raw, record, server, waiting};

/// Another caller may have seen the record as absent meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_that_waits_for_a_connection_revives_nothing() {
    let server = server();
    let clock = TestClock::new(Timestamp::from_millis(1_000));
    let settings = config(server.url()).connections(1).clock(Arc::new(clock.clone()));
    let store = PostgresStore::open(settings).await.unwrap();
    let short = |n| Record { expires: Some(Timestamp::from_millis(2_000)), ..record(n) };
    put(&store, &key("blocked"), record(1)).await;
    for name in ["touched", "stored", "removed"] {
        put(&store, &key(name), short(1)).await;
    }
    let other = raw(&server.url()).await;
    lock(&other, &key("blocked")).await;
    let blocked = tokio::spawn({
        let store = store.clone();
        async move { store.store(&key("blocked"), record(2), Condition::Any).await }
    });
    waiting(&other).await;
    let at = Condition::Revision(record(1).revision);
    let touched = tokio::spawn({
        let store = store.clone();
        let touch = Touch { from: record(1).revision, to: Revision::from_bytes([9; 8]), deadline: None };
        async move { store.touch(&key("touched"), touch).await }
    });
    let stored = tokio::spawn({
        let store = store.clone();
        async move { store.store(&key("stored"), record(3), at).await }
    });
    let removed = tokio::spawn({
        let store = store.clone();
        async move { store.remove(&key("removed"), at).await }
    });
    nap(200).await;
    clock.advance(Duration::from_secs(5));
    other.batch_execute("COMMIT").await.unwrap();
    assert!(blocked.await.unwrap().unwrap().is_applied());
    assert!(!touched.await.unwrap().unwrap());
    assert!(!stored.await.unwrap().unwrap().is_applied());
    assert!(!removed.await.unwrap().unwrap().is_applied());
    for name in ["touched", "stored", "removed"] {
        assert_eq!(store.retrieve(&key(name)).await.unwrap(), None, "{name}");
    }
}

/// A record whose revision cannot be read is damaged while it lives, and absent after its deadline.
#[tokio::test]
async fn expired_damaged_record_is_absent() {
    let server = server();
    let store = open(&server).await;
    let damage = |sql| assert_eq!(server.sql(sql).unwrap(), "1");
    let at = Condition::Revision(record(1).revision);
    for condition in [Condition::Any, Condition::Absent, at] {
        put(&store, &key("a"), record(1)).await;
        damage("UPDATE sessions SET revision = '\\x07', deadline = 1, due = 1 RETURNING 1");
        assert_eq!(
            store.remove(&key("a"), condition).await.unwrap().is_applied(),
            condition == Condition::Absent,
            "{condition:?}"
        );
        put(&store, &key("a"), record(1)).await;
        damage("UPDATE sessions SET revision = '\\x07', deadline = 1, due = 1 RETURNING 1");
        let expired = Record { expires: Some(Timestamp::EPOCH), ..record(2) };
        assert_eq!(store.store(&key("a"), expired, condition).await.unwrap().is_applied(), condition != at);
    }
}
