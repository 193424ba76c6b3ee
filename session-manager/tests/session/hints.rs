//! The record that the session layer hands to `store_over` is the stored one, so that drivers can compare it as a whole.

use std::sync::{Arc, Mutex};

use session_conformance::testing::MapDriver;
use session_core::{Change, Condition, Driver, Key, Record, Result};
use session_manager::{IdUpdate, Sessions};

/// Counts the changes at a revision: with the stored record, with another one, and without any.
#[derive(Clone)]
struct Counts(MapDriver, Arc<Mutex<[u32; 3]>>);

impl Counts {
    fn take(&self) -> [u32; 3] {
        std::mem::take(&mut *self.1.lock().unwrap())
    }
}

impl Driver for Counts {
    async fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        if matches!(condition, Condition::Revision(_)) {
            self.1.lock().unwrap()[2] += 1;
        }
        self.0.store(key, record, condition).await
    }
    async fn store_over(&self, key: &Key, record: Record, loaded: &Record) -> Result<Change> {
        let exact = self.0.stored(key).as_ref() == Some(loaded);
        self.1.lock().unwrap()[usize::from(!exact)] += 1;
        self.0.store_over(key, record, loaded).await
    }
    session_core::forward!(0: retrieve remove traverse touch purge flush close capabilities clock);
}

#[tokio::test]
async fn changes_hand_over_the_stored_record() {
    let clock = crate::clock();
    let driver = Counts(MapDriver::new(clock.clone()), Arc::default());
    let sessions = Sessions::builder(driver.clone()).build().unwrap();
    let first = sessions.load(None).await.unwrap();
    first.insert("a", &1).unwrap();
    let _ = sessions.finish(&first).await.unwrap();
    let mut id = crate::told(&first);
    assert_eq!(driver.take(), [0, 0, 0], "a new session replaces nothing");

    // A commit, a commit after a touch, a claim.
    for step in 0..3 {
        clock.advance(std::time::Duration::from_secs(3_600));
        if step == 1 {
            let reader = sessions.load(id).await.unwrap();
            let _ = sessions.finish(&reader).await.unwrap();
        }
        let session = sessions.load(id).await.unwrap();
        match step {
            0 => session.insert("a", &2).unwrap(),
            1 => session.insert("a", &3).unwrap(),
            _ => assert_eq!(session.claim::<u32>("a").await.unwrap(), Some(3)),
        }
        let _ = sessions.finish(&session).await.unwrap();
        assert_eq!(driver.take(), [1, 0, 0], "step {step}");
    }

    // A rotation leaves a tombstone in the place of the old record. A login also enters the index, which exists the
    // second time.
    for (name, expected) in [("rotation", 1), ("first login", 1), ("second login", 2)] {
        let session = sessions.load(id).await.unwrap();
        if name == "rotation" {
            session.rotate().unwrap()
        } else {
            session.login("ada").unwrap()
        }
        let _ = sessions.finish(&session).await.unwrap();
        if let IdUpdate::Set { id: new, .. } = session.id_update() {
            id = new;
        }
        assert_eq!(driver.take()[..2], [expected, 0], "{name}");
    }

    for count in 1..3 {
        let add = |old: Option<u32>| old.unwrap_or(0) + 1;
        assert_eq!(sessions.update_user_data("ada", "n", add).await.unwrap(), count);
        assert_eq!(driver.take(), [count - 1, 0, 0], "data of the user");
    }
}
