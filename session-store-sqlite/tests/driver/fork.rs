//! Forked children of a process that has the store open.

use session_conformance::testing::{ChildProcess, block_on, child_args, forked};
use session_core::{Condition, Driver, StoreError, StoreErrorKind};
use session_store_sqlite::{SqliteConfig, SqliteStore};

use crate::{Database, key, prefix, record};

/// Runs `work` with the path of a fresh file, in a process without other threads of this test binary.
fn alone(test: &str, work: impl FnOnce(&str)) {
    if let Some(args) = child_args(test) {
        return work(&args[0]);
    }
    let file = Database::new();
    ChildProcess::spawn(test, &[file.path().to_str().unwrap()]).finish();
    if file.path().exists() {
        let check: String = file.raw().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
    }
}

fn put(store: &SqliteStore, id: u32) {
    assert!(block_on(store.store(&key(id), record("mine"), Condition::Any)).unwrap().is_applied());
}

/// What the child opens anew is refused; the parent's writes and the file are whole.
#[test]
fn child_cannot_open_an_inherited_store() {
    alone("fork::child_cannot_open_an_inherited_store", |path| {
        let store = SqliteStore::open(path).unwrap();
        (0..100).for_each(|id| put(&store, id));
        for _ in 0..3 {
            let answer = forked(|| {
                let error = match SqliteStore::open(path) {
                    Ok(own) => {
                        (100..200).for_each(|id| put(&own, id));
                        return "opened".into();
                    }
                    Err(error) => error,
                };
                format!("{:?} {error}", error.kind())
            });
            assert!(answer.starts_with("Misconfigured") && answer.contains("fork"), "{answer}");
        }
        block_on(store.close()).unwrap();
        let store = SqliteStore::open(path).unwrap();
        for id in 0..100 {
            assert!(block_on(store.retrieve(&key(id))).unwrap().is_some(), "{id}");
        }
    });
}

/// No call of an inherited handle waits for a thread that the child does not have, or uses a lock that it does not hold.
#[test]
fn inherited_handle_is_misconfigured_in_the_child() {
    alone("fork::inherited_handle_is_misconfigured_in_the_child", |path| {
        let store = SqliteStore::open(path).unwrap();
        put(&store, 1);
        let answer = forked(|| {
            let kinds = block_on(async {
                let kind = |error: Option<StoreError>| error.map(|error| error.kind());
                [
                    kind(store.retrieve(&key(1)).await.err()),
                    kind(store.store(&key(1), record("child"), Condition::Any).await.err()),
                    kind(store.remove(&key(1), Condition::Any).await.err()),
                    kind(store.traverse(&prefix(), session_core::Cursor::start(), 9).await.err()),
                    kind(store.purge(9).await.err()),
                    kind(store.flush().await.err()),
                    kind(store.close().await.err()),
                ]
            });
            let all = kinds.iter().all(|kind| *kind == Some(StoreErrorKind::Misconfigured));
            drop(store.clone());
            if all { "refused".into() } else { format!("{kinds:?}") }
        });
        assert_eq!(answer, "refused");
        put(&store, 2);
        // The last handle, dropped in the child, closes nothing there.
        let mut last = Some(store);
        assert_eq!(
            forked(|| {
                drop(last.take());
                "dropped".into()
            }),
            "dropped"
        );
        let store = last.unwrap();
        put(&store, 3);
        block_on(store.close()).unwrap();
    });
}

/// The pattern of a pre-forking server: nothing is open at the fork.
#[test]
fn children_open_a_store_that_was_closed_before() {
    alone("fork::children_open_a_store_that_was_closed_before", |path| {
        let store = SqliteStore::open(SqliteConfig::new(path)).unwrap();
        put(&store, 1);
        block_on(store.close()).unwrap();
        drop(store);
        for id in 2..5 {
            let answer = forked(|| {
                let own = SqliteStore::open(path).unwrap();
                assert!(block_on(own.retrieve(&key(1))).unwrap().is_some());
                put(&own, id);
                block_on(own.close()).unwrap();
                "stored".into()
            });
            assert_eq!(answer, "stored");
        }
        let store = SqliteStore::open(path).unwrap();
        for id in 1..5 {
            assert!(block_on(store.retrieve(&key(id))).unwrap().is_some(), "{id}");
        }
    });
}
