//! An old system that owns the logins while both run side by side.

use session_conformance::testing::amount;
use session_core::{SessionId, StoreErrorKind};
use session_manager::{
    EndOld, EndReason, ErrorKind, Event, IdUpdate, OldId, OnOldFailure, RequestInfo, Session, Sessions,
};
use std::sync::atomic::Ordering;

use crate::handover::{OldSystem, builder, count, request};
use crate::{Map, clock, told};

fn stage(old: &OldSystem, away: OnOldFailure) -> (Map, Sessions<Map>) {
    let map = Map::new(clock());
    (map.clone(), builder(map, old).old_owns(away).build().unwrap())
}

async fn visit(sessions: &Sessions<Map>, id: impl Into<Option<SessionId>>) -> Session {
    let session = sessions.load(request(sessions, id, "old")).await.unwrap();
    let _ = sessions.finish(&session).await.unwrap();
    session
}

/// A session of ours that follows a login of alice over there.
async fn follower(sessions: &Sessions<Map>) -> SessionId {
    let session = visit(sessions, None).await;
    assert_eq!(session.user().unwrap().as_deref(), Some("alice"));
    told(&session)
}

#[tokio::test]
async fn loss_of_the_old_cookie_ends_the_session() {
    let old = OldSystem::with("old", "alice");
    let (map, sessions) = stage(&old, OnOldFailure::Fail);
    let id = follower(&sessions).await;
    let reads = old.0.reads.load(Ordering::Relaxed);
    let info = RequestInfo::from(id).old(sessions.old_session(&http::HeaderMap::new()));
    let session = sessions.load(info).await.unwrap();
    assert_eq!(session.end_reason().unwrap(), Some(EndReason::Destroyed("ended in the old system".into())));
    assert_eq!(session.id_update(), IdUpdate::Clear);
    assert_eq!((old.0.reads.load(Ordering::Relaxed), count(&map, "session:")), (reads, 0));
    // A new id over there for the same user changes nothing here.
    let id = follower(&sessions).await;
    old.0.users.lock().unwrap().insert("new".to_owned(), "alice".to_owned());
    let info = RequestInfo::from(id).old(Some(OldId::new("new")));
    let session = sessions.load(info).await.unwrap();
    assert_eq!(session.user().unwrap().as_deref(), Some("alice"));
    let _ = sessions.finish(&session).await.unwrap();
    assert!(!matches!(session.id_update(), IdUpdate::Set { .. }));
}

#[tokio::test]
async fn sessions_of_ours_alone_stay() {
    let old = OldSystem::with("old", "alice");
    let (_, sessions) = stage(&old, OnOldFailure::Fail);
    let session = sessions.load(None).await.unwrap();
    session.login("carol").unwrap();
    let _ = sessions.finish(&session).await.unwrap();
    let id = told(&session);
    assert_eq!(visit(&sessions, id).await.user().unwrap().as_deref(), Some("carol"));
    // Nor is the old system asked.
    old.fail(StoreErrorKind::Unavailable);
    assert_eq!(visit(&sessions, id).await.user().unwrap().as_deref(), Some("carol"));
}

#[tokio::test]
async fn failure_of_the_old_store_follows_the_choice() {
    let old = OldSystem::with("old", "alice");
    let (_, sessions) = stage(&old, OnOldFailure::Keep);
    let id = follower(&sessions).await;
    old.fail(StoreErrorKind::Unavailable);
    assert_eq!(visit(&sessions, id).await.user().unwrap().as_deref(), Some("alice"));
    assert_eq!(old.saw(&Event::OldAway), 1);
    assert!(!visit(&sessions, None).await.exists().unwrap());
    // Damage is an end, as over there.
    old.fail(StoreErrorKind::Corrupt);
    assert!(!visit(&sessions, id).await.exists().unwrap());
    assert_eq!(old.saw(&Event::OldUnreadable), 1);

    let (_, sessions) = stage(&old, OnOldFailure::Fail);
    old.fail(None);
    let id = follower(&sessions).await;
    old.fail(StoreErrorKind::Unavailable);
    let error = sessions.load(request(&sessions, id, "old")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    old.fail(None);
    assert_eq!(visit(&sessions, id).await.user().unwrap().as_deref(), Some("alice"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_at_once_join_one_session() {
    for round in 0..amount(30, 500) {
        let old = OldSystem::with("old", "alice");
        let (map, sessions) = stage(&old, OnOldFailure::Fail);
        let session = sessions.load(None).await.unwrap();
        session.insert("cart", &round).unwrap();
        let _ = sessions.finish(&session).await.unwrap();
        let anonymous = told(&session);
        let requests: Vec<_> = (0..6)
            .map(|_| {
                let sessions = sessions.clone();
                tokio::spawn(async move { visit(&sessions, anonymous).await })
            })
            .collect();
        let mut ids = Vec::new();
        for request in requests {
            let session = request.await.unwrap();
            if session.user().unwrap().is_some() {
                assert_eq!(session.get::<usize>("cart").unwrap(), Some(round));
                ids.push(told(&session));
            } else {
                assert_eq!(session.id_update(), IdUpdate::None);
            }
        }
        assert_eq!(ids.len(), 1);
        assert_eq!(sessions.of_user("alice").await.unwrap().len(), 1);
        // The session and the tombstone of the anonymous one.
        assert_eq!(count(&map, "session:"), 2);
        assert_eq!(visit(&sessions, ids[0]).await.user().unwrap().as_deref(), Some("alice"));
    }
}

#[tokio::test]
async fn values_of_the_old_system_replace_ours_and_nothing_else() {
    let old = OldSystem::with("old", "alice");
    let (_, sessions) = stage(&old, OnOldFailure::Fail);
    let id = follower(&sessions).await;
    let session = visit(&sessions, id).await;
    let _ = sessions.finish(&session).await.unwrap();
    let session = sessions.load(request(&sessions, id, "old")).await.unwrap();
    session.insert("from", "ours").unwrap();
    session.insert("own", &7).unwrap();
    let _ = sessions.finish(&session).await.unwrap();
    let session = visit(&sessions, id).await;
    assert_eq!(session.get::<String>("from").unwrap().as_deref(), Some("old"));
    let later = sessions.load(id).await.unwrap();
    assert_eq!(later.get::<String>("from").unwrap().as_deref(), Some("old"));
    assert_eq!(later.get::<i32>("own").unwrap(), Some(7));
}

#[tokio::test]
async fn logout_without_an_end_over_there_stays_final() {
    let old = OldSystem::with("old", "alice");
    let map = Map::new(clock());
    let sessions = builder(map, &old).end_old(EndOld::Never).old_owns(OnOldFailure::Fail).build().unwrap();
    let id = follower(&sessions).await;
    let session = sessions.load(request(&sessions, id, "old")).await.unwrap();
    assert!(session.destroy("logout").await.unwrap());
    assert!(old.has("old") && !visit(&sessions, None).await.exists().unwrap());
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let old = OldSystem::default();
    let owned = || builder(Map::new(clock()), &old).old_owns(OnOldFailure::Fail);
    for both in [owned().keep_old_id(true), owned().end_old(EndOld::Now)] {
        assert_eq!(both.build().unwrap_err().kind(), ErrorKind::Config);
    }
}
