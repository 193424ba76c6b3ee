//! sled's database, its files, and their failures.

#![allow(clippy::unwrap_used, reason = "an error fails the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use session_conformance::testing::{ChildProcess, SmallDisk, block_on, child_args, forked};
use session_core::{
    Condition, Cursor, Driver, DriverExt, Key, Prefix, Purged, Record, Revision, StoreErrorKind, TestClock,
    Timestamp, Touch,
};
use session_store_sled::{SledConfig, SledStore};

fn key(number: u64) -> Key {
    Key::parse(&format!("user:{number:06}")).unwrap()
}

fn rev(number: u64) -> Revision {
    Revision::from_bytes(number.to_be_bytes())
}

fn record(number: u64, length: usize) -> Record {
    Record::new(vec![number as u8; length], None, rev(number))
}

async fn put(store: &SledStore, number: u64, length: usize) {
    assert!(store.store(&key(number), record(number, length), Condition::Any).await.unwrap().is_applied());
}

#[tokio::test]
async fn close_frees_the_database_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sessions");
    for flushes in [false, true] {
        let store = SledStore::open(SledConfig::new(&path).flush_each_change(flushes)).unwrap();
        put(&store, 1, 10).await;
        store.close().await.unwrap();
        // While the closed store still exists.
        let anew = SledStore::open(SledConfig::new(&path)).unwrap();
        assert_eq!(anew.retrieve(&key(1)).await.unwrap(), Some(record(1, 10)));
        anew.close().await.unwrap();
    }
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn given_database_stays_open_and_other_trees_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let database = sled::open(directory.path().join("application")).unwrap();
    let own = database.open_tree("own").unwrap();
    own.insert("key", "value").unwrap();
    let store = SledStore::open(SledConfig::in_database(database.clone())).unwrap();
    put(&store, 1, 10).await;
    assert_eq!(store.clear(&Prefix::new("user").unwrap()).await.unwrap(), 1);
    put(&store, 2, 10).await;
    store.close().await.unwrap();
    assert_eq!(own.get("key").unwrap().as_deref(), Some(&b"value"[..]));
    own.insert("key", "another").unwrap();
    let again = SledStore::open(SledConfig::in_database(database)).unwrap();
    assert_eq!(again.retrieve(&key(2)).await.unwrap(), Some(record(2, 10)));
}

#[tokio::test]
async fn dropped_store_loses_nothing_and_frees_its_database() {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(SledConfig::new(directory.path())).unwrap();
    put(&store, 1, 10).await;
    drop(store);
    let again = loop {
        match SledStore::open(SledConfig::new(directory.path())) {
            Err(error) if error.kind() == StoreErrorKind::Unavailable => tokio::task::yield_now().await,
            other => break other.unwrap(),
        }
    };
    assert_eq!(again.retrieve(&key(1)).await.unwrap(), Some(record(1, 10)));
}

#[tokio::test]
async fn a_database_that_somebody_else_has_open_is_unavailable() {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(SledConfig::new(directory.path())).unwrap();
    let error = SledStore::open(SledConfig::new(directory.path())).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(error.to_string().contains("open elsewhere"), "{error}");
    store.close().await.unwrap();

    // The lock works across processes, in both directions.
    let file = fs::File::open(directory.path().join("db")).unwrap();
    file.lock().unwrap();
    assert_eq!(
        SledStore::open(SledConfig::new(directory.path())).unwrap_err().kind(),
        StoreErrorKind::Unavailable
    );
    file.unlock().unwrap();
    SledStore::open(SledConfig::new(directory.path())).unwrap();
}

