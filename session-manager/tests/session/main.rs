//! The guarantees of sessions: in every order, at every step, and with every lost answer.
//!
//! `SESSION_KIT_FULL=1` walks all orders. Otherwise the walk of three requests is shortened.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[cfg(all(feature = "json", feature = "bincode"))]
mod codecs;
mod cuts;
mod erased;
mod fields;
mod handle;
mod handover;
mod hints;
mod killed;
mod lost;
mod orders;
mod owned;
mod reference;
mod secrets;
#[cfg(all(feature = "json", feature = "bincode"))]
mod shapes;
mod sweep;
mod times;
mod users;

use std::time::Duration;

use session_core::{Driver, SessionId, TestClock, Timestamp};
use session_manager::{IdUpdate, Outcome, Session, Sessions};

use session_conformance::testing::MapDriver as Map;
use session_conformance::testing::Probe;

fn clock() -> TestClock {
    TestClock::new(Timestamp::from_millis(1_800_000_000_000))
}

fn fresh() -> (Map, Sessions<Map>, TestClock) {
    let clock = clock();
    let map = Map::new(clock.clone());
    (map.clone(), Sessions::new(map).unwrap(), clock)
}

/// Sessions over a probe.
struct Stage {
    map: Map,
    clock: TestClock,
    probe: Probe<Map>,
    sessions: Sessions<Probe<Map>>,
}

impl Stage {
    /// With `answers`, requests also stop between a change and its answer.
    fn new(answers: bool) -> Self {
        let clock = clock();
        let map = Map::new(clock.clone());
        let probe = if answers { Probe::parking_answers(map.clone()) } else { Probe::new(map.clone()) };
        let sessions = Sessions::new(probe.clone()).unwrap();
        Self { map, clock, probe, sessions }
    }

    async fn open(&self, id: SessionId) -> Session {
        self.sessions.load(id).await.unwrap()
    }

    async fn exists(&self, id: SessionId) -> bool {
        self.open(id).await.exists().unwrap()
    }

    async fn counter(&self, id: SessionId) -> Option<u32> {
        self.open(id).await.get("n").unwrap()
    }

    /// Lets all late changes arrive.
    async fn arrive(&self) {
        while self.probe.late() > 0 {
            self.probe.apply_late().await.unwrap();
        }
    }
}

fn told(session: &Session) -> SessionId {
    match session.id_update() {
        IdUpdate::Set { id, .. } => id,
        other => panic!("{other:?}"),
    }
}

/// A stored session with a counter of 0 and a few values.
async fn begun<D: Driver>(sessions: &Sessions<D>) -> SessionId {
    let session = sessions.load(None).await.unwrap();
    session.insert("n", &0).unwrap();
    session.insert("name", "Ada").unwrap();
    session.flash().set("notice", &1).unwrap();
    let _ = sessions.finish(&session).await.unwrap();
    told(&session)
}

/// Another request changes the session.
async fn disturb<D: Driver>(sessions: &Sessions<D>, id: SessionId, write: impl FnOnce(&Session)) {
    let other = sessions.load(id).await.unwrap();
    write(&other);
    assert_eq!(sessions.finish(&other).await.unwrap().outcome, Outcome::Updated);
}

const HOUR: Duration = Duration::from_secs(3_600);

fn add(session: &Session) {
    session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1).unwrap();
}
