//! A file of the first schema version. Every later version of the driver opens it and finds its records.
//!
//! `golden/v1.db` was written by `fill` and never changes. A new schema version gets a file of its own, written by
//! `SESSION_SQLITE_GOLDEN=<path> cargo test -p session-store-sqlite --test driver golden`.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use session_core::{
    Condition, Cursor, Driver, DriverExt, Key, Record, Revision, TestClock, Timestamp, Touch,
};
use session_store_sqlite::{SqliteConfig, SqliteStore};

use crate::{Database, at, key, prefix, run};

const VERSION_1: &[u8] = include_bytes!("../golden/v1.db");
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn revision(n: u8) -> Revision {
    Revision::from_bytes([n; 8])
}

fn open(path: &Path, now: Timestamp) -> SqliteStore {
    SqliteStore::open(SqliteConfig::new(path).clock(Arc::new(TestClock::new(now)))).unwrap()
}

fn later(millis: u64) -> Option<Timestamp> {
    at(NOW.as_millis() + millis)
}

/// The live records at `NOW`: without data, with data on overflow pages, with and without a deadline, with a deadline that
/// was moved either way.
fn live() -> BTreeMap<Key, Record> {
    let large: Vec<u8> = (0..6_000_u32).map(|n| (n * 7 + n / 256) as u8).collect();
    BTreeMap::from([
        (key("for-ever"), Record::new(&b"no deadline"[..], None, revision(1))),
        (key("empty"), Record::new(&b""[..], later(1), revision(2))),
        (key("large"), Record::new(large, later(1_000), revision(3))),
        (key("extended"), Record::new(&b"touched"[..], later(90_000), revision(5))),
        (key("shortened"), Record::new(&b"touched"[..], later(20_000), revision(7))),
    ])
}

async fn fill(store: &SqliteStore) {
    for (key, record) in live() {
        let (first, deadline) = match key.id() {
            "extended" => (revision(4), later(30_000)),
            "shortened" => (revision(6), later(60_000)),
            _ => (record.revision, record.expires),
        };
        let stored = Record::new(record.data, deadline, first);
        assert!(store.store(&key, stored, Condition::Absent).await.unwrap().is_applied());
        if first != record.revision {
            assert!(
                store
                    .touch(&key, Touch { from: first, to: record.revision, deadline: record.expires })
                    .await
                    .unwrap()
            );
        }
    }
    let expired = Record::new(&b"gone at NOW"[..], at(NOW.as_millis()), revision(8));
    assert!(store.store(&key("expired"), expired, Condition::Absent).await.unwrap().is_applied());
}

fn schema_of(path: &Path) -> Vec<(String, Option<String>)> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut statement = connection.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn a_file_of_version_1_holds_its_records() {
    let file = Database::new();
    fs::write(file.path(), VERSION_1).unwrap();
    let version: i64 = file.raw().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 1);
    let store = open(&file.path(), NOW);
    run(async {
        for (key, record) in live() {
            assert_eq!(store.retrieve(&key).await.unwrap(), Some(record), "{}", key.id());
        }
        assert_eq!(store.retrieve(&key("expired")).await.unwrap(), None);
        let page = store.traverse(&prefix(), Cursor::start(), 100).await.unwrap();
        assert_eq!(page.entries.len(), live().len());
        assert_eq!(store.count(&prefix()).await.unwrap(), 5);
        assert_eq!(store.purge(100).await.unwrap().removed, 1);
        // New changes work too.
        let next = Record::new(&b"next"[..], None, revision(9));
        let when = Condition::Revision(revision(5));
        assert!(store.store(&key("extended"), next.clone(), when).await.unwrap().is_applied());
        assert_eq!(store.retrieve(&key("extended")).await.unwrap(), Some(next));
        store.close().await.unwrap();
    });
    let check: String = file.raw().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
}

/// Existing files have taken the step to version 1. A changed step would create two schemas with one number.
#[test]
fn new_and_migrated_files_have_one_schema() {
    let (old, new) = (Database::new(), Database::new());
    fs::write(old.path(), VERSION_1).unwrap();
    for file in [&old, &new] {
        let store = open(&file.path(), NOW);
        run(store.close()).unwrap();
    }
    assert_eq!(schema_of(&old.path()), schema_of(&new.path()));
}

#[test]
fn fill_writes_the_expected_records() {
    let file = Database::new();
    // One millisecond earlier, because a record that is stored after its deadline leaves no row.
    let store = open(&file.path(), Timestamp::from_millis(NOW.as_millis() - 1));
    run(fill(&store));
    for (key, record) in live() {
        assert_eq!(run(store.retrieve(&key)).unwrap(), Some(record), "{}", key.id());
    }
    run(store.close()).unwrap();
    if let Some(path) = env::var_os("SESSION_SQLITE_GOLDEN") {
        fs::copy(file.path(), path).unwrap();
    }
}
