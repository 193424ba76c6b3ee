//! Torn, damaged and foreign files.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use session_core::{Change, Condition, Driver as _, DriverExt as _, Purged, StoreError, StoreErrorKind};

use crate::support::{
    Site, events, file_of, files, key, keys, listen, path_of, put, record, revision, site, touched,
};

fn is_corrupt<T: std::fmt::Debug>(answer: Result<T, StoreError>, what: &str) {
    assert_eq!(answer.expect_err(what).kind(), StoreErrorKind::Corrupt, "{what}");
}

/// Their place in a file.
const DEADLINE_AND_REVISION: std::ops::Range<usize> = 32..64;

#[tokio::test]
async fn damaged_byte_is_corrupt_until_replaced_or_removed() {
    let site = site();
    put(&site.store, "neighbour", 7).await;
    put(&site.store, "damaged", 1).await;
    let path = file_of(&site.root, "damaged");
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bent = whole.clone();
            bent[at] ^= flip;
            fs::write(&path, &bent).unwrap();
            let what = format!("byte {at} flipped by {flip:#x}");
            is_corrupt(site.store.retrieve(&key("damaged")).await, &what);
            let at_revision = Condition::Revision(revision(1));
            is_corrupt(site.store.store(&key("damaged"), record(2, 9), at_revision).await, &what);
            is_corrupt(site.store.store(&key("damaged"), record(2, 9), Condition::Absent).await, &what);
            if DEADLINE_AND_REVISION.contains(&at) {
                is_corrupt(site.store.touch(&key("damaged"), touched(1, 2)).await, &what);
                assert_eq!(keys(&site.store).await.unwrap(), ["neighbour"], "{what}: a traversal skips it");
            }
            assert_eq!(fs::read(&path).unwrap(), bent, "{what}: the file is unchanged");
            if at >= 5 {
                // Still a record of this driver: `Any` replaces and removes it.
                if flip == 0x80 {
                    assert!(site.store.remove(&key("damaged"), Condition::Any).await.unwrap().is_applied());
                    assert_eq!(site.store.retrieve(&key("damaged")).await.unwrap(), None);
                } else {
                    put(&site.store, "damaged", 3).await;
                    let found = site.store.retrieve(&key("damaged")).await.unwrap();
                    assert_eq!(found, Some(record(3, 100)));
                }
            }
        }
    }
    assert_eq!(site.store.retrieve(&key("neighbour")).await.unwrap(), Some(record(7, 100)));
}

#[tokio::test]
async fn large_record_is_checked_to_its_last_byte() {
    let site = site();
    let large = record(5, 300_000);
    assert!(site.store.store(&key("large"), large.clone(), Condition::Any).await.unwrap().is_applied());
    assert_eq!(site.store.retrieve(&key("large")).await.unwrap(), Some(large));
    let path = file_of(&site.root, "large");
    let whole = fs::read(&path).unwrap();
    for at in [9, 12, 70, 16_383, 16_384, 16_385, whole.len() - 1] {
        let mut bent = whole.clone();
        bent[at] ^= 1;
        fs::write(&path, &bent).unwrap();
        is_corrupt(site.store.retrieve(&key("large")).await, &format!("byte {at}"));
    }
    // Every operation reads a large record on a worker thread.
    fs::write(&path, &whole).unwrap();
    let touched = site.store.touch(&key("large"), touched(5, 6)).await.unwrap();
    assert!(touched);
    let answer = site.store.store(&key("large"), record(7, 50), Condition::Absent).await.unwrap();
    assert!(matches!(answer, Change::Conflict(Some(live)) if live.data.len() == 300_000));
    let at = Condition::Revision(revision(6));
    assert!(site.store.store(&key("large"), record(7, 50), at).await.unwrap().is_applied());
    assert_eq!(site.store.retrieve(&key("large")).await.unwrap(), Some(record(7, 50)));
    fs::write(&path, &whole).unwrap();
    assert!(site.store.remove(&key("large"), Condition::Revision(revision(5))).await.unwrap().is_applied());
    assert_eq!(site.store.retrieve(&key("large")).await.unwrap(), None);

    for len in [whole.len() - 1, 16_384, 16_385, 20_000] {
        fs::write(&path, &whole[..len]).unwrap();
        assert_eq!(site.store.retrieve(&key("large")).await.unwrap(), None, "cut at {len}");
    }
    fs::write(&path, [&whole[..], b"!"].concat()).unwrap();
    is_corrupt(site.store.retrieve(&key("large")).await, "a byte too many");
}

