//! The events of cookie-only sessions.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use session_kit::memory::{MemoryConfig, MemoryStore};
use session_kit::test_kit::{Client, TestClock};
use session_kit::{CarriedSessions, Driver, EndReason, Event, NoStore, Observer, SessionTag, Sessions};

use super::app::{app_of, clock, ring, sealed};

#[derive(Default)]
struct Events(Mutex<Vec<Event>>);

impl Observer for Events {
    fn event(&self, _: Option<SessionTag>, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl Events {
    fn count(&self, event: &Event) -> usize {
        self.0.lock().unwrap().iter().filter(|seen| *seen == event).count()
    }
}

fn watched<D: Driver>(driver: D, epochs: bool) -> (CarriedSessions<D>, Arc<Events>) {
    let events = Arc::new(Events::default());
    let sessions = Sessions::builder(driver).user_epochs(epochs).observer(Arc::clone(&events) as _);
    (CarriedSessions::new(sessions.build().unwrap()).unwrap(), events)
}

fn memory(clock: &TestClock) -> MemoryStore {
    MemoryStore::open(MemoryConfig::new().clock(Arc::new(clock.clone()))).unwrap()
}

/// No client guesses a sealed session.
#[tokio::test]
async fn late_cookie_is_expired_and_not_unknown() {
    let clock = clock();
    let (sessions, events) = watched(NoStore::with_clock(Arc::new(clock.clone())), false);
    let mut client = Client::new(app_of(sessions, sealed(&ring(), 1)));
    client.post("/login/ada", "").await;
    clock.advance(Duration::from_secs(2 * 3_600));
    assert_eq!(client.get("/show").await.text(), "guest false 0");
    assert_eq!((events.count(&Event::Ended(EndReason::Expired)), events.count(&Event::UnknownId)), (1, 0));
}

/// Only the driver of epochs keeps records that a sweep removes.
#[tokio::test]
async fn day_without_a_sweep_of_epochs_is_reported_once() {
    async fn reports<D: Driver>(clock: &TestClock, driver: D, epochs: bool, sweeps: bool) -> usize {
        let (sessions, events) = watched(driver, epochs);
        let mut client = Client::new(app_of(sessions.clone(), sealed(&ring(), 1)));
        for _ in 0..60 {
            client.clear_cookies();
            client.post("/login/ada", "").await;
            clock.advance(Duration::from_secs(3_600));
            if sweeps {
                sessions.base().sweep_once(100).await.unwrap();
            }
        }
        events.count(&Event::SweepMissing)
    }
    let clock = clock();
    assert_eq!(reports(&clock, memory(&clock), true, false).await, 1);
    assert_eq!(reports(&clock, memory(&clock), true, true).await, 0);
    assert_eq!(reports(&clock, memory(&clock), false, false).await, 0);
    assert_eq!(reports(&clock, NoStore::with_clock(Arc::new(clock.clone())), false, false).await, 0);
}
