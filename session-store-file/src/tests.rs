//! What only a kernel or a file system without the newer calls would show, or a forked child.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use session_core::{
    Applied, Clock as _, Condition, Cursor, Driver as _, DriverExt as _, Key, Prefix, Record, Revision,
    StoreErrorKind, TestClock, Timestamp, Touch,
};

use crate::store::Inner;
use crate::{Durability, FileConfig, FileStore};

#[tokio::test]
async fn without_openat2_and_without_exchange_it_works_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let mut inner = Inner::open(FileConfig::new(directory.path())).unwrap();
    inner.root.resolve_by_hand();
    inner.flags = false;
    inner.root.is_unsteady();
    let store = FileStore::with(inner);
    let revision = |n: u8| Revision::from_bytes([n; 8]);
    let record = |n| Record::new(vec![n; 100], None, revision(n));
    let key = Key::parse("user:alice").unwrap();
    assert_eq!(store.retrieve(&key).await.unwrap(), None);
    assert!(store.store(&key, record(1), Condition::Absent).await.unwrap().is_applied());
    assert!(store.store(&key, record(2), Condition::Revision(revision(1))).await.unwrap().is_applied());
    assert!(store.touch(&key, Touch { from: revision(2), to: revision(3), deadline: None }).await.unwrap());
    let expected = Record { revision: revision(3), ..record(2) };
    assert_eq!(store.retrieve(&key).await.unwrap(), Some(expected));
    assert_eq!(store.count(&Prefix::new("user").unwrap()).await.unwrap(), 1);

    // A link in any part of the path is refused, not followed.
    let elsewhere = tempfile::tempdir().unwrap();
    let place = crate::place::Place::of(&key);
    let shard = directory.path().join(format!("{:02x}", place.folder.shard()));
    std::fs::rename(&shard, elsewhere.path().join("moved")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("moved"), &shard).unwrap();
    assert!(store.retrieve(&key).await.is_err());
    assert!(store.store(&key, record(9), Condition::Any).await.is_err());
    std::fs::remove_file(&shard).unwrap();
    std::fs::rename(elsewhere.path().join("moved"), &shard).unwrap();
    assert!(store.remove(&key, Condition::Any).await.unwrap().is_applied());
    assert_eq!(store.retrieve(&key).await.unwrap(), None);
}

#[tokio::test]
async fn where_a_listing_needs_the_lock_a_lock_that_somebody_keeps_makes_it_unavailable() {
    let directory = tempfile::tempdir().unwrap();
    let mut inner =
        Inner::open(FileConfig::new(directory.path()).busy_timeout(Duration::from_millis(20))).unwrap();
    inner.root.is_unsteady();
    let store = FileStore::with(inner);
    let (users, key) = (Prefix::new("user").unwrap(), Key::parse("user:alice").unwrap());
    let record = Record::new(&b"data"[..], None, Revision::from_bytes([1; 8]));
    assert!(store.store(&key, record, Condition::Any).await.unwrap().is_applied());
    let shard = crate::place::Place::of(&key).folder.shard();
    let holder = std::fs::File::open(directory.path().join(format!("{shard:02x}"))).unwrap();
    holder.lock().unwrap();
    let error = store.traverse(&users, Cursor::start(), 5).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    holder.unlock().unwrap();
    assert_eq!(store.count(&users).await.unwrap(), 1);
}

/// After an error of the disk the kernel may have dropped what it shows, and synchronising it again succeeds. That takes
/// a disk that fails; what shows here is that the bytes are written anew.
#[tokio::test]
async fn a_change_that_was_made_already_is_written_again_where_it_is_to_survive_power_loss() {
    let revision = |n: u8| Revision::from_bytes([n; 8]);
    let key = Key::parse("user:alice").unwrap();
    let record = Record::new(vec![7; 10_000], Some(Timestamp::from_millis(u64::MAX >> 1)), revision(1));
    for durability in [Durability::Process, Durability::Power] {
        let directory = tempfile::tempdir().unwrap();
        let store = FileStore::open(FileConfig::new(directory.path()).durability(durability)).unwrap();
        let place = crate::place::Place::of(&key);
        let path = directory.path().join(OsStr::from_bytes(place.below_root()));
        // Whether a call writes the file.
        let age = || std::fs::File::open(&path).unwrap().set_modified(UNIX_EPOCH).unwrap();
        let written = || std::fs::metadata(&path).unwrap().modified().unwrap() != UNIX_EPOCH;
        let again = durability == Durability::Power;

        assert!(store.store(&key, record.clone(), Condition::Absent).await.unwrap().is_applied());
        age();
        assert!(store.store(&key, record.clone(), Condition::Absent).await.unwrap().is_applied());
        assert_eq!(written(), again, "a store, {durability:?}");
        assert_eq!(store.retrieve(&key).await.unwrap(), Some(record.clone()));

        let deadline = Some(Timestamp::from_millis(u64::MAX >> 2));
        assert!(store.touch(&key, Touch { from: revision(1), to: revision(2), deadline }).await.unwrap());
        age();
        assert!(store.touch(&key, Touch { from: revision(1), to: revision(2), deadline }).await.unwrap());
        assert_eq!(written(), again, "a touch, {durability:?}");
        let touched = Record { revision: revision(2), expires: deadline, ..record.clone() };
        assert_eq!(store.retrieve(&key).await.unwrap(), Some(touched));
        assert_eq!(walk(directory.path()), 2, "the record and the layout");
    }
}

