//! Paths that lead to the file by a detour: what is synchronised is the log of the file that SQLite has opened.
//!
//! A log of the wrong name lies where the detour alone would lead, and the right one is taken away for a moment: a
//! `flush` that notices has looked in the right place, and one that does not has synchronised nothing.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use session_core::{Condition, Driver, Operation};
use session_store_sqlite::{Durability, SqliteStore};

use crate::{Place, key, record, run};

fn log_of(path: &Path) -> PathBuf {
    let mut log = path.to_owned().into_os_string();
    log.push("-wal");
    log.into()
}

/// Writes to the store and takes its log away, which a flush must see.
fn flushes_the_log_of(store: &SqliteStore, path: &Path) {
    assert!(run(store.store(&key("a"), record("x"), Condition::Any)).unwrap().is_applied());
    run(store.flush()).unwrap();
    let aside = path.with_file_name("aside");
    fs::rename(log_of(path), &aside).unwrap();
    let missed = run(store.flush()).expect_err("the log is not there");
    assert_eq!(missed.operation(), Operation::Flush);
    fs::rename(&aside, log_of(path)).unwrap();
    run(store.flush()).unwrap();
}

#[test]
fn through_a_symbolic_link_the_log_of_the_file_is_synchronised() {
    for durability in [Durability::Process, Durability::Power] {
        let place = Place::new();
        let elsewhere = Place::new();
        let link = elsewhere.directory.path().join("link.db");
        fs::write(log_of(&link), "not a log").unwrap();
        run(place.open().close()).unwrap();
        symlink(place.path(), &link).unwrap();
        let store =
            SqliteStore::open(session_store_sqlite::SqliteConfig::new(&link).durability(durability)).unwrap();
        flushes_the_log_of(&store, &place.path());
        // Where the link leads by now is no matter.
        fs::remove_file(&link).unwrap();
        run(store.flush()).unwrap();
        run(store.close()).unwrap();
        assert!(run(place.open().retrieve(&key("a"))).unwrap().is_some());
    }
}

#[test]
fn a_log_that_is_gone_fails_the_close_too() {
    let place = Place::new();
    let store = place.open();
    assert!(run(store.store(&key("a"), record("x"), Condition::Any)).unwrap().is_applied());
    fs::remove_file(log_of(&place.path())).unwrap();
    let missed = run(store.close()).expect_err("the log is not there");
    assert_eq!(missed.operation(), Operation::Close);
}

#[test]
fn a_link_that_leads_nowhere_is_refused() {
    let place = Place::new();
    symlink(place.directory.path().join("nothing"), place.path()).unwrap();
    let error = SqliteStore::open(place.path()).unwrap_err();
    assert_eq!(error.kind(), session_core::StoreErrorKind::Misconfigured);
    assert!(!place.directory.path().join("nothing").exists());
}

/// The working directory is that of the whole process, so a child changes it.
#[test]
fn a_relative_path_means_the_directory_in_which_the_store_was_opened() {
    let place = Place::new();
    let elsewhere = Place::new();
    fs::write(log_of(&elsewhere.path()), "not a log").unwrap();
    let output = Command::new(env::current_exe().unwrap())
        .args(["path::child_changes_its_directory", "--exact"])
        .current_dir(place.directory.path())
        .env("SESSION_SQLITE_ELSEWHERE", elsewhere.directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    assert!(run(place.open().retrieve(&key("a"))).unwrap().is_some());
    assert_eq!(fs::read(log_of(&elsewhere.path())).unwrap(), b"not a log");
}

#[test]
fn child_changes_its_directory() {
    // Only with a directory from its parent, the test above, is there somewhere to go.
    let Some(elsewhere) = env::var_os("SESSION_SQLITE_ELSEWHERE") else { return };
    let path = env::current_dir().unwrap().join("sessions.db");
    let store = SqliteStore::open("sessions.db").unwrap();
    env::set_current_dir(elsewhere).unwrap();
    flushes_the_log_of(&store, &path);
    run(store.close()).unwrap();
}