#[tokio::test]
async fn truncated_file_is_absent_with_an_event() {
    listen();
    let site = site();
    put(&site.store, "short", 1).await;
    let path = file_of(&site.root, "short");
    let whole = fs::read(&path).unwrap();
    for len in 0..whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        assert_eq!(site.store.retrieve(&key("short")).await.unwrap(), None, "cut at {len}");
        assert!(!site.store.touch(&key("short"), touched(1, 2)).await.unwrap());
        let answer = site.store.remove(&key("short"), Condition::Any).await.unwrap();
        assert_eq!(answer, Change::Conflict(None), "cut at {len}");
        let answer = site.store.store(&key("short"), record(2, 9), Condition::Revision(revision(1))).await;
        assert_eq!(answer.unwrap(), Change::Conflict(None), "cut at {len}");
        assert_eq!(keys(&site.store).await.unwrap(), [""; 0]);
        let answer = site.store.store(&key("short"), record(3, 100), Condition::Absent).await;
        assert!(answer.unwrap().is_applied(), "cut at {len}");
        assert_eq!(site.store.retrieve(&key("short")).await.unwrap(), Some(record(3, 100)));
    }
    // Blocks that were never written read as zeros.
    fs::write(&path, vec![0; whole.len()]).unwrap();
    assert_eq!(site.store.retrieve(&key("short")).await.unwrap(), None);
    let name = path.file_name().unwrap().to_str().unwrap();
    let events = events();
    let told = events.lines().filter(|line| line.contains(&name[..8]) && line.contains("truncated")).count();
    assert!(told >= whole.len(), "{told} events");
    assert!(!events.contains(name), "the whole name would allow testing guessed keys");

    // Removed after an hour. It does not count, because no record expired.
    site.clock.advance(Duration::from_secs(3_700));
    assert_eq!(site.store.purge(10).await.unwrap(), Purged { removed: 0, more: false });
    assert_eq!(files(&site.root).len(), 0);
}

#[tokio::test]
async fn foreign_file_is_reported_and_never_changed() {
    listen();
    let site = site();
    let path = path_of(&site, "planted").await;
    put(&site.store, "beside", 1).await;
    let target = site.directory.path().join("target");
    fs::write(&target, b"precious").unwrap();
    put(&site.store, "other", 9).await;
    let other = fs::read(file_of(&site.root, "other")).unwrap();
    let mut newer = other.clone();
    newer[4] = 2;

    for content in [&b"hello, this is another file"[..], b"x", &[b'#'; 5_000], &other, &newer] {
        fs::write(&path, content).unwrap();
        is_left_alone(&site, &path).await;
        assert_eq!(fs::read(&path).unwrap(), content);
        fs::remove_file(&path).unwrap();
    }
    for to in [target.as_path(), "/nowhere/at/all".as_ref(), "..".as_ref(), &file_of(&site.root, "other")] {
        symlink(to, &path).unwrap();
        is_left_alone(&site, &path).await;
        assert_eq!(fs::read_link(&path).unwrap(), to);
        fs::remove_file(&path).unwrap();
    }
    assert_eq!(fs::read(&target).unwrap(), b"precious");
    assert_eq!(fs::read(file_of(&site.root, "other")).unwrap(), other);

    fs::create_dir(&path).unwrap();
    is_left_alone(&site, &path).await;
    fs::remove_dir(&path).unwrap();
    // The pipe has no writer: opening it must not block.
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    is_left_alone(&site, &path).await;
    fs::remove_file(&path).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(target.with_extension("socket")).unwrap();
    fs::rename(target.with_extension("socket"), &path).unwrap();
    is_left_alone(&site, &path).await;
    fs::remove_file(&path).unwrap();

    put(&site.store, "planted", 4).await;
    let name = path.file_name().unwrap().to_str().unwrap();
    let events = events();
    assert!(events.contains(&name[..8]) && !events.contains(name), "only the start of the name");
}

