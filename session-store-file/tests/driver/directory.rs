//! Directories: modes, refusals, and stores that vanish or are replaced.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use session_core::{
    Applied, Change, Condition, Cursor, Driver as _, DriverExt as _, Revision, StoreError, StoreErrorKind,
    TestClock, Timestamp,
};
use session_store_file::{FileConfig, FileStore};

use session_conformance::testing::block_on;

use crate::support::{Site, file_of, files, key, keys, open, put, record, site, touched, user};

#[tokio::test]
async fn files_and_directories_are_private_to_their_owner() {
    let site = site();
    put(&site.store, "one", 1).await;
    put(&site.store, "one", 2).await;
    let file = file_of(&site.root, "one");
    let folder = file.parent().unwrap();
    for directory in [&site.root, folder, folder.parent().unwrap()] {
        assert_eq!(fs::metadata(directory).unwrap().mode() & 0o777, 0o700, "{}", directory.display());
    }
    for file in [&file, &site.root.join("layout")] {
        assert_eq!(fs::metadata(file).unwrap().mode() & 0o777, 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn hostile_keys_stay_inside_the_store() {
    let site = site();
    let long = "../".repeat(80);
    let nasty =
        ["/", "..", "../x", "a\\b", "a\0b", "*", "-rf", "layout", ".new-1", "../../etc/passwd", &long];
    for id in nasty {
        put(&site.store, id, 1).await;
    }
    assert_eq!(fs::read_dir(site.directory.path()).unwrap().count(), 1, "only the store is there");
    let files = files(&site.root);
    assert_eq!(files.len(), nasty.len());
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
    }
}

#[test]
fn unsuitable_directory_is_refused_and_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let refused = |config: FileConfig, word: &str| {
        let error = FileStore::open(config).unwrap_err();
        assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Misconfigured, Applied::No), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    };
    let path = |name: &str| directory.path().join(name);
    let new = || FileConfig::new(path("missing"));
    refused(FileConfig::from(""), "path");
    for config in [new().max_record_bytes(0), new().max_record_bytes((1 << 30) + 1)] {
        refused(config, "max_record_bytes");
    }
    refused(new().max_queue(0), "max_queue");
    refused(new().threads(0), "threads");
    refused(new().threads(257), "threads");
    refused(new(), "missing");
    refused(FileConfig::new(path("missing/deeper")).create_directory(true), "missing/deeper");
    assert!(!path("missing").exists());

    fs::create_dir(path("full")).unwrap();
    fs::write(path("full/notes.txt"), b"mine").unwrap();
    refused(FileConfig::new(path("full")), "not empty");
    assert_eq!(fs::read_dir(path("full")).unwrap().count(), 1);

    fs::create_dir(path("empty")).unwrap();
    for name in ["empty", "missing"] {
        let error = FileStore::open(FileConfig::new(path(name)).create(false)).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Missing, "{error}");
        assert!(error.to_string().ends_with(", and create is off"), "{error}");
    }
    assert_eq!(fs::read_dir(path("empty")).unwrap().count(), 0);
    assert!(!path("missing").exists());
    fs::write(path("file"), b"").unwrap();
    refused(FileConfig::new(path("file")), "file");
    fs::set_permissions(path("empty"), fs::Permissions::from_mode(0o777)).unwrap();
    refused(FileConfig::new(path("empty")), "writable for other users");
    fs::set_permissions(path("empty"), fs::Permissions::from_mode(0o700)).unwrap();

    drop(FileStore::open(path("empty")).unwrap());
    let layout = fs::read_to_string(path("empty/layout")).unwrap();
    for (text, word) in [
        (layout.replace("layout 1", "layout 2"), "version 2"),
        (layout.replace("layout 1", "layout one"), "no version"),
        (layout.replace("session-store-file", "something-else"), "another program"),
        (layout.replace("id ", "no "), "no id"),
        (String::new(), "another program"),
    ] {
        fs::write(path("empty/layout"), &text).unwrap();
        refused(FileConfig::new(path("empty")), word);
        assert_eq!(fs::read_to_string(path("empty/layout")).unwrap(), text);
    }
    for what in ["directory", "pipe", "link"] {
        fs::remove_file(path("empty/layout")).unwrap();
        match what {
            "directory" => fs::create_dir(path("empty/layout")).unwrap(),
            "pipe" => {
                let made = std::process::Command::new("mkfifo").arg(path("empty/layout")).status();
                assert!(made.unwrap().success());
            }
            _ => std::os::unix::fs::symlink(path("full/notes.txt"), path("empty/layout")).unwrap(),
        }
        refused(FileConfig::new(path("empty")), "layout");
        if what == "directory" {
            fs::remove_dir(path("empty/layout")).unwrap();
            fs::write(path("empty/layout"), "").unwrap();
        }
    }
    fs::remove_file(path("empty/layout")).unwrap();
    fs::write(path("empty/layout"), &layout).unwrap();
    drop(FileStore::open(FileConfig::new(path("empty")).create(false)).unwrap());
    // Other processes would not find the store at the path in the options.
    std::os::unix::fs::symlink(path("empty"), path("link")).unwrap();
    let store = FileStore::open(path("link")).unwrap();
    block_on(put(&store, "one", 1));
    fs::remove_file(path("link")).unwrap();
    let error = block_on(store.store(&key("one"), record(2, 9), Condition::Any)).unwrap_err();
    assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Unavailable, Applied::No), "{error}");
    std::os::unix::fs::symlink(path("empty"), path("link")).unwrap();
    block_on(put(&store, "one", 3));
}

