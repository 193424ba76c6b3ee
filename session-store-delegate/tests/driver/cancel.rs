//! A future that is dropped at any await leaves the old record or the new one.

use session_conformance::testing::poll_once;
use session_core::Condition::{Absent, Any, Revision as At};
use session_core::{Driver, Record, Result, Touch};

use super::{Store, claims, expiring, key, record, rev, store_in};
use crate::objects::Objects;

async fn change(store: &Store, number: usize) -> Result<bool> {
    let one = key("session:one");
    match number {
        0 => Ok(store.store(&one, record(2), Any).await?.is_applied()),
        1 => Ok(store.store(&one, record(2), At(rev(1))).await?.is_applied()),
        2 => Ok(store.remove(&one, At(rev(1))).await?.is_applied()),
        _ => store.touch(&one, Touch { from: rev(1), to: rev(2), deadline: None }).await,
    }
}

#[tokio::test]
async fn a_change_dropped_at_any_await_is_whole() {
    let touched = Record { revision: rev(2), ..record(1) };
    for (number, after) in [Some(record(2)), Some(record(2)), None, Some(touched)].into_iter().enumerate() {
        let (mut old, mut new, mut polls) = (0, 0, 0);
        loop {
            let (store, model, _) = store_in(Objects::pending(claims()));
            assert!(store.store(&key("session:one"), expiring(1), Absent).await.unwrap().is_applied());
            let mut change = Box::pin(change(&store, number));
            let done = (0..polls).any(|_| matches!(poll_once(change.as_mut()), Some(Ok(true))));
            drop(change);
            let found = store.retrieve(&key("session:one")).await.unwrap();
            if found == after {
                new += 1;
            } else {
                assert_eq!(found, Some(expiring(1)), "change {number}, dropped after {polls} polls");
                assert!(!done, "an acknowledged change is made");
                old += 1;
            }
            // The next change is not blocked.
            let revision = found.as_ref().map(|record| record.revision);
            let when = revision.map_or(Absent, At);
            assert!(store.store(&key("session:one"), record(9), when).await.unwrap().is_applied());
            assert!(store.remove(&key("session:one"), At(rev(9))).await.unwrap().is_applied());
            assert!(!model.has("one"));
            if done {
                break;
            }
            polls += 1;
        }
        assert!(old >= 3 && new >= 2, "change {number}: {old} times the old record, {new} times the new one");
    }
}
