//! One request with lost answers. The orders of two requests start with a session and do not cover these cases.

use session_conformance::testing::{Fate, Probe, Request, step};
use session_manager::{Committed, Error, ErrorKind, IdUpdate, Outcome, Sessions};

use crate::Map;
use crate::orders::block_on;
use crate::{HOUR, add, begun, clock, told};

const FATES: [Fate; 3] = [Fate::AnswerLost, Fate::RequestLost, Fate::Late];

fn stage() -> (Map, Probe<Map>, Sessions<Probe<Map>>) {
    let map = Map::new(clock());
    let stepped = Probe::new(map.clone());
    (map, stepped.clone(), Sessions::new(stepped).unwrap())
}

/// Runs a request alone. Only calls that wait at gates have a fate.
async fn alone<T>(
    stepped: &Probe<Map>,
    number: usize,
    fate: Fate,
    call: impl Future<Output = T> + Send,
) -> T {
    stepped.close_gates();
    stepped.set_fate(number, fate);
    let mut request: Request<'_, T> = Box::pin(call);
    loop {
        if let Some(value) = step(stepped, &mut request).await {
            stepped.open_gates();
            return value;
        }
    }
}

async fn arrive(stepped: &Probe<Map>) {
    while stepped.late() > 0 {
        stepped.apply_late().await.unwrap();
    }
}

#[test]
fn creation_with_lost_answer_happens_once() {
    for fate in FATES {
        block_on(async {
            let (map, stepped, sessions) = stage();
            let session = sessions.load(None).await.unwrap();
            add(&session);
            let done = alone(&stepped, 0, fate, sessions.finish(&session)).await.unwrap();
            assert_eq!(done.outcome, Outcome::Created, "{fate:?}");
            let id = told(&session);
            assert_eq!(map.all().len(), 1, "{fate:?}");
            let again = sessions.load(id).await.unwrap();
            assert_eq!(again.get("n").unwrap(), Some(1), "{fate:?}");
            assert!(again.destroy("logout").await.unwrap());
            arrive(&stepped).await;
            assert!(!sessions.load(id).await.unwrap().exists().unwrap(), "{fate:?}: it is back");
        });
    }
}

#[test]
fn rotation_with_lost_answer_restores_nothing() {
    for fate in FATES {
        block_on(async {
            let (_, stepped, sessions) = stage();
            let id = begun(&sessions).await;
            let session = sessions.load(id).await.unwrap();
            add(&session);
            session.rotate().unwrap();
            let done = alone(&stepped, 0, fate, sessions.finish(&session)).await.unwrap();
            assert_eq!(done.outcome, Outcome::Rotated, "{fate:?}");
            let next = told(&session);
            let again = sessions.load(next).await.unwrap();
            assert_eq!(again.get("n").unwrap(), Some(1), "{fate:?}");
            assert!(again.destroy("logout").await.unwrap());
            arrive(&stepped).await;
            for id in [id, next] {
                assert!(!sessions.load(id).await.unwrap().exists().unwrap(), "{fate:?}: it is back");
            }
        });
    }
}

#[test]
fn destroy_with_lost_answer_counts_as_done() {
    for fate in FATES {
        block_on(async {
            let (map, stepped, sessions) = stage();
            let id = begun(&sessions).await;
            let session = sessions.load(id).await.unwrap();
            assert!(alone(&stepped, 0, fate, session.destroy("logout")).await.unwrap(), "{fate:?}");
            assert_eq!((session.id_update(), map.all().len()), (IdUpdate::Clear, 0), "{fate:?}");
            // A late removal does not reach the next session.
            session.insert("notice", "bye").unwrap();
            assert_eq!(sessions.finish(&session).await.unwrap().outcome, Outcome::Created);
            arrive(&stepped).await;
            assert!(sessions.load(told(&session)).await.unwrap().exists().unwrap(), "{fate:?}");
        });
    }
}

#[test]
fn touch_with_lost_answer_is_harmless() {
    for fate in FATES {
        block_on(async {
            let clock = clock();
            let stepped = Probe::new(Map::new(clock.clone()));
            let sessions = Sessions::new(stepped.clone()).unwrap();
            let id = begun(&sessions).await;
            clock.advance(HOUR);
            let session = sessions.load(id).await.unwrap();
            let committed = alone(&stepped, 0, fate, session.commit()).await.unwrap();
            assert_eq!(committed.outcome, Outcome::Unchanged, "{fate:?}");
            // The handle continues on the stored record.
            add(&session);
            assert_eq!(sessions.finish(&session).await.unwrap().outcome, Outcome::Updated, "{fate:?}");
            arrive(&stepped).await;
            assert_eq!(sessions.load(id).await.unwrap().get("n").unwrap(), Some(1), "{fate:?}");
        });
    }
}

#[test]
fn uncertain_update_is_never_counted_twice() {
    // Its answer is lost, and before it can look, another request writes over it.
    for fate in FATES {
        block_on(async {
            let (_, stepped, sessions) = stage();
            let id = begun(&sessions).await;
            let session = sessions.load(id).await.unwrap();
            add(&session);
            stepped.close_gates();
            stepped.set_fate(0, fate);
            let mut request: Request<'_, Result<Committed, Error>> = Box::pin(sessions.commit(&session));
            for _ in 0..2 {
                assert!(step(&stepped, &mut request).await.is_none());
            }
            stepped.open_gates();
            let other = sessions.load(id).await.unwrap();
            other.update("n", |n: Option<u32>| n.unwrap_or(0) + 10).unwrap();
            assert_eq!(sessions.finish(&other).await.unwrap().outcome, Outcome::Updated);
            assert_eq!(request.await.unwrap_err().kind(), ErrorKind::Uncertain, "{fate:?}");
            for _ in 0..2 {
                assert_eq!(sessions.commit(&session).await.unwrap_err().kind(), ErrorKind::Uncertain);
            }
            arrive(&stepped).await;
            let expected = if fate == Fate::AnswerLost { 11 } else { 10 };
            assert_eq!(sessions.load(id).await.unwrap().get("n").unwrap(), Some(expected), "{fate:?}");
            // It can be ended with a certain result.
            assert!(session.destroy("logout").await.unwrap());
            assert!(!sessions.load(id).await.unwrap().exists().unwrap());
        });
    }
}