#[test]
fn open_refuses_invalid_options_and_paths() {
    let directory = tempfile::tempdir().unwrap();
    let fine = || SledConfig::new(directory.path().join("sessions"));
    let file = directory.path().join("file");
    fs::write(&file, "not a directory").unwrap();
    for wrong in [
        fine().tree(""),
        fine().tree("__sled__default"),
        fine().max_record_bytes(0),
        fine().max_record_bytes((1 << 30) + 1),
        fine().scan(0),
        fine().scan(1_000_001),
        fine().flush_timeout(Duration::ZERO),
        fine().flush_timeout(Duration::from_secs(3_601)),
        fine().cache_bytes(1_000),
        SledConfig::new(&file),
        SledConfig::new(file.join("below")),
        SledConfig::new(directory.path().join("missing").join("sessions")),
    ] {
        let error = SledStore::open(wrong.clone()).expect_err(&format!("{wrong:?}"));
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{wrong:?}: {error:?}");
    }
    assert!(!directory.path().join("sessions").exists(), "nothing is created for invalid options");
}

#[test]
fn missing_database_or_tree_is_refused_without_create() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sessions");
    let refused = |config: SledConfig| {
        assert_eq!(SledStore::open(config.create(false)).unwrap_err().kind(), StoreErrorKind::Missing);
    };
    refused(SledConfig::new(&path));
    refused(SledConfig::new(directory.path()));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing was created");
    block_on(SledStore::open(SledConfig::new(&path)).unwrap().close()).unwrap();
    refused(SledConfig::new(&path).tree("other"));
    block_on(SledStore::open(SledConfig::new(&path).create(false)).unwrap().close()).unwrap();
}

#[tokio::test]
async fn debug_shows_no_keys_and_no_data() {
    let directory = tempfile::tempdir().unwrap();
    let database = sled::open(directory.path()).unwrap();
    let config = SledConfig::in_database(database);
    let store = SledStore::open(config.clone()).unwrap();
    let secret = Record::new(&b"secret"[..], None, rev(1));
    assert!(
        store.store(&Key::parse("user:alice").unwrap(), secret, Condition::Any).await.unwrap().is_applied()
    );
    let bytes = format!("{:?}", &b"secret"[..]);
    for text in [format!("{config:?}"), format!("{store:?}")] {
        assert!(!text.contains("alice") && !text.contains("secret") && !text.contains(&bytes), "{text}");
    }
}

/// As clause F02, but through the tree: damage of sled's log is for sled to detect.
#[tokio::test]
async fn damaged_frame_is_corrupt_until_replaced_or_removed() {
    let directory = tempfile::tempdir().unwrap();
    let database = sled::open(directory.path()).unwrap();
    let store = SledStore::open(SledConfig::in_database(database.clone())).unwrap();
    let tree = database.open_tree("session-kit").unwrap();
    for number in 0..3 {
        put(&store, number, 40).await;
    }
    let whole = tree.get(key(1).as_bytes()).unwrap().unwrap();
    let users = Prefix::new("user").unwrap();
    let mut damaged: Vec<Vec<u8>> = (0..whole.len()).map(|length| whole[..length].to_vec()).collect();
    for at in 0..whole.len() {
        for mask in [1, 0x80, 0xff] {
            let mut bent = whole.to_vec();
            bent[at] ^= mask;
            damaged.push(bent);
        }
    }
    damaged.push([&whole[..], &[0]].concat());
    // A valid frame of another key.
    damaged.push(tree.get(key(2).as_bytes()).unwrap().unwrap().to_vec());
    for bytes in damaged {
        tree.insert(key(1).as_bytes(), bytes.clone()).unwrap();
        let found = store.retrieve(&key(1)).await;
        assert_eq!(found.map_err(|error| error.kind()), Err(StoreErrorKind::Corrupt), "{bytes:?}");
        assert_eq!(store.retrieve(&key(0)).await.unwrap(), Some(record(0, 40)));
        let page = store.traverse(&users, Cursor::start(), 10).await.unwrap();
        assert!(page.entries.iter().any(|entry| entry.key == key(2)));
        store.purge(10).await.unwrap();
        assert_eq!(
            tree.get(key(1).as_bytes()).unwrap().as_deref(),
            Some(&bytes[..]),
            "the damaged frame is unchanged"
        );
    }
    assert!(store.store(&key(1), record(1, 40), Condition::Any).await.unwrap().is_applied());
    assert_eq!(store.retrieve(&key(1)).await.unwrap(), Some(record(1, 40)));
    tree.insert(key(1).as_bytes(), &b"rubbish"[..]).unwrap();
    assert!(store.remove(&key(1), Condition::Any).await.unwrap().is_applied());
    assert_eq!(store.retrieve(&key(1)).await.unwrap(), None);
}

