//! What opening does to the file system and what it refuses.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

use session_core::{Condition, Driver, DriverExt, StoreErrorKind};
use session_store_sqlite::{SqliteConfig, SqliteStore};

use crate::{Place, key, record, run};

fn refusal(config: impl Into<SqliteConfig>) -> String {
    let error = SqliteStore::open(config).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
    error.to_string()
}

#[test]
fn the_file_is_for_its_owner_only_and_so_is_a_directory_that_it_makes() {
    let place = Place::new();
    let path = place.directory.path().join("new").join("sessions.db");
    let store = SqliteStore::open(SqliteConfig::new(&path).create_directory(true)).unwrap();
    assert!(run(store.store(&key("a"), record("x"), Condition::Any)).unwrap().is_applied());
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for suffix in ["", "-wal", "-shm"] {
        assert_eq!(mode(&path.with_file_name(format!("sessions.db{suffix}"))), 0o600, "{suffix}");
    }
}

#[test]
fn a_missing_directory_is_made_only_if_asked_and_only_its_last_level() {
    let place = Place::new();
    let path = place.directory.path().join("a").join("b").join("sessions.db");
    assert!(refusal(path.as_path()).contains("directory does not exist"));
    assert!(refusal(SqliteConfig::new(&path).create_directory(true)).contains("/a/b/sessions.db"));
    assert!(!place.directory.path().join("a").exists());
}

#[test]
fn a_missing_file_is_refused_where_none_is_to_be_made() {
    let place = Place::new();
    assert!(refusal(place.config().create(false)).contains("does not exist"));
    assert!(!place.path().exists());
    drop(place.open());
    SqliteStore::open(place.config().create(false)).unwrap();
}

#[test]
fn what_cannot_be_a_store_is_refused_by_name() {
    let place = Place::new();
    assert!(refusal(place.directory.path()).contains(place.directory.path().to_str().unwrap()));
    assert!(refusal("/proc/sessions.db").contains("/proc/sessions.db"), "an unwritable directory");
    fs::write(place.path(), "Dear diary, ".repeat(1000)).unwrap();
    assert!(refusal(place.path()).contains("sessions.db"));
    assert_eq!(fs::read_to_string(place.path()).unwrap(), "Dear diary, ".repeat(1000));
}

#[test]
fn a_future_schema_is_refused_and_left_as_it_is() {
    let place = Place::new();
    run(place.open().close()).unwrap();
    place.raw().pragma_update(None, "user_version", 99).unwrap();
    let before = fs::read(place.path()).unwrap();
    assert!(refusal(place.path()).contains("99"));
    assert_eq!(fs::read(place.path()).unwrap(), before);
}

#[test]
fn another_applications_database_is_refused_and_left_as_it_is() {
    let place = Place::new();
    place.raw().execute_batch("CREATE TABLE invoices (total)").unwrap();
    let before = fs::read(place.path()).unwrap();
    assert!(refusal(place.path()).contains("another application"));
    assert_eq!(fs::read(place.path()).unwrap(), before);
}

#[test]
fn a_schema_that_lacks_its_table_is_refused_when_opened() {
    let place = Place::new();
    run(place.open().close()).unwrap();
    place.raw().execute_batch("DROP TABLE records").unwrap();
    assert_eq!(SqliteStore::open(place.path()).unwrap_err().kind(), StoreErrorKind::Backend);
}

#[test]
fn an_empty_file_that_was_made_beforehand_becomes_a_store_and_keeps_its_mode() {
    let place = Place::new();
    fs::write(place.path(), "").unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o640)).unwrap();
    let store = place.open();
    assert!(run(store.store(&key("a"), record("x"), Condition::Any)).unwrap().is_applied());
    assert_eq!(fs::metadata(place.path()).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn many_openers_at_once_make_one_store() {
    let place = Place::new();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let place = &place;
            scope.spawn(move || {
                run(place.open().store(&key(&n.to_string()), record("x"), Condition::Absent)).unwrap()
            });
        }
    });
    let prefix = session_core::Prefix::new("test").unwrap();
    assert_eq!(run(place.open().count(&prefix)).unwrap(), 8);
}

/// Permissions stop nobody who is root, so root goes through a child process that is not.
#[test]
fn a_file_or_directory_that_may_not_be_written_is_refused() {
    let place = Place::new();
    run(place.open().close()).unwrap();
    let directory = place.directory.path();
    let program = directory.join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let root = fs::metadata(directory).unwrap().uid() == 0;
    for (path, mode) in [(place.path(), 0o444), (directory.to_owned(), 0o555), (program.clone(), 0o755)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    for name in ["sessions.db", "other.db"] {
        let mut child = Command::new(&program);
        child
            .args(["file::child_may_not_write", "--exact"])
            .env("SESSION_SQLITE_DENIED", directory.join(name));
        if root {
            child.uid(65_534).gid(65_534);
        }
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{name}: {said}");
    }
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn child_may_not_write() {
    // Only with a path from its parent, the test above, is there something to refuse.
    if let Some(path) = std::env::var_os("SESSION_SQLITE_DENIED") {
        assert!(refusal(std::path::PathBuf::from(path)).contains(".db"));
    }
}