/// Every operation on `planted` fails with `Corrupt`. The file stays, and stops neither a traversal nor a purge.
async fn is_left_alone(site: &Site, path: &Path) {
    let (store, key) = (&site.store, key("planted"));
    let before = fs::symlink_metadata(path).unwrap();
    is_corrupt(store.retrieve(&key).await, "retrieve");
    for when in [Condition::Any, Condition::Absent, Condition::Revision(revision(1))] {
        is_corrupt(store.store(&key, record(2, 50), when).await, "store");
        is_corrupt(store.remove(&key, when).await, "remove");
    }
    is_corrupt(store.touch(&key, touched(1, 2)).await, "touch");
    assert_eq!(keys(store).await.unwrap(), ["beside", "other"]);
    assert_eq!(store.purge(10).await.unwrap(), Purged { removed: 0, more: false });
    let after = fs::symlink_metadata(path).unwrap();
    assert_eq!((after.ino(), after.file_type()), (before.ino(), before.file_type()));
}

#[tokio::test]
async fn unknown_files_are_reported_and_unchanged() {
    listen();
    let site = site();
    put(&site.store, "one", 1).await;
    put(&site.store, "two", 2).await;
    let folder = file_of(&site.root, "one").parent().unwrap().to_owned();
    let shard = folder.parent().unwrap();
    // A record that was moved to another folder is not found.
    let moved = file_of(&site.root, "two");
    let elsewhere = folder.join(moved.file_name().unwrap());
    let strays = [
        site.root.join("stray-notes"),
        site.root.join("7f"),
        shard.join("stray-in-shard"),
        folder.join("stray-in-folder"),
        folder.join("stray-é\u{7}"),
        folder.join("A".repeat(64)),
    ];
    for stray in &strays {
        fs::write(stray, b"mine").unwrap();
    }
    if elsewhere != moved {
        fs::copy(&moved, &elsewhere).unwrap();
    }
    symlink("/nowhere", folder.join("stray-link")).unwrap();
    fs::create_dir(folder.join("stray-directory")).unwrap();
    assert_eq!(keys(&site.store).await.unwrap(), ["one", "two"]);
    site.clock.advance(Duration::from_secs(1_000_000));
    assert_eq!(site.store.purge(100).await.unwrap().removed, 0);
    assert_eq!(site.store.clear(&crate::support::user()).await.unwrap(), 2);
    for stray in &strays {
        assert_eq!(fs::read(stray).unwrap(), b"mine");
    }
    assert!(elsewhere == moved || elsewhere.exists());
    assert!(folder.join("stray-link").is_symlink() && folder.join("stray-directory").is_dir());
    let events = events();
    for word in ["stray-notes", "stray-in-shard", "stray-in-folder", "stray-link", "stray-directory"] {
        assert!(events.contains(word), "{word} in the events");
    }
    assert!(!events.contains('\u{7}'), "control characters are escaped");
}

#[tokio::test]
async fn link_instead_of_a_directory_is_not_followed() {
    let site = site();
    for level in [1, 2] {
        put(&site.store, "one", 1).await;
        let path = file_of(&site.root, "one");
        let directory = path.ancestors().nth(level).unwrap();
        let outside = site.directory.path().join(format!("outside-{level}"));
        fs::rename(directory, &outside).unwrap();
        symlink(&outside, directory).unwrap();
        let content = fs::read(&path).unwrap();
        let errors = [
            site.store.retrieve(&key("one")).await.unwrap_err(),
            site.store.store(&key("one"), record(2, 9), Condition::Any).await.unwrap_err(),
            site.store.remove(&key("one"), Condition::Any).await.unwrap_err(),
            site.store.touch(&key("one"), touched(1, 2)).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error}");
        }
        assert_eq!(keys(&site.store).await.unwrap(), [""; 0], "a traversal skips it");
        site.clock.advance(Duration::from_secs(1_000_000));
        assert_eq!(site.store.purge(10).await.unwrap().removed, 0);
        assert_eq!(fs::read(&path).unwrap(), content);
        fs::remove_file(directory).unwrap();
    }
}
