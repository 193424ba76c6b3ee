//! Sessions over a driver that is chosen at run time: each future runs in a spawned task.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use session_conformance::testing::MapDriver;
use session_core::{Capabilities, Change, Condition, Cursor, Driver, DynDriver, Key, Record, Result};
use session_manager::{
    CarriedSessions, Found, LateSession, OldId, Outcome, Session, SessionRef, Sessions, Sweep,
};

use crate::{add, begun, clock, told};

async fn spawned<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    tokio::spawn(future).await.unwrap()
}

#[tokio::test]
async fn dyn_driver_sessions_run_in_spawned_tasks() {
    let sessions = Sessions::new(DynDriver::new(MapDriver::new(clock()))).unwrap();
    let id = begun(&sessions).await;
    let manager = sessions.clone();
    spawned(async move {
        let session = manager.load(id).await.unwrap();
        add(&session);
        assert_eq!(session.commit().await.unwrap().outcome, Outcome::Updated);
        add(&session);
        assert_eq!(manager.commit(&session).await.unwrap().outcome, Outcome::Updated);
        add(&session);
        assert_eq!(manager.finish(&session).await.unwrap().outcome, Outcome::Updated);
    })
    .await;
    let manager = sessions.clone();
    let new = spawned(async move {
        let lazy = manager.lazy(id);
        lazy.load().await.unwrap();
        assert_eq!(lazy.get::<u32>("n").unwrap(), Some(3));
        lazy.rotate().unwrap();
        let _ = manager.finish(&lazy).await.unwrap();
        told(&lazy)
    })
    .await;
    let manager = sessions.clone();
    spawned(async move {
        let page = manager.find(Cursor::start(), 10).await.unwrap();
        assert_eq!(page.sessions.len(), 1);
        assert!(page.sessions[0].end("operator").await.unwrap());
        assert_eq!(manager.sweep_once(10).await.unwrap().removed, 0);
        manager.sweep(Sweep::default()).stop().await;
        let session = manager.load(new).await.unwrap();
        assert!(!session.exists().unwrap());
        add(&session);
        let _ = session.commit().await.unwrap();
        assert!(session.destroy("logout").await.unwrap());
    })
    .await;
}

/// For each driver, so for each driver of this project too.
#[test]
fn every_future_is_send() {
    fn spawnable(_: impl Future + Send) {}
    fn each<D: Driver>(sessions: &Sessions<D>, session: &Session, found: &Found<D>) {
        spawnable(sessions.load(None));
        spawnable(sessions.commit(session));
        spawnable(sessions.finish(session));
        spawnable(sessions.find(Cursor::start(), 1));
        spawnable(sessions.sweep_once(1));
        spawnable(sessions.reference_to(None));
        spawnable(sessions.of_user("ada"));
        spawnable(sessions.end(&found.handle(), "reason"));
        spawnable(sessions.end_user("ada", "reason"));
        spawnable(sessions.end_others(session, "reason"));
        spawnable(sessions.user_data::<u32>("ada", "n"));
        spawnable(sessions.update_user_data("ada", "n", |n: Option<u32>| n.unwrap_or(0)));
        spawnable(sessions.merge_user_data(session, "n", |_, guest: u32| guest));
        spawnable(sessions.remove_user_data("ada"));
        spawnable(session.load());
        spawnable(session.reload());
        spawnable(session.commit());
        spawnable(session.destroy("reason"));
        spawnable(session.claim::<u32>("n"));
        spawnable(session.update_now("n", |n: Option<u32>| n.unwrap_or(0)));
        spawnable(found.end("reason"));
        spawnable(async move {
            let reference: SessionRef = session.reference().unwrap();
            (
                reference.open().await,
                reference.is_live().await,
                reference.touch().await,
                reference.ended().await,
            )
        });
    }
    let _: fn(&Sessions<DynDriver>, &Session, &Found<DynDriver>) = each;
    fn of_handover<D: Driver>(sessions: &Sessions<D>, old: &OldId) {
        spawnable(sessions.prepare(old, sessions.now(), |_| Ok(true)));
        spawnable(sessions.check_prepare(old, sessions.now(), |_| Ok(true)));
    }
    let _: fn(&Sessions<DynDriver>, &OldId) = of_handover;
    fn of_others<D: Driver>(carried: &CarriedSessions<D>, late: &LateSession) {
        spawnable(carried.end_user("ada", "reason"));
        spawnable(late.load());
        spawnable(late.finish());
    }
    let _: fn(&CarriedSessions<DynDriver>, &LateSession) = of_others;
}

/// Claims `at_once`, and is pending at the first poll of each retrieve and, before or after the change, of each store.
struct Waits {
    map: MapDriver,
    retrieves: Arc<AtomicUsize>,
    stores_first: bool,
}

impl Driver for Waits {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        self.retrieves.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        self.map.retrieve(key).await
    }
    async fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        if !self.stores_first {
            tokio::task::yield_now().await;
        }
        let change = self.map.store(key, record, condition).await;
        if self.stores_first {
            tokio::task::yield_now().await;
        }
        change
    }
    fn capabilities(&self) -> Capabilities {
        self.map.capabilities().at_once(true)
    }
    session_core::forward!(map: remove traverse touch purge flush close clock);
}

#[tokio::test]
async fn a_driver_that_does_not_answer_at_once_is_asked_again() {
    let retrieves = Arc::new(AtomicUsize::new(0));
    let driver =
        Waits { map: MapDriver::new(clock()), retrieves: Arc::clone(&retrieves), stores_first: false };
    let sessions = Sessions::new(driver).unwrap();
    let id = begun(&sessions).await;
    assert_eq!(retrieves.load(Ordering::Relaxed), 0);
    assert_eq!(sessions.load(id).await.unwrap().get("n").unwrap(), Some(0));
    assert_eq!(retrieves.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn commit_that_is_not_complete_at_once_is_made_once() {
    for stores_first in [false, true] {
        let driver = Waits { map: MapDriver::new(clock()), retrieves: Arc::default(), stores_first };
        let sessions = Sessions::new(driver).unwrap();
        let id = begun(&sessions).await;
        let session = sessions.load(id).await.unwrap();
        add(&session);
        assert!(sessions.finish_at_once(&session).is_none());
        let done = sessions.finish(&session).await.unwrap();
        assert_eq!(done.outcome, Outcome::Updated, "stored before the wait: {stores_first}");
        assert_eq!(sessions.load(id).await.unwrap().get("n").unwrap(), Some(1));
    }
}
