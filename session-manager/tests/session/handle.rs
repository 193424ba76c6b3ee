//! The guarantees of the handle.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use session_core::{Operation, Record, Revision, SessionId, StoreError};
use session_manager::{Committed, EndReason, Error, ErrorKind, IdUpdate, Outcome, Session, Sessions};

use crate::{HOUR, Map, Stage, add, begun, disturb, fresh, told};
use session_conformance::testing::{Request, poll_once, step};

fn kind<T: std::fmt::Debug>(answer: Result<T, Error>) -> ErrorKind {
    answer.unwrap_err().kind()
}

/// A stored session, and a handle that has loaded it.
async fn loaded() -> (Sessions<Map>, SessionId, Session) {
    let (_, sessions, _) = fresh();
    let id = begun(&sessions).await;
    let session = sessions.load(id).await.unwrap();
    (sessions, id, session)
}

/// Every write fails with this error.
#[track_caller]
fn refuses_writes(session: &Session, expected: ErrorKind) {
    for result in [
        session.insert("a", &1),
        session.remove("n").map(drop),
        session.update("n", |n: Option<u32>| n.unwrap_or(0)).map(drop),
        session.clear_values(),
        session.rotate(),
        session.flash().get::<u32>("notice").map(drop),
    ] {
        assert_eq!(kind(result), expected);
    }
}

#[tokio::test]
async fn unloaded_session_is_not_readable_or_writable() {
    let (sessions, id, _) = loaded().await;
    let session = sessions.lazy(id);
    assert!(!session.is_loaded());
    assert_eq!(kind(session.get::<u32>("n")), ErrorKind::NotLoaded);
    refuses_writes(&session, ErrorKind::NotLoaded);
    // It was not used, so nothing is stored, and it stays unreadable.
    assert_eq!(sessions.finish(&session).await.unwrap().outcome, Outcome::Unchanged);
    assert_eq!(kind(session.get::<u32>("n")), ErrorKind::NotLoaded);
    refuses_writes(&session, ErrorKind::Committed);
    session.load().await.unwrap();
    assert_eq!(session.get("n").unwrap(), Some(0));
}

#[tokio::test]
async fn finished_session_is_read_only() {
    let (sessions, id, session) = loaded().await;
    add(&session);
    assert_eq!(sessions.finish(&session).await.unwrap().outcome, Outcome::Updated);
    assert_eq!(session.get("n").unwrap(), Some(1));
    refuses_writes(&session, ErrorKind::Committed);
    assert_eq!(kind(session.destroy("late").await), ErrorKind::Committed);
    assert_eq!(sessions.finish(&session).await.unwrap().outcome, Outcome::Unchanged);
    assert!(sessions.load(id).await.unwrap().exists().unwrap());
}

#[tokio::test]
async fn discard_drops_changes_and_seals() {
    let (sessions, id, session) = loaded().await;
    let held = Arc::new(());
    let (witness, clone) = (Arc::downgrade(&held), session.clone());
    session
        .update("n", move |n: Option<u32>| {
            let _ = (&held, &clone);
            n.unwrap_or(0)
        })
        .unwrap();
    session.discard();
    assert!(witness.upgrade().is_none(), "the closure, and the session it held, are gone");
    refuses_writes(&session, ErrorKind::Committed);
    assert_eq!(sessions.finish(&session).await.unwrap().outcome, Outcome::Unchanged);
    assert_eq!(sessions.load(id).await.unwrap().get("n").unwrap(), Some(0));
}

#[tokio::test]
async fn dropped_finish_has_sealed_the_handle() {
    let stage = Stage::new(true);
    let session = stage.open(begun(&stage.sessions).await).await;
    add(&session);
    stage.probe.close_gates();
    let mut finish: Request<'_, Result<Committed, Error>> = Box::pin(stage.sessions.finish(&session));
    assert!(step(&stage.probe, &mut finish).await.is_none());
    drop(finish);
    refuses_writes(&session, ErrorKind::Committed);
}

#[tokio::test]
async fn failed_or_slow_touch_fails_no_reader() {
    let stage = Stage::new(true);
    let id = begun(&stage.sessions).await;
    stage.clock.advance(HOUR);
    let session = stage.open(id).await;
    // The gate stays closed: the store does not answer.
    stage.probe.close_gates();
    assert_eq!(stage.sessions.finish(&session).await.unwrap().outcome, Outcome::Unchanged);
    stage.probe.open_gates();
    let session = stage.open(id).await;
    add(&session);
    assert_eq!(stage.sessions.finish(&session).await.unwrap().outcome, Outcome::Updated);
}

