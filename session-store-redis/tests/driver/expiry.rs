//! The engine's own expiry, which collects and decides nothing.

use std::sync::Arc;
use std::time::Duration;

use session_core::{Clock, Condition, Driver, Record, TestClock, Timestamp, Touch};
use session_store_redis::{RedisConfig, RedisStore};
use xtask_redis::Server;

use crate::{at, key, put, record, server};

/// A store by a clock that is far from the server's: what counts is how long a record has still to live.
async fn store(server: &Server) -> (RedisStore, TestClock) {
    let clock = TestClock::new(Timestamp::from_millis(5_000_000));
    let config = RedisConfig::new(server.url()).clock(Arc::new(clock.clone()));
    (RedisStore::connect(config).await.unwrap(), clock)
}

/// For how long the engine keeps the record, in milliseconds; -1 for ever, -2 if it has none.
fn left(server: &Server) -> i64 {
    server.command("PTTL session-kit:user:a").unwrap()[1..].parse().unwrap()
}

fn about(server: &Server, seconds: i64) {
    let left = left(server);
    // It runs while the test does.
    assert!((seconds * 1_000 - 30_000..=seconds * 1_000).contains(&left), "{left} ms for {seconds} s");
}

#[tokio::test]
async fn the_engine_collects_a_minute_after_the_deadline_of_each_store_and_touch() {
    let server = server();
    let (store, clock) = store(&server).await;
    let after = |seconds| Some(clock.now().saturating_add(Duration::from_secs(seconds)));
    put(&store, &key("a"), Record { expires: after(100), ..record(1) }, Condition::Any).await;
    about(&server, 160);
    put(&store, &key("a"), Record { expires: after(300), ..record(2) }, at(1)).await;
    about(&server, 360);
    assert!(
        store
            .touch(
                &key("a"),
                Touch { from: record(2).revision, to: record(3).revision, deadline: after(1_000) }
            )
            .await
            .unwrap()
    );
    about(&server, 1_060);
    assert!(
        store
            .touch(&key("a"), Touch { from: record(3).revision, to: record(4).revision, deadline: after(50) })
            .await
            .unwrap()
    );
    about(&server, 110);
    assert!(
        store
            .touch(&key("a"), Touch { from: record(4).revision, to: record(5).revision, deadline: None })
            .await
            .unwrap()
    );
    assert_eq!(left(&server), -1);
    put(&store, &key("a"), Record { expires: after(10), ..record(6) }, at(5)).await;
    about(&server, 70);
    put(&store, &key("a"), record(7), at(6)).await;
    assert_eq!(left(&server), -1, "a deadline that was taken off");
}

#[tokio::test]
async fn the_callers_clock_decides_whatever_the_servers_says() {
    let server = server();
    let (store, clock) = store(&server).await;
    let soon = Some(clock.now().saturating_add(Duration::from_millis(5)));
    put(&store, &key("a"), Record { expires: soon, ..record(1) }, Condition::Any).await;
    // For the server's clock 1970 is long ago.
    assert!(store.retrieve(&key("a")).await.unwrap().is_some());
    put(&store, &key("a"), Record { expires: soon, ..record(2) }, at(1)).await;
    clock.advance(Duration::from_millis(5));
    assert_eq!(store.retrieve(&key("a")).await.unwrap(), None);
    assert!(left(&server) > 0, "the engine has it still");
    assert!(
        !store
            .touch(&key("a"), Touch { from: record(2).revision, to: record(3).revision, deadline: None })
            .await
            .unwrap()
    );
    put(&store, &key("a"), record(4), Condition::Absent).await;
}

#[tokio::test]
async fn deadlines_that_are_past_or_without_end_are_what_they_are() {
    let server = server();
    let (store, clock) = store(&server).await;
    let (past, far) = (Timestamp::from_millis(0), Timestamp::from_millis(253_402_300_799_999));
    for when in [Condition::Any, Condition::Absent] {
        put(&store, &key("a"), Record { expires: Some(past), ..record(1) }, when).await;
        assert_eq!(left(&server), -2);
    }
    put(&store, &key("a"), Record { expires: Some(far), ..record(1) }, Condition::Any).await;
    assert!(left(&server) > 253_000_000_000_000, "the year 9999");
    for (n, end) in [(1, u64::MAX), (2, u64::MAX - 1), (3, 1 << 62)] {
        let end = Some(Timestamp::from_millis(end));
        put(&store, &key("a"), Record { expires: end, ..record(n + 1) }, at(n)).await;
        assert!(store.retrieve(&key("a")).await.unwrap().is_some());
        assert_eq!(left(&server), -1, "no engine counts that far");
    }
    assert!(
        store
            .touch(&key("a"), Touch { from: record(4).revision, to: record(5).revision, deadline: Some(far) })
            .await
            .unwrap()
    );
    assert!(left(&server) > 253_000_000_000_000);
    clock.advance(Duration::from_secs(1_000_000_000));
    assert_eq!(store.retrieve(&key("a")).await.unwrap().unwrap().expires, Some(far));
    assert!(
        store
            .touch(
                &key("a"),
                Touch { from: record(5).revision, to: record(6).revision, deadline: Some(past) }
            )
            .await
            .unwrap()
    );
    assert_eq!(left(&server), -2);
}