#[tokio::test]
async fn missing_store_is_unavailable_with_its_path() {
    let site = site();
    fs::rename(&site.root, site.directory.path().join("aside")).unwrap();
    let errors = [
        site.store.retrieve(&key("never")).await.unwrap_err(),
        site.store.store(&key("one"), record(2, 9), Condition::Any).await.unwrap_err(),
        site.store.flush().await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Unavailable, Applied::No), "{error}");
        assert!(error.to_string().contains(site.root.to_str().unwrap()), "{error}");
    }
}

#[test]
fn moving_store_never_reads_as_no_session() {
    let site = site();
    let aside = site.directory.path().join("aside");
    let moving = AtomicBool::new(true);
    block_on(async {
        for number in 0..20 {
            put(&site.store, &format!("{number}"), number).await;
        }
    });
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut moves = 0;
            while moving.load(Ordering::Relaxed) {
                fs::rename(&site.root, &aside).unwrap();
                fs::rename(&aside, &site.root).unwrap();
                // Otherwise readers that wait for the parent directory run only between the two renames.
                std::thread::sleep(Duration::from_micros(50));
                moves += 1;
            }
            assert!(moves > 100, "{moves} moves");
        });
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| block_on(meet(&site))));
        moving.store(false, Ordering::Relaxed);
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Calls until each operation has met the store present and absent, and the short ones often.
async fn meet(site: &Site) {
    let (mut retrieved, mut moved, mut scanned) = ([0; 2], [0; 2], [0; 2]);
    let mut revisions: [u64; 20] = std::array::from_fn(|index| index as u64);
    for round in 0_usize.. {
        let (key, now) = (key(&format!("{}", round % 20)), &mut revisions[round % 20]);
        let found = site.store.retrieve(&key).await;
        served(found.map(|found| found.is_some()), &mut retrieved);
        let answer = site.store.touch(&key, touched(*now, *now + 1_000)).await;
        *now += if answer.is_ok() { 1_000 } else { 0 };
        served(answer, &mut moved);
        if round % 500 == 0 {
            served(site.store.count(&user()).await.map(|count| count == 20), &mut scanned);
            served(site.store.purge(10).await.map(|purged| purged.removed == 0), &mut scanned);
        }
        let often = retrieved.into_iter().chain(moved).all(|times| times > 100);
        if often && scanned[0] > 4 {
            return println!("retrieved {retrieved:?}, touched {moved:?}, scanned {scanned:?}");
        }
    }
}

