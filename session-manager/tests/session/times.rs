//! Deadlines and times set by a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use session_manager::{Event, Observer, Outcome, SessionTag, Sessions};

use crate::{HOUR, Map, add, begun, clock, fresh};

#[tokio::test]
async fn counter_and_its_deadline_survive_replay() {
    let (_, sessions, clock) = fresh();
    let id = begun(&sessions).await;
    let both = [sessions.load(id).await.unwrap(), sessions.load(id).await.unwrap()];
    for session in &both {
        add(session);
        assert!(session.expire_key("n", Duration::from_secs(1)).unwrap());
    }
    for session in &both {
        assert_eq!(sessions.finish(session).await.unwrap().outcome, Outcome::Updated);
    }
    assert_eq!(sessions.load(id).await.unwrap().get("n").unwrap(), Some(2));
    clock.advance(Duration::from_secs(1));
    assert_eq!(sessions.load(id).await.unwrap().get::<u32>("n").unwrap(), None);
}

#[tokio::test]
async fn times_set_before_the_first_value_are_kept() {
    let (_, sessions, _) = fresh();
    let session = sessions.load(None).await.unwrap();
    let month = Duration::from_secs(30 * 86_400);
    session.set_idle_timeout(month).unwrap();
    session.set_absolute_lifetime(None).unwrap();
    assert_eq!(session.commit().await.unwrap().outcome, Outcome::Unchanged);
    session.insert("a", &1).unwrap();
    assert_eq!(session.commit().await.unwrap().outcome, Outcome::Created);
    assert_eq!(session.deadline().unwrap(), Some(sessions.now().saturating_add(month)));
}

#[derive(Default)]
struct Missing(AtomicU32);

impl Observer for Missing {
    fn event(&self, _: Option<SessionTag>, event: &Event) {
        self.0.fetch_add(u32::from(*event == Event::SweepMissing), Ordering::Relaxed);
    }
}

#[tokio::test]
async fn day_without_a_sweep_is_reported_once() {
    for sweeps in [false, true] {
        let (clock, missing) = (clock(), Arc::new(Missing::default()));
        let sessions = Sessions::builder(Map::new(clock.clone())).observer(Arc::clone(&missing) as _);
        let sessions = sessions.build().unwrap();
        let mut reports = Vec::new();
        for hour in 0..60 {
            if sweeps && hour == 12 {
                sessions.sweep_once(10).await.unwrap();
            }
            begun(&sessions).await;
            reports.push(missing.0.load(Ordering::Relaxed));
            clock.advance(HOUR);
        }
        let first = reports.iter().position(|count| *count > 0);
        assert_eq!((first, reports.last()), (Some(if sweeps { 36 } else { 24 }), Some(&1)));
    }
}
