//! A migration whose stores fail, hold less, or are the wrong ones.

use std::fs;
use std::path::Path;

use session_conformance::testing::{Fault, MapDriver, Probe, block_on};
use session_core::{
    Change, Condition, Driver, DynDriver, Key, Operation, Record, Revision, StoreError, StoreErrorKind,
    SystemClock, Touch,
};
use session_migrate::{CopyOptions, Migrating, Originals, Side, copy};
use session_store_memory::{MemoryConfig, MemoryStore};

use crate::stores::{fill, key, numbered, open, place};

fn probe() -> Probe<MapDriver> {
    Probe::new(MapDriver::new(SystemClock))
}

fn kind<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> StoreErrorKind {
    answer.unwrap_err().kind()
}

#[test]
fn outage_of_the_old_store_leaves_moved_records_readable() {
    block_on(async {
        let (old, new) = (probe(), probe());
        fill(&old, "session", 2).await;
        let migrating = Migrating::open(old.clone(), new.clone()).await.unwrap();
        let touch = Touch { from: numbered(1).revision, to: numbered(5).revision, deadline: None };
        assert!(migrating.touch(&key("session", 1), touch).await.unwrap());
        old.fail_when(|_| true);
        let moved = Record { revision: touch.to, expires: None, ..numbered(1) };
        assert_eq!(migrating.retrieve(&key("session", 1)).await.unwrap(), Some(moved.clone()));
        // Neither reported as absent, nor changed.
        assert_eq!(kind(migrating.retrieve(&key("session", 0)).await), StoreErrorKind::Unavailable);
        for number in [0, 1] {
            let key = key("session", number);
            assert_eq!(kind(migrating.remove(&key, Condition::Any).await), StoreErrorKind::Unavailable);
            let stored = migrating.store(&key, numbered(7), Condition::Any).await;
            assert_eq!(kind(stored), StoreErrorKind::Unavailable);
            assert_eq!(kind(migrating.touch(&key, touch).await), StoreErrorKind::Unavailable);
        }
        old.recover();
        assert_eq!(migrating.retrieve(&key("session", 0)).await.unwrap(), Some(numbered(0)));
        assert_eq!(migrating.retrieve(&key("session", 1)).await.unwrap(), Some(moved));
    });
}

#[test]
fn new_store_that_rejects_changes_leaves_the_old_record() {
    block_on(async {
        let (old, new) = (probe(), probe());
        fill(&old, "session", 1).await;
        let migrating = Migrating::open(old.clone(), new.clone()).await.unwrap();
        let at = Condition::Revision(numbered(0).revision);
        // The reservation, the record, and the change itself.
        for number in 1..=3 {
            new.plan(Operation::Store, number, Fault::Refuse);
            let stored = migrating.store(&key("session", 0), numbered(7), at).await;
            assert_eq!(kind(stored), StoreErrorKind::Unavailable, "call {number}");
            let found = migrating.retrieve(&key("session", 0)).await.unwrap();
            assert_eq!(found, Some(numbered(0)), "call {number}");
        }
        assert!(migrating.store(&key("session", 0), numbered(7), at).await.unwrap().is_applied());
        assert_eq!(old.inner().all().len(), 0);
    });
}

#[test]
fn too_large_record_stays_readable_and_can_end() {
    block_on(async {
        let old = MapDriver::new(SystemClock);
        let new = MemoryStore::open(MemoryConfig::new().max_record_bytes(100)).unwrap();
        let large = Record::new(vec![1; 101], None, Revision::from_bytes([1; 8]));
        for number in 0..3 {
            old.put(key("session", number), large.clone());
        }
        let migrating = Migrating::open(old.clone(), new.clone()).await.unwrap();
        let report = copy(&old, &new, Originals::Remove, CopyOptions::default(), |_| {}).await.unwrap();
        assert_eq!((report.copied, report.too_large, report.is_complete()), (0, 3, false));
        let at = Condition::Revision(large.revision);
        assert_eq!(migrating.retrieve(&key("session", 0)).await.unwrap(), Some(large.clone()));
        assert_eq!(
            kind(migrating.store(&key("session", 0), numbered(1), at).await),
            StoreErrorKind::TooLarge
        );
        assert_eq!(migrating.retrieve(&key("session", 0)).await.unwrap(), Some(large.clone()));
        let other =
            migrating.remove(&key("session", 0), Condition::Revision(numbered(1).revision)).await.unwrap();
        assert_eq!(other, Change::Conflict(Some(large)));
        for (number, condition) in [(0, Condition::Any), (1, at)] {
            let key = key("session", number);
            assert_eq!(migrating.remove(&key, condition).await.unwrap(), Change::Applied);
            assert_eq!(migrating.remove(&key, condition).await.unwrap(), Change::Conflict(None));
            assert_eq!(migrating.retrieve(&key).await.unwrap(), None);
        }
        assert_eq!(old.all().len(), 1);
    });
}