#[tokio::test]
async fn clones_are_busy_during_a_commit_and_sealed_after() {
    let stage = Stage::new(true);
    let session = stage.open(begun(&stage.sessions).await).await;
    let clone = session.clone();
    add(&session);
    stage.probe.close_gates();
    let mut first: Request<'_, Result<Committed, Error>> = Box::pin(stage.sessions.finish(&session));
    assert!(step(&stage.probe, &mut first).await.is_none());
    assert_eq!(kind(clone.get::<u32>("n")), ErrorKind::Busy);
    refuses_writes(&clone, ErrorKind::Busy);
    // This one waits for its turn, and gets it when the first one ends.
    let mut second = Box::pin(clone.commit());
    assert!(poll_once(second.as_mut()).is_none());
    stage.probe.open_gates();
    assert_eq!(first.await.unwrap().outcome, Outcome::Updated);
    refuses_writes(&clone, ErrorKind::Busy);
    assert_eq!(second.await.unwrap().outcome, Outcome::Unchanged);
    refuses_writes(&clone, ErrorKind::Committed);
}

#[tokio::test]
async fn second_load_waits_for_the_first() {
    let stage = Stage::new(true);
    let session = stage.sessions.lazy(begun(&stage.sessions).await);
    let clone = session.clone();
    stage.probe.close_gates();
    let mut first: Request<'_, Result<(), Error>> = Box::pin(session.load());
    assert!(step(&stage.probe, &mut first).await.is_none());
    let mut second = Box::pin(clone.load());
    assert!(poll_once(second.as_mut()).is_none(), "it is not loaded yet");
    stage.probe.open_gates();
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(clone.get("n").unwrap(), Some(0));
}

#[tokio::test]
async fn update_closure_may_use_its_session() {
    let (sessions, id, session) = loaded().await;
    let clone = session.clone();
    let n = session.update("n", move |n: Option<u32>| {
        let length = clone.get::<String>("name").map_or(0, |name| name.map_or(0, |name| name.len() as u32));
        let _ = clone.insert("seen", &length);
        let _ = clone.insert("n", &5);
        n.unwrap_or(0) + length
    });
    assert_eq!(n.unwrap(), 8, "it ran on the value that it set itself");
    // Here it conflicts with another request, and runs again while the handle is busy.
    disturb(&sessions, id, |other| other.insert("other", &1).unwrap()).await;
    let done = sessions.finish(&session).await.unwrap();
    assert_eq!((done.outcome, done.replays), (Outcome::Updated, 1));
    assert_eq!(session.get("n").unwrap(), Some(5), "no length can be read then");

    let session = sessions.load(id).await.unwrap();
    let (clone, runs) = (session.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&runs);
    let never = session.update("n", move |n: Option<usize>| {
        let run = counted.fetch_add(1, Ordering::SeqCst);
        clone.insert("n", &(1_000 + run)).unwrap();
        n.unwrap_or(0)
    });
    assert_eq!(kind(never), ErrorKind::Contention);
    assert!(runs.load(Ordering::SeqCst) <= 1_000);
}

#[derive(Debug)]
struct Bomb;

impl Serialize for Bomb {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("a bug in the application's type")
    }
}

impl<'de> Deserialize<'de> for Bomb {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("a bug in the application's type")
    }
}

#[tokio::test]
async fn panic_in_a_value_leaves_the_session_usable() {
    let (sessions, id, session) = loaded().await;
    add(&session);
    let quiet = |call: &dyn Fn()| assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
    quiet(&|| drop(session.get::<Bomb>("n")));
    quiet(&|| drop(session.take::<Bomb>("n")));
    quiet(&|| drop(session.insert("bomb", &Bomb)));
    quiet(&|| drop(session.flash().set("bomb", &Bomb)));
    quiet(&|| drop(session.flash().get::<Bomb>("notice")));
    quiet(&|| drop(session.update("n", |_: Option<u32>| -> u32 { panic!("a bug") })));
    assert_eq!(session.keys().unwrap(), ["n", "name"]);
    assert_eq!(session.get("n").unwrap(), Some(1));
    assert_eq!(sessions.finish(&session).await.unwrap().outcome, Outcome::Updated);
    assert_eq!(sessions.load(id).await.unwrap().get("n").unwrap(), Some(1));
}

