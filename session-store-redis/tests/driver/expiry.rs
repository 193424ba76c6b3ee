//! The engine's own expiry, which removes records and decides nothing.

use std::sync::Arc;
use std::time::Duration;

use session_core::{Clock, Condition, Driver, Record, TestClock, Timestamp};
use session_store_redis::{RedisConfig, RedisStore};
use xtask_redis::Server;

use crate::{at, key, put, record, server, touch};

/// A store whose clock is far from the server's. Only the remaining time to live matters.
async fn store(server: &Server) -> (RedisStore, TestClock) {
    let clock = TestClock::new(Timestamp::from_millis(5_000_000));
    let config = RedisConfig::new(server.url()).clock(Arc::new(clock.clone()));
    (RedisStore::open(config).await.unwrap(), clock)
}

/// The time to live in the engine in milliseconds; -1 for no limit, -2 for no record.
fn left(server: &Server) -> i64 {
    server.command("PTTL session-kit:user:a").unwrap()[1..].parse().unwrap()
}

fn about(server: &Server, seconds: i64) {
    let left = left(server);
    assert!((seconds * 1_000 - 30_000..=seconds * 1_000).contains(&left), "{left} ms for {seconds} s");
}

#[tokio::test]
async fn engine_removes_a_minute_after_the_deadline() {
    let server = server();
    let (store, clock) = store(&server).await;
    let after = |seconds| Some(clock.now().saturating_add(Duration::from_secs(seconds)));
    put(&store, &key("a"), Record { expires: after(100), ..record(1) }, Condition::Any).await;
    about(&server, 160);
    put(&store, &key("a"), Record { expires: after(300), ..record(2) }, at(1)).await;
    about(&server, 360);
    assert!(store.touch(&key("a"), touch(2, 3, after(1_000))).await.unwrap());
    about(&server, 1_060);
    assert!(store.touch(&key("a"), touch(3, 4, after(50))).await.unwrap());
    about(&server, 110);
    assert!(store.touch(&key("a"), touch(4, 5, None)).await.unwrap());
    assert_eq!(left(&server), -1);
    put(&store, &key("a"), Record { expires: after(10), ..record(6) }, at(5)).await;
    about(&server, 70);
    // By the server's clock the deadline is decades ago. Only the caller's clock decides.
    assert!(store.retrieve(&key("a")).await.unwrap().is_some());
    clock.advance(Duration::from_secs(10));
    assert_eq!(store.retrieve(&key("a")).await.unwrap(), None);
    about(&server, 70);
    put(&store, &key("a"), record(7), Condition::Absent).await;
    assert_eq!(left(&server), -1, "the deadline was removed");
}

#[tokio::test]
async fn past_and_distant_deadlines_are_kept() {
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
        assert_eq!(left(&server), -1, "beyond the range of the engine");
    }
    assert!(store.touch(&key("a"), touch(4, 5, Some(far))).await.unwrap());
    assert!(left(&server) > 253_000_000_000_000);
    clock.advance(Duration::from_secs(1_000_000_000));
    assert_eq!(store.retrieve(&key("a")).await.unwrap().unwrap().expires, Some(far));
    assert!(store.touch(&key("a"), touch(5, 6, Some(past))).await.unwrap());
    assert_eq!(left(&server), -2);
}