#[tokio::test]
async fn purge_rounds_over_many_calls_miss_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::new(Timestamp::from_millis(1_000_000)));
    let config = SledConfig::new(directory.path()).scan(100).clock(Arc::clone(&clock) as _);
    let store = SledStore::open(config).unwrap();
    assert_eq!(round(&store, 0).await, (0, 1), "an empty store");
    let expiring = |number: u64, after: u64| Record {
        expires: Some(Timestamp::from_millis(1_000_000 + after)),
        ..record(number, 10)
    };
    for number in 0..1_000 {
        // Even numbers expire after 10 ms, odd ones after 20.
        let one = expiring(number, 10 + 10 * (number % 2));
        assert!(store.store(&key(number), one, Condition::Absent).await.unwrap().is_applied());
    }
    let (removed, calls) = round(&store, 1_000).await;
    assert_eq!((removed, calls), (0, 11), "ten calls of 100 records, and one that meets the end");

    clock.advance(Duration::from_millis(10));
    assert_eq!(store.purge(30).await.unwrap(), Purged { removed: 30, more: true });
    // Records that the running round has passed expire, and so does a record that was written behind it.
    assert!(store.store(&key(0), expiring(0, 15), Condition::Absent).await.unwrap().is_applied());
    clock.advance(Duration::from_millis(10));
    let (removed, _) = round(&store, 1_000).await;
    assert_eq!(removed, 1_001 - 30);
    assert_eq!(round(&store, 1_000).await, (0, 1));
    assert_eq!(round(&store, 0).await, (0, 1));
}

/// Purges until `more` is false. Returns the numbers of removed records and of calls.
async fn round(store: &SledStore, limit: usize) -> (u64, usize) {
    let (mut removed, mut calls) = (0, 0);
    loop {
        let purged = store.purge(limit).await.unwrap();
        removed += purged.removed;
        calls += 1;
        if !purged.more {
            return (removed, calls);
        }
        assert!(calls < 100, "`more` stays true");
    }
}

#[tokio::test]
async fn page_examines_at_most_scan_records() {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(SledConfig::new(directory.path()).scan(7)).unwrap();
    for number in 0..100 {
        put(&store, number, 1).await;
    }
    let users = Prefix::new("user").unwrap();
    let page = store.traverse(&users, Cursor::start(), 10).await.unwrap();
    assert_eq!(
        page.entries.into_iter().map(|entry| entry.key).collect::<Vec<_>>(),
        (0..7).map(key).collect::<Vec<_>>()
    );
    assert_eq!(store.count(&users).await.unwrap(), 100);
}

/// sled panics on most of this. The README says what it does not notice.
#[tokio::test]
async fn damaged_files_give_errors_and_no_wrong_records() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sessions");
    let store = SledStore::open(SledConfig::new(&path)).unwrap();
    for number in 0..200 {
        put(&store, number, 500).await;
    }
    store.close().await.unwrap();
    // The second open leaves a snapshot file, too.
    SledStore::open(SledConfig::new(&path)).unwrap().close().await.unwrap();
    let mut errors = 0;
    for name in fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()) {
        let file = path.join(&name);
        if file.is_dir() {
            continue;
        }
        let whole = fs::read(&file).unwrap();
        let used = whole.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        for part in 0..24 {
            let at = used * part / 24;
            let mut bent = whole.clone();
            bent[at] ^= 0x10;
            let cut = whole[..at].to_vec();
            for damaged in [bent, cut] {
                let copy = directory.path().join("copy");
                copy_database(&path, &copy);
                fs::write(copy.join(&name), damaged).unwrap();
                errors += look_at(&copy).await;
                fs::remove_dir_all(&copy).unwrap();
            }
        }
    }
    assert!(errors > 0, "some of the damage is found");
}

