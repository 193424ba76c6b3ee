//! Queued changes, purging, the length of the log, closing.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use session_conformance::testing::poll_once;
use session_core::{
    Change, Condition, Cursor, Driver, DriverExt, Purged, Record, Revision, StoreErrorKind, TestClock,
    Timestamp, Touch,
};
use session_store_sqlite::{Durability, SqliteStore};

use crate::{Database, at, events, key, listen, prefix, record, run};

#[test]
fn purge_removes_exactly_the_expired_records() {
    let file = Database::new();
    let clock = TestClock::new(Timestamp::EPOCH);
    let store = SqliteStore::open(file.config().clock(Arc::new(clock.clone()))).unwrap();
    run(async {
        for n in 0..1000_u64 {
            let expires = if n % 2 == 0 { at(1_000 + n) } else { None };
            let record = Record { expires, ..record("x") };
            assert!(store.store(&key(n), record, Condition::Any).await.unwrap().is_applied());
        }
        clock.set(Timestamp::from_millis(1_000 + 799));
        for (limit, removed, more) in [(0, 0, true), (100, 100, true), (300, 300, false), (9, 0, false)] {
            assert_eq!(store.purge(limit).await.unwrap(), Purged { removed, more });
        }
        clock.set(Timestamp::from_millis(u64::MAX));
        assert_eq!(store.purge(usize::MAX).await.unwrap().removed, 100);
        assert_eq!(store.count(&prefix()).await.unwrap(), 500);
    });
}

#[test]
fn the_log_restarts_under_a_steady_load() {
    let file = Database::new();
    let config = file.config().checkpoint_after(256 << 10).max_wal_bytes(1 << 20);
    let store = SqliteStore::open(config).unwrap();
    run(async {
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..4 {
            let store = store.clone();
            tasks.spawn(async move {
                for round in 0..1500 {
                    let key = key(format!("{n}-{}", round % 50));
                    let stored = store.store(&key, record(vec![7; 8000]), Condition::Any).await;
                    assert!(stored.unwrap().is_applied());
                }
            });
        }
        tasks.join_all().await;
    });
    // 6,000 records of three pages each are 70 MB of log without a restart.
    let log = std::fs::metadata(file.log()).unwrap().len();
    assert!(log < 24 << 20, "{log} bytes");
}