#[tokio::test]
async fn failed_replay_leaves_the_handle_unchanged() {
    let (_, sessions, _) = fresh();
    let id = begun(&sessions).await;
    for panics in [false, true] {
        disturb(&sessions, id, |other| {
            other.insert("a", &1).unwrap();
            other.insert("b", &0).unwrap();
        })
        .await;
        let session = sessions.load(id).await.unwrap();
        session.update("a", |a: Option<u32>| a.unwrap_or(0) + 1).unwrap();
        session
            .update("b", move |b: Option<u32>| {
                assert!(!panics || b != Some(66), "a bug");
                b.unwrap_or(0) + 1
            })
            .unwrap();
        disturb(&sessions, id, |other| {
            other.insert("a", &100).unwrap();
            if panics { other.insert("b", &66) } else { other.insert("b", "no number") }.unwrap();
        })
        .await;
        if panics {
            let (sessions, session) = (sessions.clone(), session.clone());
            let task = tokio::spawn(async move { sessions.commit(&session).await.map(drop) });
            assert!(task.await.unwrap_err().is_panic());
        } else {
            assert_eq!(kind(sessions.commit(&session).await), ErrorKind::Decode);
        }
        assert_eq!((session.get("a").unwrap(), session.get("b").unwrap()), (Some(2), Some(1)));
        // It can still be committed when nothing disturbs it.
        disturb(&sessions, id, |other| other.insert("b", &7).unwrap()).await;
        assert_eq!(sessions.finish(&session).await.unwrap().outcome, Outcome::Updated);
        let stored = sessions.load(id).await.unwrap();
        assert_eq!((stored.get("a").unwrap(), stored.get("b").unwrap()), (Some(101), Some(8)));
    }
}

#[tokio::test]
async fn clones_on_many_threads_write_one_session() {
    let (sessions, id, session) = loaded().await;
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let session = session.clone();
            scope.spawn(move || {
                for round in 0..25 {
                    session.insert(&format!("{thread}.{round}"), &round).unwrap();
                    add(&session);
                }
            });
        }
    });
    assert_eq!(sessions.finish(&session).await.unwrap().outcome, Outcome::Updated);
    let stored = sessions.load(id).await.unwrap();
    assert_eq!(stored.get("n").unwrap(), Some(100));
    assert_eq!(stored.keys().unwrap().len(), 102);
}

#[tokio::test]
async fn lost_privilege_change_refuses_the_final_response() {
    let (sessions, id, session) = loaded().await;
    session.bind_user("ada").unwrap();
    session.rotate().unwrap();
    assert!(sessions.load(id).await.unwrap().destroy("gone").await.unwrap());
    let first = session.commit().await.unwrap();
    assert!(first.critical && first.refuses_response(), "{first:?}");
    // The handler ignores that, and says "welcome".
    session.insert("greeting", "welcome").unwrap();
    let last = sessions.finish(&session).await.unwrap();
    assert!(last.refuses_response(), "{last:?}");
}

#[tokio::test]
async fn login_under_a_tombstone_is_refused() {
    let (map, sessions, _) = fresh();
    let id = begun(&sessions).await;
    let login = sessions.load(id).await.unwrap();
    login.rotate().unwrap();
    assert_eq!(sessions.finish(&login).await.unwrap().outcome, Outcome::Rotated);
    let records = map.all().len();
    let late = sessions.load(id).await.unwrap();
    assert_eq!(late.end_reason().unwrap(), Some(EndReason::Replaced));
    late.rotate().unwrap();
    late.insert("user_id", &7).unwrap();
    let done = sessions.finish(&late).await.unwrap();
    assert_eq!(done.outcome, Outcome::Ended(EndReason::Replaced));
    assert!(done.refuses_response());
    assert_eq!((late.id_update(), map.all().len()), (IdUpdate::None, records));
}