fn copy_database(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("blobs")).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Opens a possibly damaged database and reads all of it. Returns how many calls failed.
async fn look_at(path: &Path) -> usize {
    let store = match SledStore::open(SledConfig::new(path)) {
        Ok(store) => store,
        Err(error) => {
            let kinds = [StoreErrorKind::Corrupt, StoreErrorKind::Misconfigured, StoreErrorKind::Backend];
            assert!(kinds.contains(&error.kind()), "{error:?}");
            return 1;
        }
    };
    let mut errors = 0;
    for number in 0..200 {
        match store.retrieve(&key(number)).await {
            Ok(found) => assert!(found.is_none_or(|found| found == record(number, 500))),
            Err(_) => errors += 1,
        }
    }
    // `close` returns in any case.
    errors + usize::from(store.close().await.is_err())
}

/// sled stops at its first error, or waits forever. Acknowledged records are there once the disk has room.
#[tokio::test(flavor = "multi_thread")]
async fn full_disk_stops_the_store_and_loses_nothing() {
    let small = 6 << 20;
    let disk = SmallDisk::mount(small).expect("run this test as root, or under `unshare -r -m`");
    let expected =
        |kind| matches!(kind, StoreErrorKind::Full | StoreErrorKind::Timeout | StoreErrorKind::Unavailable);
    // sled keeps the longest in files of their own.
    for length in [1_000, 16_000, 200_000] {
        let path = disk.path().join(format!("of-{length}"));
        let config = SledConfig::new(&path).flush_each_change(true).max_record_bytes(1 << 20);
        let store = SledStore::open(config.flush_timeout(Duration::from_millis(500))).unwrap();
        let mut count = 0;
        let error = loop {
            match store.store(&key(count), record(count, length), Condition::Absent).await {
                Ok(answer) => assert!(answer.is_applied()),
                Err(error) => break error,
            }
            count += 1;
        };
        assert!(expected(error.kind()), "{error:?}");
        let error = store.store(&key(0), record(1, length), Condition::Any).await.unwrap_err();
        assert!(expected(error.kind()), "{error:?}");
        for number in 0..count {
            let found = store.retrieve(&key(number)).await;
            assert!(!matches!(found, Ok(None)), "record {number} of {count}, {length} bytes each");
        }
        store.close().await.unwrap_err();
        // A stuck database stays locked until the process ends, so a copy shows what the next process would find.
        disk.resize(64 << 20).unwrap();
        let copy = disk.path().join("copy");
        let copied = std::process::Command::new("cp").arg("-r").arg(&path).arg(&copy).status().unwrap();
        assert!(copied.success());
        let again = SledStore::open(SledConfig::new(&copy)).unwrap();
        for number in 0..count {
            let found = again.retrieve(&key(number)).await.unwrap();
            assert_eq!(found, Some(record(number, length)), "{number} of {count}");
        }
        again.close().await.unwrap();
        fs::remove_dir_all(&copy).unwrap();
        fs::remove_dir_all(&path).unwrap();
        disk.resize(small).unwrap();
    }
}