/// Counts successes and refusals.
fn served(answer: Result<bool, StoreError>, times: &mut [usize; 2]) {
    match answer {
        Ok(right) => {
            assert!(right, "the store reads as complete");
            times[0] += 1;
        }
        Err(error) => {
            assert_eq!(
                (error.kind(), error.applied()),
                (StoreErrorKind::Unavailable, Applied::No),
                "{error}"
            );
            times[1] += 1;
        }
    }
}

#[tokio::test]
async fn replaced_store_is_used_with_its_own_locks() {
    let site = site();
    for number in 0..40 {
        put(&site.store, &format!("old-{number}"), number).await;
    }
    let page = site.store.traverse(&user(), Cursor::start(), 5).await.unwrap();
    let old = page.next.unwrap();
    fs::rename(&site.root, site.directory.path().join("aside")).unwrap();
    let other = open(&site.root, &site.clock);
    for number in 0..40 {
        // Both handles try, in alternating order; one of them holds directories that are gone.
        let name = format!("new-{number}");
        let (first, second) = if number % 2 == 0 { (&site.store, &other) } else { (&other, &site.store) };
        let answer = first.store(&key(&name), record(number, 50), Condition::Absent).await.unwrap();
        assert!(answer.is_applied());
        let answer = second.store(&key(&name), record(99, 50), Condition::Absent).await.unwrap();
        assert_eq!(answer, Change::Conflict(Some(record(number, 50))));
    }
    assert_eq!(site.store.retrieve(&key("old-3")).await.unwrap(), None);
    assert_eq!(keys(&site.store).await.unwrap(), keys(&other).await.unwrap());
    assert_eq!(files(&site.root).len(), 40);
    assert_eq!(files(&site.directory.path().join("aside")).len(), 40, "nothing was written to the old store");
    let error = site.store.traverse(&user(), old, 5).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::InvalidCursor);

    // A single shard or folder may vanish, too.
    for levels in [1, 2] {
        put(&site.store, "gone", 1).await;
        let gone = file_of(&site.root, "gone");
        fs::remove_dir_all(gone.ancestors().nth(levels).unwrap()).unwrap();
        assert_eq!(site.store.retrieve(&key("gone")).await.unwrap(), None);
        assert!(!site.store.touch(&key("gone"), touched(1, 2)).await.unwrap());
        let answer = other.store(&key("gone"), record(5, 50), Condition::Absent).await.unwrap();
        assert!(answer.is_applied());
        let answer = site.store.store(&key("gone"), record(6, 50), Condition::Absent).await.unwrap();
        assert_eq!(answer, Change::Conflict(Some(record(5, 50))));
    }
}

#[tokio::test]
async fn store_of_layout_1_is_readable() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("36/2b");
    fs::create_dir_all(&folder).unwrap();
    let layout = "session-store-file\nlayout 1\nid 000102030405060708090a0b0c0d0e0f\n";
    fs::write(directory.path().join("layout"), layout).unwrap();
    let name = "dabd1db8d35ab13106274f61f1bf977812cce4f477b15014cf38fb796c50a4c4";
    fs::write(folder.join(name), include_bytes!("../../golden/record-v1.bin")).unwrap();
    let clock = TestClock::new(Timestamp::from_millis(1_600_000_000_000));
    let store = open(directory.path(), &clock);
    let found = store.retrieve(&key("alice")).await.unwrap().unwrap();
    assert_eq!(
        (&found.data[..], found.revision),
        (&b"\x00opaque\xff"[..], Revision::from_bytes(*b"revision"))
    );
    assert_eq!(found.expires, Some(Timestamp::from_millis(1_700_000_000_123)));
    assert_eq!(keys(&store).await.unwrap(), ["alice"]);
    assert_eq!(fs::read_to_string(directory.path().join("layout")).unwrap(), layout);
}
