//! The driver leaves the application's data alone: names, and the other record of a row.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

use delegate_example::{Error, Visitors, locate};
use rusqlite::Connection;
use session_conformance::testing::{ChildProcess, FreshPath, child_args, forked};
use session_core::Condition::{Absent, Any, Revision as At};
use session_core::{Blocking, Driver, DriverExt, Key, Purged, Record, Revision, StoreErrorKind, Timestamp};
use session_store_delegate::{
    ByPrefix, Delegate, DelegateConfig, DelegateStore, Flushed, Mapping, Model, Value,
};

type Store = Blocking<DelegateStore<Visitors>>;

fn site() -> (tempfile::TempDir, Connection, Visitors, Store) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("site.db");
    let visitors = Visitors::open(&path, None).unwrap();
    let store = DelegateStore::pooled(DelegateConfig::new(visitors.clone()).mapping(locate));
    (directory, Connection::open(path).unwrap(), visitors, store)
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

fn record(number: u8) -> Record {
    Record::new(vec![number], None, Revision::from_bytes([number; 8]))
}

fn rows(database: &Connection) -> u32 {
    database.query_row("SELECT count(*) FROM visitors", [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn session_flash_and_name_share_a_row_independently() {
    let (_directory, database, visitors, store) = site();
    let (session, flash) = (key("session:one"), key("flash:one"));
    assert!(store.store(&session, record(1), Absent).await.unwrap().is_applied());
    assert!(store.store(&flash, record(2), Absent).await.unwrap().is_applied());
    assert_eq!(rows(&database), 1);
    assert!(store.remove(&session, At(record(1).revision)).await.unwrap().is_applied());
    assert_eq!(store.retrieve(&flash).await.unwrap(), Some(record(2)));
    assert!(store.store(&session, record(3), Absent).await.unwrap().is_applied());
    assert!(store.remove(&flash, Any).await.unwrap().is_applied());
    assert_eq!(store.retrieve(&session).await.unwrap(), Some(record(3)));
    assert!(store.remove(&session, Any).await.unwrap().is_applied());
    assert_eq!(rows(&database), 0, "an empty row is deleted");

    visitors.rename("one", "Ada").unwrap();
    assert!(store.store(&session, record(4), Absent).await.unwrap().is_applied());
    assert!(store.remove(&session, Any).await.unwrap().is_applied());
    assert_eq!(visitors.name("one").unwrap().as_deref(), Some("Ada"));
    assert_eq!(store.retrieve(&session).await.unwrap(), None);
}

#[test]
fn path_that_sqlite_takes_for_something_else_is_refused() {
    for path in ["file:site.db?mode=memory", "file::memory:?cache=shared", ":memory:", ""] {
        match Visitors::open(path, None).unwrap_err() {
            Error::File(error) => assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{path}"),
            other => panic!("{path}: {other:?}"),
        }
        assert!(path.is_empty() || !std::path::Path::new(path).exists());
    }
}

#[tokio::test]
async fn a_flush_writes_only_its_own_columns() {
    let (_directory, _, visitors, _) = site();
    let location = ByPrefix.locate(&key("session:one")).unwrap();
    let mut row = visitors.delegate(&location).await.unwrap();
    row.set("session", Value::Bytes(b"data".to_vec().into())).unwrap();
    row.set("revision", Value::Bytes(vec![1; 8].into())).unwrap();
    // The application writes to the same visitor in between.
    visitors.rename("one", "Ada").unwrap();
    assert_eq!(visitors.flush(&location, row.clone(), Absent).await.unwrap(), Flushed::Yes);
    assert_eq!(visitors.name("one").unwrap().as_deref(), Some("Ada"));
    assert_eq!(visitors.flush(&location, row, Absent).await.unwrap(), Flushed::Conflict);
}

#[tokio::test]
async fn a_column_of_another_type_is_corrupt() {
    let (_directory, database, _, store) = site();
    let one = key("session:one");
    for damage in [
        "session = 'text'",
        "session = 7",
        "session = NULL",
        "expires = 'soon'",
        "expires = -1",
        "expires = 1e30",
        "revision = NULL",
        "revision = 'eight by'",
        "revision = x'00'",
    ] {
        assert!(store.store(&one, record(1), Any).await.unwrap().is_applied());
        let damaged =
            database.execute(&format!("UPDATE visitors SET {damage} WHERE id = 'one'"), []).unwrap();
        assert_eq!(damaged, 1);
        let error = store.retrieve(&one).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{damage}");
        store.count(&session_core::Prefix::SESSION).await.unwrap();
        assert!(!store.purge(10).await.unwrap().more, "{damage}");
    }
    assert!(store.remove(&one, Any).await.unwrap().is_applied());
    assert_eq!(rows(&database), 0);
}

#[tokio::test]
async fn without_the_mapping_other_prefixes_are_misconfigured() {
    let (_directory, _, visitors, _) = site();
    let store = DelegateStore::pooled(DelegateConfig::new(visitors));
    assert_eq!(store.retrieve(&key("session:one")).await.unwrap(), None);
    let error = store.retrieve(&key("user:one")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
}

#[tokio::test]
async fn a_name_moves_to_the_row_of_a_rotated_session() {
    let (_directory, database, visitors, store) = site();
    let (old, new) = (key("session:old"), key("session:new"));
    assert!(store.store(&old, record(1), Absent).await.unwrap().is_applied());
    visitors.rename("old", "Ada").unwrap();
    assert!(store.store(&new, record(2), Absent).await.unwrap().is_applied());
    assert!(store.remove(&old, Any).await.unwrap().is_applied());
    visitors.move_name("old", "new").unwrap();
    assert_eq!(visitors.name("new").unwrap().as_deref(), Some("Ada"));
    assert_eq!(rows(&database), 1, "the old row is empty and deleted");
    assert_eq!(store.retrieve(&new).await.unwrap(), Some(record(2)));

    // A row with a session stays, and no name is overwritten.
    visitors.move_name("new", "new").unwrap();
    visitors.move_name("new", "third").unwrap();
    assert_eq!(visitors.name("third").unwrap().as_deref(), Some("Ada"));
    assert_eq!(store.retrieve(&new).await.unwrap(), Some(record(2)));
    visitors.rename("new", "Grace").unwrap();
    visitors.move_name("third", "new").unwrap();
    assert_eq!(visitors.name("new").unwrap().as_deref(), Some("Grace"));
    assert_eq!(visitors.name("third").unwrap().as_deref(), Some("Ada"));
}

#[tokio::test]
async fn a_purge_removes_expired_records_beside_damaged_ones() {
    let (_directory, database, _, store) = site();
    let past = |number| Record { expires: Some(Timestamp::from_millis(u64::MAX)), ..record(number) };
    for prefix in ["session", "flash", "user", "zoo"] {
        for id in ["a", "b", "c", "d"] {
            assert!(store.store(&key(&format!("{prefix}:{id}")), past(1), Any).await.unwrap().is_applied());
        }
    }
    database
        .execute_batch(
            "UPDATE visitors SET expires = 1, flash_expires = 1;
         UPDATE extras SET expires = 1;
         UPDATE visitors SET revision = 12345678, flash_revision = 'eight by' WHERE id = 'a';
         UPDATE visitors SET revision = NULL WHERE id = 'b';
         UPDATE extras SET revision = x'00' WHERE id = 'user:a';",
        )
        .unwrap();
    // Each purge removes as many as it may.
    for (limit, removed, more) in [(2, 2, true), (3, 3, true), (7, 7, true), (5, 1, false), (5, 0, false)] {
        assert_eq!(store.purge(limit).await.unwrap(), Purged { removed, more }, "at most {limit}");
    }
    // Damaged revisions cannot be compared, so only a removal without a condition removes them.
    for damaged in ["session:a", "flash:a", "user:a"] {
        let damaged = key(damaged);
        assert_eq!(store.retrieve(&damaged).await.unwrap(), None);
        assert!(!store.remove(&damaged, Any).await.unwrap().is_applied());
    }
    assert_eq!(rows(&database), 0);
    let extras: u32 = database.query_row("SELECT count(*) FROM extras", [], |row| row.get(0)).unwrap();
    assert_eq!(extras, 0);
}

/// SQLite's locks are not inherited, its state of them is.
#[test]
fn forked_child_cannot_open_an_inherited_file() {
    let test = "forked_child_cannot_open_an_inherited_file";
    let Some(args) = child_args(test) else {
        let path = FreshPath::new("site.db").unwrap();
        ChildProcess::spawn(test, &[path.path().to_str().unwrap()]).finish();
        return;
    };
    let visitors = Visitors::open(&args[0], None).unwrap();
    visitors.rename("7f3a", "Ada").unwrap();
    let answer = forked(|| {
        assert!(visitors.name("7f3a").is_err());
        Visitors::open(&args[0], None).unwrap_err().to_string()
    });
    assert!(answer.contains("fork"), "{answer}");
    drop(visitors);
    assert_eq!(forked(|| Visitors::open(&args[0], None).unwrap().name("7f3a").unwrap().unwrap()), "Ada");
}
