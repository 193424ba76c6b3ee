//! References that outlive their request: what a driver cannot see, such as the memory of the process and wake-ups.

use std::pin::pin;
use std::time::Duration;

use session_conformance::testing::{Fault, MapDriver, Probe};
use session_core::Operation;
use session_manager::{EndReason, ErrorKind, Outcome, SessionRef, Sessions};

use crate::{HOUR, add, begun, clock, fresh, told};

/// Whether the future is pending after one poll.
async fn is_pending(future: &mut (impl Future + Unpin)) -> bool {
    tokio::select! { biased; _ = future => false, () = std::future::ready(()) => true }
}

#[tokio::test]
async fn reference_is_sendable_and_shows_no_id() {
    fn is_sendable<T: Clone + Send + Sync + 'static>(_: &T) {}
    let (_, sessions, _) = fresh();
    let session = sessions.load(begun(&sessions).await).await.unwrap();
    let reference = session.reference().unwrap();
    is_sendable(&reference);
    assert_eq!(format!("{reference:?}"), "SessionRef { .. }");
    assert_eq!(sessions.lazy(None).reference().unwrap_err().kind(), ErrorKind::NotLoaded);
}

#[tokio::test]
async fn end_in_this_process_needs_no_poll() {
    let clock = clock();
    let probe = Probe::new(MapDriver::new(clock.clone()));
    let sessions = Sessions::builder(probe.clone()).poll_interval(HOUR).build().unwrap();
    let id = begun(&sessions).await;
    let reference = sessions.load(id).await.unwrap().reference().unwrap();
    let mut ended = pin!(reference.ended());
    assert!(is_pending(&mut ended).await);
    probe.calls();
    assert!(sessions.load(id).await.unwrap().destroy("logout").await.unwrap());
    assert_eq!(probe.operations(), [Operation::Retrieve, Operation::Remove]);
    // The wait needs no retrieve, and a later question neither.
    assert_eq!(ended.await, EndReason::Destroyed("logout".into()));
    assert_eq!(reference.clone().ended().await, EndReason::Destroyed("logout".into()));
    assert!(!reference.is_live().await.unwrap() && reference.open().await.unwrap().is_none());
    assert_eq!(probe.operations(), []);
}

#[tokio::test]
async fn end_between_load_and_reference_is_known() {
    let clock = clock();
    let probe = Probe::new(MapDriver::new(clock.clone()));
    let sessions = Sessions::builder(probe.clone()).poll_interval(HOUR).build().unwrap();
    let id = begun(&sessions).await;
    let session = sessions.load(id).await.unwrap();
    assert!(sessions.load(id).await.unwrap().destroy("logout").await.unwrap());
    probe.calls();
    assert_eq!(session.reference().unwrap().ended().await, EndReason::Destroyed("logout".into()));
    assert_eq!(probe.operations(), []);
}

