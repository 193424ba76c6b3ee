//! Which files opening creates and which it refuses.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;

use session_conformance::testing::{ChildProcess, child_args};
use session_core::{Condition, Driver, DriverExt, StoreErrorKind};
use session_store_sqlite::{SqliteConfig, SqliteStore};

use crate::{Database, key, prefix, record, run};

fn refusal(config: impl Into<SqliteConfig>) -> String {
    let error = SqliteStore::open(config).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
    error.to_string()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn new_files_and_directories_belong_to_their_owner() {
    let file = Database::new();
    let path = file.0.beside("new").join("sessions.db");
    let store = SqliteStore::open(SqliteConfig::new(&path).create_directory(true)).unwrap();
    assert!(run(store.store(&key("a"), record("x"), Condition::Any)).unwrap().is_applied());
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for suffix in ["", "-wal", "-shm"] {
        assert_eq!(mode(&path.with_file_name(format!("sessions.db{suffix}"))), 0o600, "{suffix}");
    }
}

#[test]
fn only_the_last_missing_directory_is_created() {
    let file = Database::new();
    let path = file.0.beside("a").join("b").join("sessions.db");
    assert!(refusal(path.as_path()).contains("directory does not exist"));
    assert!(refusal(SqliteConfig::new(&path).create_directory(true)).contains("/a/b"));
    assert!(!file.0.beside("a").exists());
}

#[test]
fn a_missing_file_is_refused_without_create() {
    let file = Database::new();
    let kind = |config: SqliteConfig| SqliteStore::open(config).unwrap_err().kind();
    assert_eq!(kind(file.config().create(false)), StoreErrorKind::Missing);
    assert_eq!(kind(SqliteConfig::new("/absent/sessions.db").create(false)), StoreErrorKind::Missing);
    assert!(!file.path().exists());
    fs::write(file.path(), "").unwrap();
    assert_eq!(kind(file.config().create(false)), StoreErrorKind::Missing);
    assert_eq!(fs::metadata(file.path()).unwrap().len(), 0, "and no tables were made in it");
    drop(file.open());
    SqliteStore::open(file.config().create(false)).unwrap();
}

#[test]
fn files_of_other_kinds_are_refused_and_unchanged() {
    let file = Database::new();
    let directory = file.path().parent().unwrap().to_owned();
    assert!(refusal(directory.as_path()).contains(directory.to_str().unwrap()));
    assert!(refusal("/proc/sessions.db").contains("/proc/sessions.db"), "a directory without write access");
    fs::write(file.path(), "Dear diary, ".repeat(1000)).unwrap();
    assert!(refusal(file.path()).contains("sessions.db"));
    assert_eq!(fs::read_to_string(file.path()).unwrap(), "Dear diary, ".repeat(1000));
}

#[test]
fn foreign_and_newer_databases_are_refused_and_unchanged() {
    for (is_ours, change, word) in [
        (true, "PRAGMA user_version = 99", "99"),
        (false, "CREATE TABLE invoices (total)", "another application"),
        (false, "CREATE TABLE invoices (total); PRAGMA user_version = 1", "another application"),
    ] {
        let file = Database::new();
        if is_ours {
            run(file.open().close()).unwrap();
        }
        file.raw().execute_batch(change).unwrap();
        let before = fs::read(file.path()).unwrap();
        assert!(refusal(file.path()).contains(word));
        assert_eq!(fs::read(file.path()).unwrap(), before);
    }
}

#[test]
fn a_missing_table_is_found_when_opened() {
    let file = Database::new();
    run(file.open().close()).unwrap();
    file.raw().execute_batch("DROP TABLE records").unwrap();
    assert_eq!(SqliteStore::open(file.path()).unwrap_err().kind(), StoreErrorKind::Backend);
}

#[test]
fn an_empty_file_becomes_a_store_and_keeps_its_mode() {
    let file = Database::new();
    fs::write(file.path(), "").unwrap();
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o640)).unwrap();
    let store = file.open();
    assert!(run(store.store(&key("a"), record("x"), Condition::Any)).unwrap().is_applied());
    assert_eq!(mode(&file.path()), 0o640);
}

#[test]
fn many_openers_at_once_create_one_store() {
    let file = Database::new();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let file = &file;
            scope.spawn(move || run(file.open().store(&key(n), record("x"), Condition::Absent)).unwrap());
        }
    });
    assert_eq!(run(file.open().count(&prefix())).unwrap(), 8);
}

/// Root passes every permission, so root runs the test in an unprivileged child process.
#[test]
fn a_file_or_directory_without_write_access_is_refused() {
    let test = "file::a_file_or_directory_without_write_access_is_refused";
    if let Some(args) = child_args(test) {
        assert!(refusal(args[0].as_str()).contains(".db"));
        return;
    }
    let file = Database::new();
    run(file.open().close()).unwrap();
    let directory = file.path().parent().unwrap().to_owned();
    // A copy, because the child may not read the build directory.
    let program = file.0.beside("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let root = fs::metadata(&directory).unwrap().uid() == 0;
    for (path, mode) in [(file.path(), 0o444), (directory.clone(), 0o555), (program.clone(), 0o755)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    for name in ["sessions.db", "other.db"] {
        let path = file.0.beside(name);
        let shell =
            ["sh", "-c", "program=$1; shift 2; exec \"$program\" \"$@\"", "sh", program.to_str().unwrap()];
        let mut command = ChildProcess::command(test, &[path.to_str().unwrap()], &shell);
        if root {
            command.uid(65_534).gid(65_534);
        }
        ChildProcess::start(&mut command).finish();
    }
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
}
