//! Group commit, dropped futures, purging, the length of the log, closing.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use session_conformance::testing::poll_once;
use session_core::{
    Change, Condition, Cursor, Driver, DriverExt, EntryDeadline, Purged, Record, StoreErrorKind, TestClock,
    Timestamp,
};
use session_store_sqlite::{Durability, SqliteStore};

use crate::{Database, at, key, prefix, record, run};

/// Adds one to the number under a key, by compare-and-swap.
pub(crate) async fn add_one(store: &SqliteStore, id: &str) {
    let key = key(id);
    let mut seen = store.retrieve(&key).await.unwrap();
    loop {
        let number = seen.as_ref().map_or(0, |seen| u64::from_le_bytes((&*seen.data).try_into().unwrap()));
        let condition = seen.as_ref().map_or(Condition::Absent, |seen| Condition::Revision(seen.revision));
        match store.store(&key, record((number + 1).to_le_bytes()), condition).await.unwrap() {
            Change::Applied => return,
            Change::Conflict(live) => seen = live,
        }
    }
}

async fn number(store: &SqliteStore, id: &str) -> u64 {
    u64::from_le_bytes((&*store.retrieve(&key(id)).await.unwrap().unwrap().data).try_into().unwrap())
}

#[test]
fn many_tasks_lose_no_update_in_either_durability() {
    for durability in [Durability::Process, Durability::Power] {
        let file = Database::new();
        let store = SqliteStore::open(file.config().durability(durability)).unwrap();
        run(async {
            let mut tasks = tokio::task::JoinSet::new();
            for n in 0..64_u32 {
                let store = store.clone();
                tasks.spawn(async move {
                    for round in 0..20_u32 {
                        add_one(&store, &format!("shared{}", n % 8)).await;
                        let own = key(format!("own{n}"));
                        let mut data = vec![0; if n % 16 == 0 { 200_000 } else { 100 }];
                        data[..4].copy_from_slice(&round.to_le_bytes());
                        let written = record(data);
                        let stored = store.store(&own, written.clone(), Condition::Any).await;
                        assert!(stored.unwrap().is_applied());
                        assert_eq!(store.retrieve(&own).await.unwrap(), Some(written), "its own write");
                        if n % 7 == 0 {
                            store.purge(10).await.unwrap();
                        }
                    }
                });
            }
            tasks.join_all().await;
            for n in 0..8 {
                assert_eq!(number(&store, &format!("shared{n}")).await, 160);
            }
        });
    }
}

#[test]
fn one_worker_thread_serves_many_tasks() {
    let file = Database::new();
    let store = file.open();
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let store = store.clone();
            tasks.spawn(async move {
                for _ in 0..10 {
                    add_one(&store, "n").await;
                }
            });
        }
        tasks.join_all().await;
        assert_eq!(number(&store, "n").await, 160);
    });
}

#[test]
fn a_dropped_future_blocks_no_later_change() {
    let file = Database::new();
    let store = SqliteStore::open(file.config().busy_timeout(Duration::from_secs(3600))).unwrap();
    run(async {
        let old = record("old");
        assert!(store.store(&key("a"), old.clone(), Condition::Any).await.unwrap().is_applied());
        // A future that is never polled does nothing.
        drop(store.store(&key("a"), record("never"), Condition::Any));
        let other = file.locked();
        let new = record("new");
        for n in 0..100 {
            let id = key(n);
            let queued = pin!(store.store(&id, new.clone(), Condition::Absent));
            assert!(poll_once(queued).is_none());
        }
        {
            let id = key("a");
            let removal = pin!(store.remove(&id, Condition::Revision(old.revision)));
            assert!(poll_once(removal).is_none());
        }
        other.execute_batch("COMMIT").unwrap();
        // The queue keeps its order, so the earlier changes are made by now.
        assert!(store.store(&key("b"), record("b"), Condition::Absent).await.unwrap().is_applied());
        assert_eq!(store.retrieve(&key("a")).await.unwrap(), None);
        for n in 0..100 {
            assert_eq!(store.retrieve(&key(n)).await.unwrap().as_ref(), Some(&new));
        }
    });
}

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
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let store = store.clone();
            tasks.spawn(async move { store.purge(usize::MAX).await.unwrap().removed });
        }
        let removed: u64 = tasks.join_all().await.iter().sum();
        assert_eq!(removed, 100, "concurrent purges count each record once");
        assert_eq!(store.count(&prefix()).await.unwrap(), 500);
    });
}

#[test]
fn traversal_reports_each_key_once_in_order() {
    let file = Database::new();
    let store = file.open();
    run(async {
        let all: Vec<_> = (0..600).map(|n| key(format!("{n:04}"))).collect();
        for key in &all {
            assert!(store.store(key, record("abc"), Condition::Any).await.unwrap().is_applied());
        }
        let (mut next, mut seen) = (Some(Cursor::start()), Vec::new());
        while let Some(cursor) = next {
            let page = store.traverse(&prefix(), cursor, 7).await.unwrap();
            let complete = |entry: &session_core::Entry| {
                entry.size == Some(3) && entry.deadline == EntryDeadline::Never && entry.revision.is_some()
            };
            assert!(page.entries.iter().all(complete));
            seen.extend(page.entries.into_iter().map(|entry| entry.key));
            next = page.next;
        }
        assert_eq!(seen, all);
        assert_eq!(store.clear(&prefix()).await.unwrap(), 600);
        assert_eq!(store.count(&prefix()).await.unwrap(), 0);
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

#[test]
fn close_leaves_only_the_file_and_closes_all_clones() {
    let file = Database::new();
    let store = file.open();
    let clone = store.clone();
    run(async {
        let kept = record("x");
        assert!(store.store(&key("a"), kept.clone(), Condition::Any).await.unwrap().is_applied());
        let (one, two) = tokio::join!(store.close(), clone.close());
        assert!(one.is_ok() && two.is_ok() && store.close().await.is_ok());
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
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    fn wait<T>(future: impl Future<Output = T>) -> T {
        let waker = std::task::Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut future = pin!(future);
        loop {
            let mut context = std::task::Context::from_waker(&waker);
            if let std::task::Poll::Ready(answer) = future.as_mut().poll(&mut context) {
                return answer;
            }
            std::thread::park();
        }
    }
    let file = Database::new();
    let store = SqliteStore::open(file.config().durability(Durability::Power)).unwrap();
    let kept = record("x");
    assert!(wait(store.store(&key("a"), kept.clone(), Condition::Absent)).unwrap().is_applied());
    assert_eq!(wait(store.retrieve(&key("a"))).unwrap(), Some(kept));
    wait(store.close()).unwrap();
}
