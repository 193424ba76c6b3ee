//! Sessions of an old system, which become sessions of ours once.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderMap;
use session_conformance::testing::{Probe, amount, poll_once};
use session_core::{Driver, Operation, SessionId, StoreError, StoreErrorKind, TestClock};
use session_manager::{
    CarriedSessions, EndOld, EndReason, ErrorKind, Event, HandoverSource, Observer, OldId, OnStoreError,
    RequestInfo, Session, SessionTag, Sessions, SessionsBuilder,
};

use crate::{Map, clock, told};

/// Sessions of an old system by their id, with the name of the user.
#[derive(Clone, Default)]
pub(crate) struct OldSystem(pub(crate) Arc<OldState>);

#[derive(Default)]
pub(crate) struct OldState {
    pub(crate) users: Mutex<BTreeMap<String, String>>,
    failure: Mutex<Option<StoreErrorKind>>,
    pub(crate) reads: AtomicUsize,
    events: Mutex<Vec<Event>>,
}

impl OldSystem {
    pub(crate) fn with(id: &str, user: &str) -> Self {
        let old = Self::default();
        old.0.users.lock().unwrap().insert(id.to_owned(), user.to_owned());
        old
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        self.0.users.lock().unwrap().contains_key(id)
    }

    pub(crate) fn fail(&self, kind: impl Into<Option<StoreErrorKind>>) {
        *self.0.failure.lock().unwrap() = kind.into();
    }

    fn check(&self) -> session_core::Result<()> {
        match *self.0.failure.lock().unwrap() {
            Some(kind) => Err(StoreError::new(kind, Operation::Retrieve)),
            None => Ok(()),
        }
    }

    pub(crate) fn saw(&self, event: &Event) -> usize {
        self.0.events.lock().unwrap().iter().filter(|seen| *seen == event).count()
    }
}

impl HandoverSource for OldSystem {
    type Old = String;

    fn find(&self, headers: &HeaderMap) -> Option<OldId> {
        headers.get("old").map(OldId::new)
    }

    async fn read(&self, id: &OldId) -> session_core::Result<Option<String>> {
        self.0.reads.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        self.check()?;
        Ok(self.0.users.lock().unwrap().get(id.as_str().unwrap()).cloned())
    }

    async fn end(&self, id: &OldId) -> session_core::Result<()> {
        self.check()?;
        self.0.users.lock().unwrap().remove(id.as_str().unwrap());
        Ok(())
    }
}

impl Observer for OldSystem {
    fn event(&self, _: Option<SessionTag>, event: &Event) {
        self.0.events.lock().unwrap().push(event.clone());
    }
}

pub(crate) fn builder<D: Driver>(driver: D, old: &OldSystem) -> SessionsBuilder<D> {
    Sessions::builder(driver).observer(Arc::new(old.clone())).handover(
        old.clone(),
        |user: String, session| {
            if user == "banned" {
                return Ok(false);
            }
            session.login(&user)?;
            session.insert("from", "old")?;
            Ok(true)
        },
    )
}

fn stage(old: &OldSystem, end: EndOld) -> (Map, TestClock, Sessions<Map>) {
    let clock = clock();
    let map = Map::new(clock.clone());
    (map.clone(), clock, builder(map, old).end_old(end).build().unwrap())
}

pub(crate) fn request<D: Driver>(
    sessions: &Sessions<D>,
    id: impl Into<Option<SessionId>>,
    old: &'static str,
) -> RequestInfo {
    let headers = HeaderMap::from_iter([("old".parse().unwrap(), old.parse().unwrap())]);
    RequestInfo::from(id.into()).old(sessions.old_session(&headers))
}

/// A request with an old session and none of ours.
async fn arrive<D: Driver>(sessions: &Sessions<D>, old: &'static str) -> Session {
    sessions.load(request(sessions, None, old)).await.unwrap()
}

pub(crate) fn count(map: &Map, prefix: &str) -> usize {
    map.all().keys().filter(|key| key.as_str().starts_with(prefix)).count()
}

#[tokio::test]
async fn old_session_becomes_ours_under_a_new_id() {
    let old = OldSystem::with("an-old-id-of-32-characters-long-", "alice");
    let (map, _, sessions) = stage(&old, EndOld::Never);
    let session = arrive(&sessions, "an-old-id-of-32-characters-long-").await;
    assert_eq!(session.user().unwrap().as_deref(), Some("alice"));
    assert_eq!(session.get::<String>("from").unwrap().as_deref(), Some("old"));
    session.insert("more", &1).unwrap();
    let _ = sessions.finish(&session).await.unwrap();
    let id = told(&session);
    assert_ne!(id.reveal().as_str(), "an-old-id-of-32-characters-long-");
    assert!(old.has("an-old-id-of-32-characters-long-"));
    assert_eq!(old.saw(&Event::TakenOver), 1);

    // From now on the session of ours counts, and the old system is not asked.
    let again = sessions.load(request(&sessions, id, "an-old-id-of-32-characters-long-")).await.unwrap();
    assert_eq!(again.get::<u8>("more").unwrap(), Some(1));
    assert_eq!(old.0.reads.load(Ordering::Relaxed), 1);
    assert_eq!((count(&map, "session:"), count(&map, "handover:")), (1, 1));
    let shown = format!("{:?}", map.all());
    assert!(!shown.contains("an-old-id"), "{shown}");
    assert_eq!(sessions.of_user("alice").await.unwrap().len(), 1);
}

