//! Sessions over a driver that is chosen at run time: each future runs in a spawned task.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use session_conformance::testing::MapDriver;
use session_core::{Capabilities, Cursor, Driver, DynDriver, Key, Record, Result};
use session_manager::{Outcome, Session, SessionRef, Sessions, Sweep};

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
    fn each<D: session_core::Driver>(
        sessions: &Sessions<D>,
        session: &Session,
        found: &session_manager::Found<D>,
    ) {
        spawnable(sessions.load(None));
        spawnable(sessions.commit(session));
        spawnable(sessions.finish(session));
        spawnable(sessions.find(Cursor::start(), 1));
        spawnable(sessions.sweep_once(1));
        spawnable(sessions.of_user("ada"));
        spawnable(sessions.end(&found.handle(), "reason"));
        spawnable(sessions.end_user("ada", "reason"));
        spawnable(sessions.end_others(session, "reason"));
        spawnable(sessions.user_data::<u32>("ada", "n"));
        spawnable(sessions.update_user_data("ada", "n", |n: Option<u32>| n.unwrap_or(0)));
        spawnable(sessions.merge_user_data(session, "n", |_, guest: u32| guest));
        spawnable(session.claim::<u32>("n"));
        spawnable(session.load());
        spawnable(session.commit());
        spawnable(session.destroy("reason"));
        spawnable(session.claim::<u32>("key"));
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
    let _: fn(&Sessions<DynDriver>, &Session, &session_manager::Found<DynDriver>) = each;
}

/// Claims `at_once`, and is pending at the first poll of each retrieve.
struct Waits {
    map: MapDriver,
    retrieves: Arc<AtomicUsize>,
}

impl Driver for Waits {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        self.retrieves.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        self.map.retrieve(key).await
    }
    fn capabilities(&self) -> Capabilities {
        self.map.capabilities().at_once(true)
    }
    session_core::forward!(map: store remove traverse touch purge flush close clock);
}

#[tokio::test]
async fn a_driver_that_does_not_answer_at_once_is_asked_again() {
    let retrieves = Arc::new(AtomicUsize::new(0));
    let driver = Waits { map: MapDriver::new(clock()), retrieves: Arc::clone(&retrieves) };
    let sessions = Sessions::new(driver).unwrap();
    let id = begun(&sessions).await;
    assert_eq!(retrieves.load(Ordering::Relaxed), 0);
    assert_eq!(sessions.load(id).await.unwrap().get("n").unwrap(), Some(0));
    assert_eq!(retrieves.load(Ordering::Relaxed), 2);
}