#[tokio::test]
async fn rotated_handle_continues_on_replayed_data() {
    let stage = Stage::new(true);
    let id = begun(&stage.sessions).await;
    let session = stage.open(id).await;
    add(&session);
    session.rotate().unwrap();
    stage.probe.close_gates();
    let mut rotation: Request<'_, Result<Committed, Error>> = Box::pin(stage.sessions.commit(&session));
    // The new record is placed, and the tombstone is not, when another request writes.
    for _ in 0..3 {
        assert!(step(&stage.probe, &mut rotation).await.is_none());
    }
    stage.probe.open_gates();
    disturb(&stage.sessions, id, |other| other.insert("other", &1).unwrap()).await;
    let done = rotation.await.unwrap();
    assert_eq!((done.outcome, done.replays), (Outcome::Rotated, 1));
    assert_eq!(session.get("other").unwrap(), Some(1));
    add(&session);
    assert_eq!(stage.sessions.finish(&session).await.unwrap().outcome, Outcome::Updated);
    let stored = stage.open(told(&session)).await;
    assert_eq!((stored.get("n").unwrap(), stored.get("other").unwrap()), (Some(2), Some(1)));
}

#[tokio::test]
async fn logout_with_rotation_is_answered() {
    let (_, sessions, _) = fresh();
    let id = begun(&sessions).await;
    for writes in [false, true] {
        let session = sessions.load(id).await.unwrap();
        let ended = session.destroy("logout").await.unwrap();
        session.rotate().unwrap();
        if writes {
            session.insert("bye", &1).unwrap();
            let _ = session.take::<u32>("bye").unwrap();
        }
        let done = sessions.finish(&session).await.unwrap();
        assert!(!done.refuses_response(), "{done:?}");
        assert_eq!(ended, !writes);
    }
}

#[tokio::test]
async fn session_of_another_manager_is_refused() {
    let (_, sessions, _) = fresh();
    let (map, other, _) = fresh();
    let session = sessions.load(None).await.unwrap();
    add(&session);
    assert_eq!(kind(other.finish(&session).await), ErrorKind::Config);
    assert_eq!(sessions.clone().finish(&session).await.unwrap().outcome, Outcome::Created);
    assert!(map.all().is_empty());
}

#[tokio::test]
async fn destroying_an_unsent_session_sends_no_deletion() {
    let (map, sessions, _) = fresh();
    let session = sessions.load(None).await.unwrap();
    session.insert("a", &1).unwrap();
    assert_eq!(session.commit().await.unwrap().outcome, Outcome::Created);
    assert!(session.destroy("second thoughts").await.unwrap());
    let done = sessions.finish(&session).await.unwrap();
    assert_eq!(done.outcome, Outcome::Ended(EndReason::Destroyed("second thoughts".into())));
    assert_eq!((session.id_update(), map.all().len()), (IdUpdate::None, 0));
    // The client's id is deleted, even if later sessions came and went.
    let id = begun(&sessions).await;
    let session = sessions.load(id).await.unwrap();
    assert!(session.destroy("one").await.unwrap());
    session.insert("a", &1).unwrap();
    assert_eq!(session.commit().await.unwrap().outcome, Outcome::Created);
    assert!(session.destroy("two").await.unwrap());
    assert_eq!(session.id_update(), IdUpdate::Clear);
}

#[tokio::test]
async fn deadline_moved_by_another_request_is_respected() {
    let (_, sessions, clock) = fresh();
    for rotates in [false, true] {
        let id = begun(&sessions).await;
        let slow = sessions.load(id).await.unwrap();
        add(&slow);
        if rotates {
            slow.rotate().unwrap();
        }
        clock.advance(HOUR);
        let other = sessions.load(id).await.unwrap();
        assert_eq!(sessions.finish(&other).await.unwrap().outcome, Outcome::Touched);
        clock.advance(HOUR + Duration::from_secs(1));
        let outcome = sessions.finish(&slow).await.unwrap().outcome;
        let expected = if rotates { Outcome::Rotated } else { Outcome::Updated };
        assert_eq!(outcome, expected, "it lives, though not by what this request knew");
    }
}

