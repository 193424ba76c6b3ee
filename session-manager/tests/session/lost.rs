//! One request with lost answers. The orders of two requests start with a session and do not cover these cases.

use session_conformance::testing::{Fate, Request, step};
use session_manager::{Committed, Error, ErrorKind, IdUpdate, Outcome, Session};

use crate::{HOUR, Stage, add, begun, disturb, told};

const FATES: [Fate; 3] = [Fate::AnswerLost, Fate::RequestLost, Fate::Late];

/// Runs a request alone, whose first change meets `fate`.
async fn alone<T>(stage: &Stage, fate: Fate, call: impl Future<Output = T> + Send) -> T {
    alone_at(stage, 0, fate, call).await
}

/// The same for change number `number`.
async fn alone_at<T>(stage: &Stage, number: usize, fate: Fate, call: impl Future<Output = T> + Send) -> T {
    stage.probe.close_gates();
    stage.probe.set_fate(number, fate);
    let mut request: Request<'_, T> = Box::pin(call);
    loop {
        if let Some(value) = step(&stage.probe, &mut request).await {
            stage.probe.open_gates();
            return value;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn new_id_with_lost_answer_is_stored_once_and_ends_for_good() {
    for (fate, rotates) in FATES.into_iter().flat_map(|fate| [(fate, false), (fate, true)]) {
        let stage = Stage::new(false);
        let old = if rotates { Some(begun(&stage.sessions).await) } else { None };
        let session = stage.sessions.load(old).await.unwrap();
        add(&session);
        if rotates {
            session.rotate().unwrap();
        }
        let done = alone(&stage, fate, stage.sessions.finish(&session)).await.unwrap();
        assert_eq!(done.outcome, if rotates { Outcome::Rotated } else { Outcome::Created }, "{fate:?}");
        assert!(rotates || stage.map.all().len() == 1, "{fate:?}");
        let again = stage.open(told(&session)).await;
        assert_eq!(again.get("n").unwrap(), Some(1), "{fate:?}");
        assert!(again.destroy("logout").await.unwrap());
        stage.arrive().await;
        for id in old.into_iter().chain([told(&session)]) {
            assert!(!stage.exists(id).await, "{fate:?}: it is back");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn login_over_an_ended_session_survives_each_lost_answer() {
    for (fate, number) in FATES.into_iter().flat_map(|fate| (0..6).map(move |number| (fate, number))) {
        let stage = Stage::new(false);
        let id = begun(&stage.sessions).await;
        let session = stage.open(id).await;
        add(&session);
        session.login("ada").unwrap();
        assert!(stage.open(id).await.destroy("logout").await.unwrap());
        let done = alone_at(&stage, number, fate, stage.sessions.finish(&session)).await.unwrap();
        assert_eq!(done.outcome, Outcome::Created, "{fate:?} {number}");
        let own = stage.open(told(&session)).await;
        assert_eq!((own.get("n").unwrap(), own.user().unwrap().as_deref()), (Some(1), Some("ada")));
        assert!(own.destroy("logout").await.unwrap());
        stage.arrive().await;
        for id in [id, told(&session)] {
            assert!(!stage.exists(id).await, "{fate:?} {number}: it is back");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn destroy_with_lost_answer_counts_as_done() {
    for fate in FATES {
        let stage = Stage::new(false);
        let session = stage.open(begun(&stage.sessions).await).await;
        assert!(alone(&stage, fate, session.destroy("logout")).await.unwrap(), "{fate:?}");
        assert_eq!((session.id_update(), stage.map.all().len()), (IdUpdate::Clear, 0), "{fate:?}");
        // A late removal does not reach the next session.
        session.insert("notice", "bye").unwrap();
        assert_eq!(stage.sessions.finish(&session).await.unwrap().outcome, Outcome::Created);
        stage.arrive().await;
        assert!(stage.exists(told(&session)).await, "{fate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn touch_with_lost_answer_is_harmless() {
    for fate in FATES {
        let stage = Stage::new(false);
        let id = begun(&stage.sessions).await;
        stage.clock.advance(HOUR);
        let session = stage.open(id).await;
        let committed = alone(&stage, fate, session.commit()).await.unwrap();
        assert_eq!(committed.outcome, Outcome::Unchanged, "{fate:?}");
        // The handle continues on the stored record.
        add(&session);
        assert_eq!(stage.sessions.finish(&session).await.unwrap().outcome, Outcome::Updated, "{fate:?}");
        stage.arrive().await;
        assert_eq!(stage.counter(id).await, Some(1), "{fate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn uncertain_update_is_never_counted_twice() {
    // Its answer is lost, and before it can look, another request writes over it.
    for fate in FATES {
        let stage = Stage::new(false);
        let id = begun(&stage.sessions).await;
        let session = stage.open(id).await;
        add(&session);
        stage.probe.close_gates();
        stage.probe.set_fate(0, fate);
        let mut request: Request<'_, Result<Committed, Error>> = Box::pin(stage.sessions.commit(&session));
        for _ in 0..2 {
            assert!(step(&stage.probe, &mut request).await.is_none());
        }
        stage.probe.open_gates();
        let ten =
            |other: &Session| other.update("n", |n: Option<u32>| n.unwrap_or(0) + 10).map(drop).unwrap();
        disturb(&stage.sessions, id, ten).await;
        assert_eq!(request.await.unwrap_err().kind(), ErrorKind::Uncertain, "{fate:?}");
        for _ in 0..2 {
            assert_eq!(stage.sessions.commit(&session).await.unwrap_err().kind(), ErrorKind::Uncertain);
        }
        stage.arrive().await;
        let expected = if fate == Fate::AnswerLost { 11 } else { 10 };
        assert_eq!(stage.counter(id).await, Some(expected), "{fate:?}");
        // It can be ended with a certain result.
        assert!(session.destroy("logout").await.unwrap());
        assert!(!stage.exists(id).await);
    }
}
