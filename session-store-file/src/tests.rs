//! Kernels and file systems without the newer calls, and forked children.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use session_core::{
    Applied, Clock as _, Condition, Cursor, Driver as _, DriverExt as _, Key, Prefix, Record, Revision,
    StoreErrorKind, TestClock, Timestamp, Touch,
};

use crate::open::Opened;
use crate::path::RecordPath;
use crate::{Durability, FileConfig, FileStore};

#[tokio::test]
async fn store_works_without_openat2_and_rename_flags() {
    let directory = tempfile::tempdir().unwrap();
    let mut opened = Opened::open(FileConfig::new(directory.path())).unwrap();
    opened.root.has_openat2 = false;
    opened.rename_flags = false;
    opened.root.has_stable_listing = false;
    let store = FileStore::new(opened);
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
    let place = RecordPath::of(&key);
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
async fn locked_listing_is_unavailable_while_the_lock_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let mut opened =
        Opened::open(FileConfig::new(directory.path()).busy_timeout(Duration::from_millis(20))).unwrap();
    opened.root.has_stable_listing = false;
    let store = FileStore::new(opened);
    let (users, key) = (Prefix::new("user").unwrap(), Key::parse("user:alice").unwrap());
    let record = Record::new(&b"data"[..], None, Revision::from_bytes([1; 8]));
    assert!(store.store(&key, record, Condition::Any).await.unwrap().is_applied());
    let shard = RecordPath::of(&key).folder.shard();
    let holder = std::fs::File::open(directory.path().join(format!("{shard:02x}"))).unwrap();
    holder.lock().unwrap();
    let error = store.traverse(&users, Cursor::start(), 5).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    holder.unlock().unwrap();
    assert_eq!(store.count(&users).await.unwrap(), 1);
}

/// After a disk error the kernel may show bytes that it has dropped, and a later fsync succeeds. A failing disk is not
/// simulated here; the test shows that the bytes are written again.
#[tokio::test]
async fn repeated_change_is_written_again_under_power() {
    let revision = |n: u8| Revision::from_bytes([n; 8]);
    let key = Key::parse("user:alice").unwrap();
    let record = Record::new(vec![7; 10_000], Some(Timestamp::from_millis(u64::MAX >> 1)), revision(1));
    for durability in [Durability::Process, Durability::Power] {
        let directory = tempfile::tempdir().unwrap();
        let store = FileStore::open(FileConfig::new(directory.path()).durability(durability)).unwrap();
        let place = RecordPath::of(&key);
        let path = directory.path().join(OsStr::from_bytes(place.below_root()));
        // The modification time shows whether a call writes the file.
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
async fn forked_child_changes_nothing_and_waits_for_no_thread() {
    let directory = tempfile::tempdir().unwrap();
    let (user, key) = (Prefix::new("user").unwrap(), Key::parse("user:alice").unwrap());
    let (from, to) = (Revision::from_bytes([1; 8]), Revision::from_bytes([2; 8]));
    let record = Record::new(&b"data"[..], None, from);
    let parent = FileStore::open(directory.path()).unwrap();
    assert!(parent.store(&key, record.clone(), Condition::Any).await.unwrap().is_applied());

    let mut child = FileStore::open(directory.path()).unwrap();
    let handle = Arc::get_mut(&mut child.0).unwrap();
    handle.workers.pretend_fork();
    handle.scanners.pretend_fork();
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
    assert_eq!(child.retrieve(&key).await.unwrap(), Some(record.clone()), "reads take no lock and no thread");
    assert_eq!(child.close().await.unwrap_err().kind(), StoreErrorKind::Misconfigured);
    drop(child);
    assert_eq!(parent.retrieve(&key).await.unwrap(), Some(record));
}

#[tokio::test]
async fn purge_over_many_calls_leaves_nothing_expired() {
    let directory = tempfile::tempdir().unwrap();
    let clock = TestClock::new(Timestamp::from_millis(1_000));
    let mut opened = Opened::open(FileConfig::new(directory.path()).clock(Arc::new(clock.clone()))).unwrap();
    opened.purge_files = 10;
    let store = FileStore::new(opened);
    for round in 0..8_u64 {
        let deadline = clock.now().saturating_add(Duration::from_secs(1));
        for number in 0..100 {
            let key = Key::parse(&format!("user:{number}")).unwrap();
            let expires = (number % 2 == 0).then_some(deadline);
            let record = Record::new(&b"data"[..], expires, Revision::from_bytes([7; 8]));
            assert!(store.store(&key, record, Condition::Any).await.unwrap().is_applied());
        }
        // Some calls examine a part of the store before a record has expired.
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
        // Records of that part are met by the next purge at the latest.
        while store.purge(1_000).await.unwrap().more {}
        assert_eq!(store.count(&Prefix::new("user").unwrap()).await.unwrap(), 50);
        let files = walk(directory.path());
        assert_eq!(files, 51, "the live records and the layout, in round {round}");
        if abandoned == 0 {
            assert_eq!(removed, 50, "all records in round {round}");
        }
    }
}

fn walk(directory: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries.map(|entry| if entry.file_type().unwrap().is_dir() { walk(&entry.path()) } else { 1 }).sum()
}