#[tokio::test]
async fn without_an_old_session_there_is_none() {
    let old = OldSystem::with("old", "banned");
    let (map, _, sessions) = stage(&old, EndOld::Now);
    for name in ["unknown", "old"] {
        let session = arrive(&sessions, name).await;
        assert!(!session.exists().unwrap());
        session.insert("a", &1).unwrap();
        let _ = sessions.finish(&session).await.unwrap();
        assert_eq!(session.user().unwrap(), None);
    }
    assert!(old.has("old"));
    assert_eq!((count(&map, "session:"), count(&map, "handover:")), (2, 0));
    assert_eq!(sessions.old_session(&HeaderMap::new()), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_at_once_take_over_once() {
    for _ in 0..amount(50, 1_000) {
        let old = OldSystem::with("old", "alice");
        let map = Map::new(clock());
        let probe = Probe::new(map.clone());
        probe.yields(true);
        let sessions = builder(probe, &old).build().unwrap();
        let requests: Vec<_> = (0..8)
            .map(|_| {
                let sessions = sessions.clone();
                tokio::spawn(async move { arrive(&sessions, "old").await })
            })
            .collect();
        let mut winners = 0;
        for request in requests {
            let session = request.await.unwrap();
            if session.exists().unwrap() {
                winners += 1;
            } else {
                assert_eq!(session.end_reason().unwrap(), Some(EndReason::Replaced));
                // Creates nothing, so that no cookie replaces the winner's.
                session.insert("a", &1).unwrap();
                let _ = sessions.finish(&session).await.unwrap();
                assert_eq!(session.id_update(), session_manager::IdUpdate::None);
            }
        }
        assert_eq!((winners, count(&map, "session:")), (1, 1));
        assert_eq!(old.saw(&Event::TakenOver), 1);
    }
}

#[tokio::test]
async fn dropped_takeover_is_repeated_after_its_claim() {
    let old = OldSystem::with("old", "alice");
    let clock = clock();
    let map = Map::new(clock.clone());
    let probe = Probe::new(map.clone());
    probe.yields(true);
    let sessions = builder(probe, &old).build().unwrap();
    {
        let mut load = pin!(arrive(&sessions, "old"));
        while count(&map, "handover:") == 0 {
            assert!(poll_once(load.as_mut()).is_none());
        }
    }
    assert_eq!(count(&map, "session:"), 0);
    assert!(!arrive(&sessions, "old").await.exists().unwrap());
    clock.advance(Duration::from_secs(31));
    assert!(arrive(&sessions, "old").await.exists().unwrap());
}

#[tokio::test]
async fn slow_takeover_loses_to_the_next() {
    let old = OldSystem::with("old", "alice");
    let clock = clock();
    let map = Map::new(clock.clone());
    let probe = Probe::new(map.clone());
    probe.yields(true);
    let sessions = builder(probe, &old).build().unwrap();
    let mut slow = pin!(arrive(&sessions, "old"));
    while count(&map, "handover:") == 0 {
        assert!(poll_once(slow.as_mut()).is_none());
    }
    clock.advance(Duration::from_secs(31));
    assert!(arrive(&sessions, "old").await.exists().unwrap());
    let slow = slow.await;
    assert!(!slow.exists().unwrap());
    assert_eq!(slow.id_update(), session_manager::IdUpdate::None);
    assert_eq!((count(&map, "session:"), old.saw(&Event::TakenOver)), (1, 1));
}

#[tokio::test]
async fn logout_is_final_in_every_mode() {
    for (end, at_once, at_logout) in
        [(EndOld::Never, false, false), (EndOld::Now, true, true), (EndOld::AtLogout, false, true)]
    {
        let old = OldSystem::with("old", "alice");
        let (_, clock, sessions) = stage(&old, end);
        let session = arrive(&sessions, "old").await;
        let _ = sessions.finish(&session).await.unwrap();
        assert_eq!(old.has("old"), !at_once);
        let request = request(&sessions, told(&session), "old");
        assert!(sessions.load(request).await.unwrap().destroy("logout").await.unwrap());
        assert_eq!(old.has("old"), !at_logout);

        // Also if the old system keeps the session, and long after the session of ours would have ended.
        old.0.users.lock().unwrap().insert("old".to_owned(), "alice".to_owned());
        for day in 0..29 {
            let next = arrive(&sessions, "old").await;
            assert!(!next.exists().unwrap(), "{end:?}, day {day}");
            // An anonymous visit works at once.
            assert_eq!(next.end_reason().unwrap(), None);
            clock.advance(Duration::from_secs(86_400));
        }
    }
}

#[tokio::test]
async fn logout_closes_an_old_session_that_was_never_taken() {
    let old = OldSystem::with("old", "alice");
    let (_, _, sessions) = stage(&old, EndOld::Never);
    let session = sessions.load(None).await.unwrap();
    session.login("bob").unwrap();
    let _ = sessions.finish(&session).await.unwrap();
    let session = sessions.load(request(&sessions, told(&session), "old")).await.unwrap();
    assert_eq!(session.user().unwrap().as_deref(), Some("bob"));
    session.destroy("logout").await.unwrap();
    assert!(!arrive(&sessions, "old").await.exists().unwrap());

    // A logout is the first request: it ends both.
    let old = OldSystem::with("old", "alice");
    let (map, _, sessions) = stage(&old, EndOld::AtLogout);
    sessions.lazy(request(&sessions, None, "old")).destroy("logout").await.unwrap();
    assert!(!old.has("old"));
    assert_eq!(count(&map, "session:"), 0);
}

#[tokio::test]
async fn kept_old_id_ends_the_old_session_without_its_cookie() {
    let old = OldSystem::with("old", "alice");
    let map = Map::new(clock());
    let sessions = builder(map.clone(), &old).keep_old_id(true).build().unwrap();
    let session = arrive(&sessions, "old").await;
    session.rotate().unwrap();
    let _ = sessions.finish(&session).await.unwrap();
    // The session cookie has replaced the old one, so the source takes the new id for an old one.
    let request = RequestInfo::from(told(&session)).old(Some(OldId::new(told(&session).reveal().as_str())));
    assert!(sessions.load(request).await.unwrap().destroy("logout").await.unwrap());
    assert!(!old.has("old"));
    old.0.users.lock().unwrap().insert("old".to_owned(), "alice".to_owned());
    assert!(!arrive(&sessions, "old").await.exists().unwrap());
}

#[tokio::test]
async fn failures_of_the_old_system_follow_the_policy() {
    let old = OldSystem::with("old", "alice");
    let (map, _, sessions) = stage(&old, EndOld::AtLogout);
    old.fail(StoreErrorKind::Unavailable);
    let error = sessions.load(request(&sessions, None, "old")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    let request = |id| request(&sessions, id, "old").on_store_error(OnStoreError::Continue);
    assert!(sessions.load(request(None)).await.unwrap().is_detached());

    old.fail(StoreErrorKind::Corrupt);
    let session = arrive(&sessions, "old").await;
    assert!(!session.exists().unwrap() && !session.is_detached());
    assert_eq!((old.saw(&Event::OldUnreadable), map.all().len()), (1, 0));

    old.fail(None);
    let session = arrive(&sessions, "old").await;
    let _ = sessions.finish(&session).await.unwrap();
    old.fail(StoreErrorKind::Unavailable);
    // The session of ours ends, whatever the old system answers.
    let refused = request(Some(told(&session))).on_store_error(OnStoreError::Reject);
    assert!(sessions.load(refused.clone()).await.unwrap().destroy("logout").await.is_err());
    assert!(!sessions.load(told(&session)).await.unwrap().exists().unwrap());
    assert_eq!(old.saw(&Event::OldEndFailed), 1);
    // The call may be repeated.
    old.fail(None);
    let _ = sessions.load(refused).await.unwrap().destroy("logout").await.unwrap();
    assert!(!old.has("old"));
}

#[tokio::test]
async fn refused_client_does_not_take_over() {
    let old = OldSystem::with("old", "alice");
    let map = Map::new(clock());
    let sessions = builder(map, &old).check_user_agent(true).build().unwrap();
    let from = |id: Option<SessionId>, agent: &'static str| {
        request(&sessions, id, "old").user_agent(Some(bytes::Bytes::from_static(agent.as_bytes())))
    };
    let session = sessions.load(RequestInfo::default().user_agent(Some("Firefox".into()))).await.unwrap();
    session.insert("a", &1).unwrap();
    let _ = sessions.finish(&session).await.unwrap();
    let other = sessions.load(from(Some(told(&session)), "curl")).await.unwrap();
    assert!(!other.exists().unwrap());
    assert_eq!(old.0.reads.load(Ordering::Relaxed), 0);
    assert!(sessions.load(from(None, "curl")).await.unwrap().exists().unwrap());
}

#[test]
fn sessions_that_the_client_keeps_refuse_a_handover() {
    let base = builder(Map::new(clock()), &OldSystem::default()).build().unwrap();
    assert_eq!(CarriedSessions::new(base).unwrap_err().kind(), ErrorKind::Config);
}