#[test]
fn damaged_record_is_counted_and_left_where_it_is() {
    block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let old = open(&place("file", directory.path(), "old")).await;
        let new = MapDriver::new(SystemClock);
        let secret = Key::parse("session:damaged").unwrap();
        let record = Record::new(&b"ThisIsTheData"[..], None, Revision::from_bytes([1; 8]));
        assert!(old.store(&secret, record, Condition::Absent).await.unwrap().is_applied());
        damage(directory.path(), b"ThisIsTheData");
        fill(&old, "session", 3).await;
        let report = copy(&old, &new, Originals::Remove, CopyOptions::default(), |_| {}).await.unwrap();
        assert_eq!((report.copied, report.damaged, report.is_complete()), (3, 1, false));
        let migrating = Migrating::open(old.clone(), new.clone()).await.unwrap();
        assert_eq!(kind(migrating.retrieve(&secret).await), StoreErrorKind::Corrupt);
        let _ = migrating.remove(&secret, Condition::Any).await.unwrap();
        assert_eq!(migrating.retrieve(&secret).await.unwrap(), None, "it can end");
    });
}

/// Changes the first byte of `data` in the one file below `directory` that contains it.
fn damage(directory: &Path, data: &[u8]) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            damage(&path, data);
        } else {
            let mut bytes = fs::read(&path).unwrap();
            if let Some(at) = bytes.windows(data.len()).position(|window| window == data) {
                bytes[at] ^= 1;
                fs::write(&path, bytes).unwrap();
            }
        }
    }
}

#[test]
fn store_is_not_moved_into_itself() {
    block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let place = place("sqlite", directory.path(), "sessions.db");
        let (old, new) = (open(&place).await, open(&place).await);
        fill(&old, "session", 3).await;
        let failed = copy(&old, &new, Originals::Remove, CopyOptions::default(), |_| {}).await.unwrap_err();
        assert_eq!(failed.store_error().kind(), StoreErrorKind::Misconfigured);
        assert_eq!(kind(Migrating::open(old.clone(), new).await), StoreErrorKind::Misconfigured);
        for number in 0..3 {
            assert_eq!(old.retrieve(&key("session", number)).await.unwrap(), Some(numbered(number)));
        }
    });
}

#[test]
fn drivers_without_compare_and_swap_are_refused() {
    block_on(async {
        let weak = DynDriver::new(Probe::unconditional(MapDriver::new(SystemClock)));
        let strong = DynDriver::new(MapDriver::new(SystemClock));
        for (old, new, side) in [(&weak, &strong, Side::Old), (&strong, &weak, Side::New)] {
            assert_eq!(kind(Migrating::open(old.clone(), new.clone()).await), StoreErrorKind::Misconfigured);
            let failed = copy(old, new, Originals::Keep, CopyOptions::default(), |_| {}).await.unwrap_err();
            assert_eq!((failed.side(), failed.store_error().kind()), (side, StoreErrorKind::Misconfigured));
        }
    });
}

#[test]
fn change_of_the_old_store_by_another_process_is_noticed() {
    block_on(async {
        let (old, new) = (probe(), probe());
        fill(&old, "session", 1).await;
        let foreign = old.inner().clone();
        old.before(Operation::Remove, 1, async move {
            foreign.put(key("session", 0), numbered(7));
            Ok::<_, StoreError>(())
        });
        let failed = copy(&old, &new, Originals::Remove, CopyOptions::default(), |_| {}).await.unwrap_err();
        assert_eq!((failed.side(), failed.store_error().kind()), (Side::Old, StoreErrorKind::Misconfigured));
        assert_eq!(old.inner().stored(&key("session", 0)), Some(numbered(7)), "its change is not removed");
    });
}