/// A backup or a forgotten shell that keeps a transaction open. The operator learns of it before the disk is full.
#[test]
fn long_reader_is_reported_once_each_time() {
    let file = Database::new();
    let config = file.config().checkpoint_after(256 << 10).max_wal_bytes(1 << 20);
    let reports = || {
        let path = file.path().display().to_string();
        let events = events();
        let lines = events.lines().filter(|line| line.contains("beyond its limit") && line.contains(&path));
        lines
            .inspect(|line| assert!(line.contains("WARN") && line.contains("limit=1048576"), "{line}"))
            .count()
    };
    listen();
    let store = SqliteStore::open(config).unwrap();
    let write = async |megabytes: u64| {
        for number in 0..megabytes * 16 {
            let stored = store.store(&key(number), record(vec![7; 64 << 10]), Condition::Any).await;
            assert!(stored.unwrap().is_applied());
            // A checkpoint may run.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    run(async {
        write(2).await;
        assert_eq!(reports(), 0, "without a reader the log is restarted");
        for round in 1..=2 {
            let reader = file.raw();
            reader.execute_batch("BEGIN; SELECT count(*) FROM records").unwrap();
            let noticed = async {
                while reports() < round {
                    write(1).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(60), noticed).await.expect("an event");
            write(3).await;
            assert_eq!(reports(), round, "one event for one reader");
            drop(reader);
            let freed = async {
                while std::fs::metadata(file.log()).unwrap().len() > 2 << 20 {
                    write(1).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(60), freed).await.expect("the log restarts");
        }
        store.close().await.unwrap();
    });
}

#[test]
fn close_leaves_only_the_file_and_closes_all_clones() {
    let file = Database::new();
    let store = file.open();
    let clone = store.clone();
    run(async {
        let kept = record("x");
        assert!(store.store(&key("a"), kept.clone(), Condition::Any).await.unwrap().is_applied());
        let (one, two) = tokio::join!(store.close(), clone.close());
        assert!(one.is_ok() && two.is_ok());
        // Closed goes before too large and before a wrong cursor.
        let large = clone.store(&key("a"), record(vec![0; 17 << 20]), Condition::Any).await;
        assert_eq!(large.unwrap_err().kind(), StoreErrorKind::Closed);
        let page = clone.traverse(&prefix(), Cursor::from_bytes(&b"?"[..]), 1).await;
        assert_eq!(page.unwrap_err().kind(), StoreErrorKind::Closed);
        assert!(!file.log().exists());
        assert_eq!(file.open().retrieve(&key("a")).await.unwrap(), Some(kept));
    });
}

#[test]
fn close_makes_the_queued_changes_first() {
    let file = Database::new();
    let store = SqliteStore::open(file.config().busy_timeout(Duration::from_secs(3600))).unwrap();
    run(async {
        let other = file.locked();
        let (id, kept) = (key("a"), record("x"));
        let mut queued = pin!(store.store(&id, kept.clone(), Condition::Any));
        assert!(poll_once(queued.as_mut()).is_none());
        let mut close = pin!(store.close());
        assert!(poll_once(close.as_mut()).is_none());
        let late = store.store(&id, record("y"), Condition::Any).await;
        assert_eq!(late.unwrap_err().kind(), StoreErrorKind::Closed);
        other.execute_batch("COMMIT").unwrap();
        drop(other);
        close.await.unwrap();
        assert!(queued.await.unwrap().is_applied());
        assert_eq!(file.open().retrieve(&id).await.unwrap(), Some(kept));
    });
}

#[test]
fn dropping_the_last_handle_does_not_wait() {
    let file = Database::new();
    // A `drop` that waited for the lock would wait for an hour.
    let store = SqliteStore::open(file.config().busy_timeout(Duration::from_secs(3600))).unwrap();
    let other = file.locked();
    let kept = record("x");
    {
        let id = key("a");
        let queued = pin!(store.store(&id, kept.clone(), Condition::Any));
        assert!(poll_once(queued).is_none());
    }
    drop(store);
    other.execute_batch("COMMIT").unwrap();
    run(async {
        let store = file.open();
        let mut seen = None;
        // The driver's thread makes the queued change in its own time, at most a minute.
        for _ in 0..6_000 {
            seen = store.retrieve(&key("a")).await.unwrap();
            if seen.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(seen, Some(kept));
    });
}

/// A walk has many pages, and a page many reads of the file.
#[test]
fn pages_are_read_on_a_worker_thread() {
    let file = Database::new();
    let store = file.open();
    run(async {
        for number in 0..3 {
            assert!(store.store(&key(number), record("x"), Condition::Any).await.unwrap().is_applied());
        }
        let prefix = prefix();
        let mut answered_at_once = 0;
        for _ in 0..50 {
            let mut page = pin!(store.traverse(&prefix, Cursor::start(), 2));
            let entries = match poll_once(page.as_mut()) {
                Some(read) => {
                    answered_at_once += 1;
                    read.unwrap().entries
                }
                None => page.await.unwrap().entries,
            };
            assert_eq!(entries.len(), 2);
        }
        // A caller that is interrupted before its first look finds the worker's answer ready.
        assert!(answered_at_once < 50, "all pages are read on the caller's thread");
    });
}

#[test]
fn offloaded_reads_answer_the_same() {
    let file = Database::new();
    let store = SqliteStore::open(file.config().offload_reads(true).readers(2)).unwrap();
    run(async {
        let kept = record("x");
        assert!(store.store(&key("a"), kept.clone(), Condition::Any).await.unwrap().is_applied());
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let store = store.clone();
            tasks.spawn(async move { store.retrieve(&key("a")).await.unwrap() });
        }
        assert!(tasks.join_all().await.iter().all(|seen| seen.as_ref() == Some(&kept)));
        store.flush().await.unwrap();
        store.close().await.unwrap();
        assert_eq!(store.retrieve(&key("a")).await.unwrap_err().kind(), StoreErrorKind::Closed);
    });
}

#[test]
fn the_driver_needs_no_runtime() {
    fn wait<T>(future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        loop {
            match poll_once(future.as_mut()) {
                Some(answer) => return answer,
                None => std::thread::yield_now(),
            }
        }
    }
    let file = Database::new();
    let store = SqliteStore::open(file.config().durability(Durability::Power)).unwrap();
    let kept = record("x");
    assert!(wait(store.store(&key("a"), kept.clone(), Condition::Absent)).unwrap().is_applied());
    assert_eq!(wait(store.retrieve(&key("a"))).unwrap(), Some(kept));
    wait(store.close()).unwrap();
}

/// SQLite reads, rewrites and frees the whole data, which takes longer than a runtime worker may be held up.
#[test]
fn large_record_is_left_to_a_thread() {
    let file = Database::new();
    let store = file.open();
    let (small, large) = (record("small"), record(vec![7; 8 << 20]));
    for (id, record) in [(1, &small), (2, &large)] {
        assert!(run(store.store(&key(id), record.clone(), Condition::Any)).unwrap().is_applied());
    }
    let [other, next] = [0, 9].map(|byte| Revision::from_bytes([byte; 8]));
    let touch = |record: &Record| Touch { from: record.revision, to: next, deadline: at(1 << 40) };
    let conflict = Condition::Revision(other);
    for (id, stored, in_place) in [(1, &small, true), (2, &large, false)] {
        let key = key(id);
        assert_eq!(poll_once(pin!(store.retrieve(&key))).is_some(), in_place, "retrieve {id}");
        assert_eq!(run(store.retrieve(&key)).unwrap().as_ref(), Some(stored));
        let lost = record("lost");
        assert_eq!(
            poll_once(pin!(store.store(&key, lost.clone(), conflict))).is_some(),
            in_place,
            "conflict {id}"
        );
        assert_eq!(run(store.store(&key, lost, conflict)).unwrap(), Change::Conflict(Some(stored.clone())));
        assert_eq!(poll_once(pin!(store.touch(&key, touch(stored)))).is_some(), in_place, "touch {id}");
        run(store.flush()).unwrap();
        let any = store.store(&key, small.clone(), Condition::Any);
        assert_eq!(poll_once(pin!(any)).is_some(), in_place, "store {id}");
        assert!(run(store.store(&key, stored.clone(), Condition::Any)).unwrap().is_applied());
        let removal = store.remove(&key, Condition::Revision(stored.revision));
        assert_eq!(poll_once(pin!(removal)).is_some(), in_place, "remove {id}");
        run(store.flush()).unwrap();
        assert_eq!(run(store.retrieve(&key)).unwrap(), None);
    }
}