/// As after damage to sled's pages: the frame of one key under another.
#[tokio::test]
async fn frame_of_another_key_is_corrupt_for_changes_too() {
    let directory = tempfile::tempdir().unwrap();
    let database = sled::open(directory.path()).unwrap();
    let store = SledStore::open(SledConfig::in_database(database.clone())).unwrap();
    put(&store, 1, 10).await;
    let tree = database.open_tree("session-kit").unwrap();
    let frame = tree.get(key(1).as_bytes()).unwrap().unwrap();
    tree.insert(key(2).as_bytes(), frame).unwrap();
    let touch = Touch { from: rev(1), to: rev(3), deadline: None };
    for kind in [
        store.retrieve(&key(2)).await.unwrap_err().kind(),
        store.touch(&key(2), touch).await.unwrap_err().kind(),
        store.store(&key(2), record(2, 10), Condition::Revision(rev(1))).await.unwrap_err().kind(),
        store.remove(&key(2), Condition::Revision(rev(1))).await.unwrap_err().kind(),
    ] {
        assert_eq!(kind, StoreErrorKind::Corrupt);
    }
    assert_eq!(store.count(&Prefix::new("user").unwrap()).await.unwrap(), 1);
    put(&store, 2, 10).await;
    assert_eq!(store.retrieve(&key(1)).await.unwrap(), Some(record(1, 10)));
    assert_eq!(store.retrieve(&key(2)).await.unwrap(), Some(record(2, 10)));
}

/// sled keeps its files open and does not notice.
#[tokio::test]
async fn database_that_is_taken_away_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sessions");
    let store = SledStore::open(path.as_path()).unwrap();
    put(&store, 1, 10).await;
    fs::rename(&path, directory.path().join("away")).unwrap();
    let gone = |answer: session_core::Result<()>| {
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert!(error.to_string().contains("sessions"), "{error}");
    };
    gone(store.flush().await);
    gone(store.purge(1).await.map(drop));
    fs::rename(directory.path().join("away"), &path).unwrap();
    store.flush().await.unwrap();
    fs::remove_dir_all(&path).unwrap();
    gone(store.close().await);
}

/// A forked child has none of sled's threads, and shares the lock of the database with its parent.
#[test]
fn forked_child_is_refused() {
    let test = "forked_child_is_refused";
    let Some(args) = child_args(test) else {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sessions");
        ChildProcess::spawn(test, &[path.to_str().unwrap()]).finish();
        return;
    };
    for flushes in [false, true] {
        let store = SledStore::open(SledConfig::new(&args[0]).flush_each_change(flushes)).unwrap();
        block_on(put(&store, 1, 10));
        let answer = forked(|| {
            let kinds = block_on(async {
                let kind = |error: Option<session_core::StoreError>| error.map(|error| error.kind());
                [
                    kind(store.retrieve(&key(1)).await.err()),
                    kind(store.store(&key(1), record(2, 10), Condition::Any).await.err()),
                    kind(store.remove(&key(1), Condition::Any).await.err()),
                    kind(store.traverse(&Prefix::new("user").unwrap(), Cursor::start(), 9).await.err()),
                    kind(store.purge(9).await.err()),
                    kind(store.flush().await.err()),
                    kind(store.close().await.err()),
                    kind(SledStore::open(args[0].as_str()).err()),
                ]
            });
            assert!(kinds.iter().all(|kind| *kind == Some(StoreErrorKind::Misconfigured)), "{kinds:?}");
            "refused".into()
        });
        assert_eq!(answer, "refused");
        let mut last = Some(store);
        let drops = forked(|| {
            drop(last.take());
            "dropped".into()
        });
        assert_eq!(drops, "dropped");
        block_on(last.unwrap().close()).unwrap();
    }
    // sled's threads are gone even if the database was closed.
    let answer = forked(|| format!("{:?}", SledStore::open(args[0].as_str()).unwrap_err().kind()));
    assert_eq!(answer, "Misconfigured");
}

/// A process that has not used sled may fork, and one child at a time may open the database.
#[test]
fn child_opens_a_database_that_no_process_used_before() {
    let test = "child_opens_a_database_that_no_process_used_before";
    let Some(args) = child_args(test) else {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sessions");
        ChildProcess::spawn(test, &[path.to_str().unwrap()]).finish();
        return;
    };
    for number in 2..4 {
        let stored = forked(|| {
            let store = SledStore::open(SledConfig::new(&args[0]).flush_each_change(true)).unwrap();
            block_on(put(&store, number, 10));
            block_on(store.close()).unwrap();
            "stored".into()
        });
        assert_eq!(stored, "stored");
    }
}