#[tokio::test]
async fn in_a_forked_child_nothing_is_changed_and_nothing_waits_for_threads_that_are_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let (user, key) = (Prefix::new("user").unwrap(), Key::parse("user:alice").unwrap());
    let (from, to) = (Revision::from_bytes([1; 8]), Revision::from_bytes([2; 8]));
    let record = Record::new(&b"data"[..], None, from);
    let parent = FileStore::open(directory.path()).unwrap();
    assert!(parent.store(&key, record.clone(), Condition::Any).await.unwrap().is_applied());

    // To fork would take unsafe code, so this is told by what a fork changes.
    let mut inner = Inner::open(FileConfig::new(directory.path())).unwrap();
    inner.process += 1;
    let child = FileStore::with(inner);
    let errors = [
        child.store(&key, Record { revision: to, ..record.clone() }, Condition::Any).await.unwrap_err(),
        child.store(&key, Record::new(vec![7; 1 << 20], None, to), Condition::Any).await.unwrap_err(),
        child.remove(&key, Condition::Any).await.unwrap_err(),
        child.touch(&key, Touch { from, to, deadline: None }).await.unwrap_err(),
        child.traverse(&user, Cursor::start(), 5).await.unwrap_err(),
        child.purge(5).await.unwrap_err(),
        child.flush().await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Misconfigured, Applied::No), "{error}");
        assert!(error.to_string().contains("fork"), "{error}");
    }
    assert_eq!(child.retrieve(&key).await.unwrap(), Some(record.clone()), "reading takes neither");
    assert_eq!(child.close().await.unwrap_err().kind(), StoreErrorKind::Misconfigured);
    drop(child);
    assert_eq!(parent.retrieve(&key).await.unwrap(), Some(record));
}

#[tokio::test]
async fn a_purge_of_many_calls_leaves_nothing_whatever_was_begun_before() {
    let directory = tempfile::tempdir().unwrap();
    let clock = TestClock::new(Timestamp::from_millis(1_000));
    let mut inner = Inner::open(FileConfig::new(directory.path()).clock(Arc::new(clock.clone()))).unwrap();
    inner.lap.looks = 10;
    let store = FileStore::with(inner);
    for round in 0..8_u64 {
        let deadline = clock.now().saturating_add(Duration::from_secs(1));
        for number in 0..100 {
            let key = Key::parse(&format!("user:{number}")).unwrap();
            let expires = (number % 2 == 0).then_some(deadline);
            let record = Record::new(&b"data"[..], expires, Revision::from_bytes([7; 8]));
            assert!(store.store(&key, record, Condition::Any).await.unwrap().is_applied());
        }
        // Somebody looks at a part before anything has expired, and gives up.
        let abandoned = if round % 2 == 1 { round } else { 0 };
        for _ in 0..abandoned {
            assert_eq!(store.purge(1_000).await.unwrap().removed, 0);
        }
        clock.advance(Duration::from_secs(1));
        let (mut removed, mut more) = (0, true);
        while more {
            let purged = store.purge(1_000).await.unwrap();
            (removed, more) = (removed + purged.removed, purged.more);
        }
        // What was looked at in the abandoned part is met by the next purge at the latest.
        while store.purge(1_000).await.unwrap().more {}
        assert_eq!(store.count(&Prefix::new("user").unwrap()).await.unwrap(), 50);
        let files = walk(directory.path());
        assert_eq!(files, 51, "the live records and the layout, in round {round}");
        if abandoned == 0 {
            assert_eq!(removed, 50, "nothing was abandoned in round {round}");
        }
    }
}

fn walk(directory: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries.map(|entry| if entry.file_type().unwrap().is_dir() { walk(&entry.path()) } else { 1 }).sum()
}