#[tokio::test(start_paused = true)]
async fn all_waiters_of_a_session_share_one_poll() {
    let clock = clock();
    let map = MapDriver::new(clock.clone());
    let probe = Probe::new(map.clone());
    let interval = Duration::from_secs(60);
    let sessions = Sessions::builder(probe.clone()).poll_interval(interval).build().unwrap();
    let id = begun(&sessions).await;
    let mut waiters = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let reference = sessions.load(id).await.unwrap().reference().unwrap();
        for reference in [reference.clone(), reference] {
            waiters.spawn(async move { reference.ended().await });
        }
    }
    probe.calls();
    tokio::time::sleep(10 * interval).await;
    let polls = probe.operations();
    assert!(polls.iter().all(|operation| *operation == Operation::Retrieve));
    assert!((10..=20).contains(&polls.len()), "{} polls in 10 intervals", polls.len());
    // A waiter that is dropped while it reads leaves the read to another one.
    probe.plan(Operation::Retrieve, 1, Fault::Stall);
    assert!(probe.drop_at_stall(async { while waiters.join_next().await.is_some() {} }).await.is_none());
    assert_eq!(waiters.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn dropped_poll_is_taken_over_at_once() {
    let clock = clock();
    let map = MapDriver::new(clock.clone());
    let probe = Probe::new(map.clone());
    let interval = Duration::from_secs(60);
    let sessions = Sessions::builder(probe.clone()).poll_interval(interval).build().unwrap();
    let elsewhere = Sessions::new(map).unwrap();
    let id = begun(&sessions).await;
    let reference = sessions.load(id).await.unwrap().reference().unwrap();
    let other = reference.clone();
    let mut waiter = Box::pin(async move { other.ended().await });
    probe.plan(Operation::Retrieve, 1, Fault::Stall);
    assert!(probe.drop_at_stall(&mut waiter).await.is_none());
    // It is in the middle of the poll. The session ends elsewhere, and the waiter is dropped.
    assert!(elsewhere.load(id).await.unwrap().destroy("elsewhere").await.unwrap());
    let start = tokio::time::Instant::now();
    let mut ended = pin!(reference.ended());
    assert!(is_pending(&mut ended).await);
    drop(waiter);
    assert_eq!(ended.await, EndReason::Revoked);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn end_in_this_process_does_not_wait_for_a_poll() {
    let probe = Probe::new(MapDriver::new(clock()));
    let sessions = Sessions::builder(probe.clone()).build().unwrap();
    let id = begun(&sessions).await;
    let reference = sessions.load(id).await.unwrap().reference().unwrap();
    let mut waiter = Box::pin(async move { reference.ended().await });
    probe.plan(Operation::Retrieve, 1, Fault::Stall);
    assert!(probe.drop_at_stall(&mut waiter).await.is_none());
    assert!(sessions.load(id).await.unwrap().destroy("logout").await.unwrap());
    assert_eq!(waiter.await, EndReason::Destroyed("logout".into()));
}

#[tokio::test(start_paused = true)]
async fn outage_is_no_end() {
    let clock = clock();
    let map = MapDriver::new(clock.clone());
    let probe = Probe::new(map.clone());
    let sessions = Sessions::builder(probe.clone()).build().unwrap();
    let elsewhere = Sessions::new(map).unwrap();
    let id = begun(&sessions).await;
    let reference = sessions.load(id).await.unwrap().reference().unwrap();
    let mut ended = pin!(reference.ended());
    probe.fail_when(|_| true);
    assert!(tokio::time::timeout(HOUR, &mut ended).await.is_err());
    assert_eq!(reference.is_live().await.unwrap_err().kind(), ErrorKind::Store);
    probe.recover();
    assert!(elsewhere.load(id).await.unwrap().destroy("elsewhere").await.unwrap());
    assert_eq!(ended.await, EndReason::Revoked);
}

#[tokio::test]
async fn reference_of_unstored_session_ends_with_its_request() {
    let (_, sessions, _) = fresh();
    let session = sessions.load(None).await.unwrap();
    let reference = session.reference().unwrap();
    assert!(reference.open().await.unwrap().is_none());
    let mut ended = pin!(reference.ended());
    assert!(is_pending(&mut ended).await);
    drop(session);
    assert_eq!(ended.await, EndReason::Expired);
    // If the request stores it, the reference follows.
    let session = sessions.load(None).await.unwrap();
    let reference = session.reference().unwrap();
    add(&session);
    let _ = sessions.finish(&session).await.unwrap();
    drop(session);
    assert!(reference.is_live().await.unwrap());
}

#[tokio::test]
async fn reference_waits_for_the_rotation_of_its_request() {
    let clock = clock();
    let probe = Probe::new(MapDriver::new(clock.clone()));
    let sessions = Sessions::new(probe.clone()).unwrap();
    let id = begun(&sessions).await;
    let session = sessions.load(id).await.unwrap();
    let reference = session.reference().unwrap();
    session.rotate().unwrap();
    // The second store places the tombstone; its answer never comes.
    probe.plan(Operation::Store, 2, Fault::Stall);
    let mut commit = Box::pin(session.commit());
    assert!(probe.drop_at_stall(&mut commit).await.is_none());
    let (mut ended, mut open) = (pin!(reference.ended()), Box::pin(reference.open()));
    assert!(is_pending(&mut ended).await && is_pending(&mut open).await);
    drop(commit);
    assert!(is_pending(&mut ended).await && is_pending(&mut open).await);
    // The next commit finds out that the rotation was stored.
    assert_eq!(session.commit().await.unwrap().outcome, Outcome::Rotated);
    assert_eq!(open.await.unwrap().unwrap().get::<u32>("n").unwrap(), Some(0));
    assert!(is_pending(&mut ended).await);
    drop(session);
    assert!(reference.is_live().await.unwrap());
}

#[tokio::test]
async fn reference_that_has_told_the_end_stays_ended() {
    let (_, sessions, _) = fresh();
    let id = begun(&sessions).await;
    let session = sessions.load(id).await.unwrap();
    let (told_reference, other) = (session.reference().unwrap(), sessions.load(id).await.unwrap());
    assert!(other.destroy("elsewhere").await.unwrap());
    assert_eq!(told_reference.ended().await, EndReason::Destroyed("elsewhere".into()));
    session.login("alice").unwrap();
    assert_eq!(sessions.commit(&session).await.unwrap().outcome, Outcome::Created);
    assert!(!told_reference.is_live().await.unwrap());
    // A reference that is taken afterwards refers to the new session.
    let reference: SessionRef = session.reference().unwrap();
    assert_eq!(reference.open().await.unwrap().unwrap().user().unwrap().as_deref(), Some("alice"));
    assert_ne!(told(&session), id);
}
