//! Paths that lead to the file by a detour. `flush` synchronizes the log of the file that SQLite has opened.
//!
//! A wrong log lies where the detour alone would lead, and the right one is moved away for a moment. A `flush` that
//! fails then has used the right one.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use session_conformance::testing::{ChildProcess, child_args};
use session_core::{Condition, Driver, Operation, StoreErrorKind};
use session_store_sqlite::{Durability, SqliteConfig, SqliteStore};

use crate::{Database, key, record, run};

/// Writes to the store and moves its log away, which a flush must notice.
fn flushes_the_log(store: &SqliteStore, log: &Path) {
    assert!(run(store.store(&key("a"), record("x"), Condition::Any)).unwrap().is_applied());
    run(store.flush()).unwrap();
    let aside = log.with_file_name("aside");
    fs::rename(log, &aside).unwrap();
    let missed = run(store.flush()).expect_err("the log is missing");
    assert_eq!(missed.operation(), Operation::Flush);
    fs::rename(&aside, log).unwrap();
    run(store.flush()).unwrap();
}

#[test]
fn flush_through_a_link_synchronizes_the_right_log() {
    for durability in [Durability::Process, Durability::Power] {
        let (file, elsewhere) = (Database::new(), Database::new());
        fs::write(elsewhere.log(), "not a log").unwrap();
        run(file.open().close()).unwrap();
        let link = elsewhere.path();
        symlink(file.path(), &link).unwrap();
        let store = SqliteStore::open(SqliteConfig::new(&link).durability(durability)).unwrap();
        flushes_the_log(&store, &file.log());
        fs::remove_file(&link).unwrap();
        let missed = run(store.flush()).expect_err("other processes do not find the file");
        assert_eq!(missed.kind(), StoreErrorKind::Unavailable);
        symlink(file.path(), &link).unwrap();
        run(store.flush()).unwrap();
        run(store.close()).unwrap();
        assert!(run(file.open().retrieve(&key("a"))).unwrap().is_some());
    }
}

#[test]
fn a_missing_log_fails_the_close() {
    let file = Database::new();
    let store = file.open();
    assert!(run(store.store(&key("a"), record("x"), Condition::Any)).unwrap().is_applied());
    fs::remove_file(file.log()).unwrap();
    let missed = run(store.close()).expect_err("the log is missing");
    assert_eq!(missed.operation(), Operation::Close);
}

#[test]
fn a_dangling_link_is_refused() {
    let file = Database::new();
    let target = file.0.beside("nothing");
    symlink(&target, file.path()).unwrap();
    let error = SqliteStore::open(file.path()).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
    assert!(!target.exists());
}

/// SQLite itself would read the first two as a database in memory, and this driver made files of these names.
#[test]
fn a_uri_is_refused_and_no_file_is_made() {
    let file = Database::new();
    let directory = file.0.directory().to_owned();
    let beside = |name: &str| format!("{}/{name}", directory.display());
    for path in [
        "file:sessions?mode=memory".to_owned(),
        "file::memory:?cache=shared".to_owned(),
        format!("file:{}", beside("sessions.db")),
        format!("sqlite://{}?durability=power", beside("sessions.db")),
        beside("sessions.db?mode=rwc"),
        beside("sessions.db#1"),
    ] {
        let error = SqliteStore::open(SqliteConfig::new(&path).create_directory(true)).unwrap_err();
        assert_eq!((error.kind(), error.operation()), (StoreErrorKind::Misconfigured, Operation::Open));
        assert!(error.to_string().contains("give the path alone"), "{path}: {error}");
    }
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    for odd in ["file:sessions?mode=memory", "file::memory:?cache=shared", "sqlite:", "file:"] {
        assert!(!Path::new(odd).exists(), "{odd}");
    }
    fs::write(beside("odd?#.db"), "").unwrap();
    run(SqliteStore::open(beside("odd?#.db").as_str()).unwrap().close()).unwrap();
}

/// The working directory belongs to the whole process, so a child changes it.
#[test]
fn a_relative_path_is_resolved_when_opened() {
    let test = "path::a_relative_path_is_resolved_when_opened";
    if let Some(args) = child_args(test) {
        let log = env::current_dir().unwrap().join("sessions.db-wal");
        let store = SqliteStore::open("sessions.db").unwrap();
        env::set_current_dir(&args[0]).unwrap();
        flushes_the_log(&store, &log);
        return run(store.close()).unwrap();
    }
    let (file, elsewhere) = (Database::new(), Database::new());
    fs::write(elsewhere.log(), "not a log").unwrap();
    let away = elsewhere.path();
    let mut command = ChildProcess::command(test, &[away.parent().unwrap().to_str().unwrap()], &[]);
    command.current_dir(file.path().parent().unwrap());
    ChildProcess::start(&mut command).finish();
    assert!(run(file.open().retrieve(&key("a"))).unwrap().is_some());
    assert_eq!(fs::read(elsewhere.log()).unwrap(), b"not a log");
}
