//! Opening: locks, superblocks, dead owners.

use session_core::{Condition, Driver, Key, Record, Revision, StoreErrorKind};

use super::*;
use crate::MmapStore;
use crate::layout::{BYTE_ORDER, VERSION};
use crate::shard::Locked;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn config(&self) -> MmapConfig {
        let path = self.0.path().join("map");
        MmapConfig::new(path).max_bytes(256 << 10).shards(1).busy_timeout(Duration::from_millis(20))
    }

    fn refused(&self) -> (StoreErrorKind, String) {
        let error = open(&self.config()).unwrap_err();
        (error.kind(), format!("{error:?}"))
    }
}

#[tokio::test]
async fn a_copied_lock_is_free_in_the_copy() {
    let (place, copy) = (Place::new(), Place::new());
    let file = open(&place.config()).unwrap();
    let held: Locked<'_> = file.shard(0).lock().unwrap();
    std::fs::copy(place.config().path, copy.config().path).unwrap();
    let store = MmapStore::open(copy.config()).unwrap();
    let (key, record) = (Key::parse("test:a").unwrap(), Record::new("a", None, Revision::from_bytes([1; 8])));
    assert!(store.store(&key, record.clone(), Condition::Absent).await.unwrap().is_applied());
    assert_eq!(store.retrieve(&key).await.unwrap(), Some(record.clone()));
    // The original lock is still held.
    let other = MmapStore::open(place.config()).unwrap();
    let error = other.store(&key, record.clone(), Condition::Absent).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert_eq!(other.retrieve(&key).await.unwrap(), None, "readers need no lock");
    drop(held);
    assert!(other.store(&key, record, Condition::Absent).await.unwrap().is_applied());
}

#[test]
fn a_panic_or_a_leaked_lock_leads_to_a_repair() {
    let place = Place::new();
    let file = open(&place.config()).unwrap();
    let repaired = || file.superblock().get(superblock::REPAIRED);
    std::thread::scope(|scope| {
        let panicking = scope.spawn(|| {
            let _held = file.shard(0).lock().unwrap();
            std::panic::resume_unwind(Box::new("within a change"));
        });
        assert!(panicking.join().is_err());
    });
    assert_eq!(repaired(), 0);
    drop(file.shard(0).lock().unwrap());
    assert_eq!(repaired(), 1);
    // The kernel marks the lock of a dead thread; this guard is never dropped.
    std::thread::scope(|scope| {
        // Joined, because a scope does not wait for the end of the thread itself.
        scope.spawn(|| std::mem::forget(file.shard(0).lock().unwrap())).join().unwrap();
    });
    drop(file.shard(0).lock().unwrap());
    assert_eq!(repaired(), 2);
    file.audit();
}

#[test]
fn locks_of_another_boot_are_refused_while_in_use() {
    for word in [superblock::BOOT, superblock::NAMESPACE, superblock::PLATFORM] {
        let place = Place::new();
        let first = open(&place.config()).unwrap();
        drop(open(&place.config()).unwrap());
        first.superblock().add(word, 1);
        let (kind, text) = place.refused();
        assert_eq!(kind, StoreErrorKind::Misconfigured);
        assert!(text.contains("in use by"), "{text}");
        // The only opener initialises the locks.
        drop(first);
        let second = open(&place.config()).unwrap();
        drop(second.shard(0).lock().unwrap());
        drop(open(&place.config()).unwrap());
    }
}

#[test]
fn a_foreign_superblock_is_refused_and_named() {
    let place = Place::new();
    drop(open(&place.config()).unwrap());
    let path = place.config().path;
    let good = std::fs::read(&path).unwrap();
    let geometry = place.config().geometry().unwrap();
    let with = |change: &dyn Fn(&mut [u64])| {
        let mut words = encode_superblock(&geometry, 1, 2);
        change(&mut words);
        let words = words.map(u64::to_ne_bytes).concat();
        let bytes = [&words[..], &good[words.len()..]].concat();
        std::fs::write(&path, &bytes).unwrap();
        let refused = place.refused();
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "refused and changed");
        refused
    };
    let (kind, text) = with(&|words| {
        words[superblock::VERSION] = VERSION + 1;
        words[superblock::CHECK] = crate::layout::superblock_check(words);
    });
    assert_eq!(kind, StoreErrorKind::Misconfigured);
    assert!(text.contains("Version(2)"), "{text}");
    let (kind, text) = with(&|words| words[superblock::BYTE_ORDER] = BYTE_ORDER.swap_bytes());
    assert_eq!(kind, StoreErrorKind::Misconfigured);
    assert!(text.contains("ByteOrder"), "{text}");
    for word in superblock::VERSION..=superblock::CHECK {
        assert_eq!(with(&|words| words[word] ^= 1 << 9).0, StoreErrorKind::Corrupt, "word {word}");
    }
    std::fs::write(&path, good).unwrap();
    drop(open(&place.config()).unwrap());
}

#[test]
fn a_locked_gate_is_unavailable_after_open_timeout() {
    let place = Place::new();
    let gate = lock_gate(&place.config()).unwrap();
    let error = open(&place.config().open_timeout(Duration::from_millis(20))).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    drop(gate);
    open(&place.config()).unwrap();
}