#[tokio::test]
async fn second_commit_has_nothing_to_do() {
    let (sessions, id, session) = loaded().await;
    assert_eq!(session.flash().get("notice").unwrap(), Some(1));
    assert!(session.is_changed().unwrap());
    assert_eq!(session.commit().await.unwrap().outcome, Outcome::Updated);
    assert!(!session.is_changed().unwrap());
    assert_eq!(sessions.finish(&session).await.unwrap().outcome, Outcome::Unchanged);
    assert!(!sessions.load(id).await.unwrap().flash().keys().unwrap().contains(&"notice".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn contended_rotation_gives_up_and_refuses_the_response() {
    let stage = Stage::new(false);
    let id = begun(&stage.sessions).await;
    let session = stage.open(id).await;
    add(&session);
    session.rotate().unwrap();
    // Another request writes before each store: of the successor, and of the tombstone.
    for number in 1..=200 {
        let map = stage.map.clone();
        stage.probe.before(Operation::Store, number, async move {
            let record = map.all().remove(&id.key()).unwrap();
            map.put(id.key(), Record { revision: Revision::random()?, ..record });
            Ok::<_, StoreError>(())
        });
    }
    stage.probe.calls();
    let error = stage.sessions.finish(&session).await.unwrap_err();
    assert_eq!((error.kind(), error.refuses_response()), (ErrorKind::Contention, true));
    let stores = stage.probe.operations().iter().filter(|call| **call == Operation::Store).count();
    assert_eq!(stores, 200);
    assert_eq!((stage.counter(id).await, stage.map.all().len()), (Some(0), 1));
    // The log is kept and stored when nothing disturbs it.
    assert_eq!(stage.sessions.finish(&session).await.unwrap().outcome, Outcome::Rotated);
    assert_eq!(stage.counter(told(&session)).await, Some(1));
}

#[cfg(feature = "json")]
#[tokio::test]
async fn values_keep_their_codec() {
    use session_manager::Codec;
    let (map, sessions, _) = fresh();
    let session = sessions.load(None).await.unwrap();
    session.insert("message pack", &(1, "a")).unwrap();
    session.insert_as("json", &(2, "b"), Codec::Json).unwrap();
    #[cfg(feature = "bincode")]
    session.insert_as("bincode", &(3, "c"), Codec::Bincode).unwrap();
    assert_eq!(sessions.finish(&session).await.unwrap().outcome, Outcome::Created);
    let id = told(&session);
    let later = Sessions::builder(map).codec(Codec::Json).build().unwrap();
    let session = later.load(id).await.unwrap();
    assert_eq!(session.get("message pack").unwrap(), Some((1, "a".to_owned())));
    assert_eq!(session.get("json").unwrap(), Some((2, "b".to_owned())));
    #[cfg(feature = "bincode")]
    {
        assert_eq!(session.get("bincode").unwrap(), Some((3, "c".to_owned())));
        // bincode is not self-describing, but left-over bytes are an error.
        assert_eq!(kind(session.get::<u8>("bincode")), ErrorKind::Decode);
    }
    assert_eq!(kind(session.get::<bool>("json")), ErrorKind::Decode);
    assert_eq!(session.update("json", |v: Option<(u32, String)>| v.unwrap()).unwrap().0, 2);
}

/// A handler that commits by itself may ignore the outcome.
#[tokio::test]
#[deny(unused_must_use)]
async fn outcome_of_a_commit_may_be_ignored() -> Result<(), Error> {
    let (_, sessions, _) = fresh();
    let session = sessions.load(None).await?;
    session.insert("a", &1)?;
    session.commit().await?;
    sessions.commit(&session).await?;
    sessions.finish(&session).await?;
    Ok(())
}

#[tokio::test]
async fn long_session_lets_other_tasks_run_after_a_conflict() {
    let sessions = Sessions::new(session_store_memory::MemoryStore::new().unwrap()).unwrap();
    let id = begun(&sessions).await;
    disturb(&sessions, id, |session| session.insert("text", &"x".repeat(300 << 10)).unwrap()).await;
    for begins_at_once in [false, true] {
        let session = sessions.load(id).await.unwrap();
        disturb(&sessions, id, add).await;
        add(&session);
        let other = tokio::spawn(async {});
        if begins_at_once {
            // Dropped at the turn of the others, with the step after the conflict done.
            assert!(sessions.finish_at_once(&session).is_none());
        }
        let committed = sessions.finish(&session).await.unwrap();
        assert_eq!((committed.outcome, committed.replays), (Outcome::Updated, u32::from(!begins_at_once)));
        assert_eq!(other.is_finished(), !begins_at_once);
    }
    let session = sessions.load(id).await.unwrap();
    assert_eq!(session.get::<u32>("n").unwrap(), Some(4));
}
