//! The guarantees of sessions: in every order, at every step, and with every lost answer.
//!
//! `SESSION_KIT_FULL=1` walks all orders. Otherwise the walks of three requests and of lost answers are shortened.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod cuts;
mod erased;
mod handle;
mod killed;
mod lost;
mod orders;
mod secrets;
mod times;

use std::time::Duration;

use session_core::{SessionId, TestClock, Timestamp};
use session_manager::{IdUpdate, Session, Sessions};

use session_conformance::testing::MapDriver as Map;
use session_conformance::testing::full;

fn clock() -> TestClock {
    TestClock::new(Timestamp::from_millis(1_800_000_000_000))
}

fn fresh() -> (Map, Sessions<Map>, TestClock) {
    let clock = clock();
    let map = Map::new(clock.clone());
    (map.clone(), Sessions::new(map).unwrap(), clock)
}

fn told(session: &Session) -> SessionId {
    match session.id_update() {
        IdUpdate::Set { id, .. } => id,
        other => panic!("{other:?}"),
    }
}

/// A stored session with a counter of 0 and a few values.
async fn begun<D: session_core::Driver>(sessions: &Sessions<D>) -> SessionId {
    let session = sessions.load(None).await.unwrap();
    session.insert("n", &0).unwrap();
    session.insert("name", "Ada").unwrap();
    session.flash().set("notice", &1).unwrap();
    let _ = sessions.finish(&session).await.unwrap();
    told(&session)
}

const HOUR: Duration = Duration::from_secs(3_600);

fn add(session: &Session) {
    session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1).unwrap();
}
