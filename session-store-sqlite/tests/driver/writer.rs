//! Group commit, dropped futures, purging, the log's length, closing.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use session_core::{
    Change, Condition, Cursor, Driver, DriverExt, EntryDeadline, Prefix, Purged, Record, Revision,
    StoreErrorKind, TestClock, Timestamp, Touch,
};
use session_store_sqlite::{Durability, SqliteStore};

use crate::{Place, at, key, record, run};

/// Adds one to the number under a key, by compare-and-store.
async fn add_one(store: &SqliteStore, id: &str) {
    let key = key(id);
    let mut seen = store.retrieve(&key).await.unwrap();
    loop {
        let number = seen.as_ref().map_or(0, |seen| u64::from_le_bytes((&*seen.data).try_into().unwrap()));
        let when = seen.as_ref().map_or(Condition::Absent, |seen| Condition::Revision(seen.revision));
        match store.store(&key, record((number + 1).to_le_bytes()), when).await.unwrap() {
            Change::Applied => return,
            Change::Conflict(live) => seen = live,
        }
    }
}

async fn number(store: &SqliteStore, id: &str) -> u64 {
    u64::from_le_bytes((&*store.retrieve(&key(id)).await.unwrap().unwrap().data).try_into().unwrap())
}

#[test]
fn sixty_four_tasks_lose_nothing_in_either_durability() {
    for durability in [Durability::Process, Durability::Power] {
        let place = Place::new();
        let store = SqliteStore::open(place.config().durability(durability)).unwrap();
        run(async {
            let mut tasks = tokio::task::JoinSet::new();
            for n in 0..64_u32 {
                let store = store.clone();
                tasks.spawn(async move {
                    for round in 0..20_u32 {
                        add_one(&store, &format!("shared{}", n % 8)).await;
                        let own = key(&format!("own{n}"));
                        let size = if n % 16 == 0 { 200_000 } else { 100 };
                        let mut data = vec![0; size];
                        data[..4].copy_from_slice(&round.to_le_bytes());
                        let written = record(data);
                        assert!(
                            store.store(&own, written.clone(), Condition::Any).await.unwrap().is_applied()
                        );
                        assert_eq!(
                            store.retrieve(&own).await.unwrap(),
                            Some(written),
                            "it reads its own write"
                        );
                        if n % 7 == 0 {
                            store.purge(10).await.unwrap();
                        }
                    }
                });
            }
            while let Some(done) = tasks.join_next().await {
                done.unwrap();
            }
            for n in 0..8 {
                assert_eq!(number(&store, &format!("shared{n}")).await, 160);
            }
        });
    }
}

#[test]
fn one_worker_thread_serves_many_tasks() {
    let place = Place::new();
    let store = place.open();
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let tasks: Vec<_> = (0..16)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    for _ in 0..10 {
                        add_one(&store, "n").await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(number(&store, "n").await, 160);
    });
}

#[test]
fn a_dropped_future_leaves_the_old_or_the_new_and_holds_up_nobody() {
    let place = Place::new();
    let store = SqliteStore::open(place.config().busy_timeout(Duration::from_secs(3600))).unwrap();
    run(async {
        let old = record("old");
        assert!(store.store(&key("a"), old.clone(), Condition::Any).await.unwrap().is_applied());
        // Never polled: nothing happens.
        drop(store.store(&key("a"), record("never"), Condition::Any));
        let other = place.raw();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let new = record("new");
        for n in 0..100 {
            let id = key(&n.to_string());
            let mut queued = Box::pin(store.store(&id, new.clone(), Condition::Absent));
            assert!(queued.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            drop(queued);
        }
        {
            let key = key("a");
            let mut removal = pin!(store.remove(&key, Condition::Revision(old.revision)));
            assert!(removal.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        other.execute_batch("COMMIT").unwrap();
        // What comes after is done after: the queue keeps its order.
        assert!(store.store(&key("b"), record("b"), Condition::Absent).await.unwrap().is_applied());
        assert_eq!(store.retrieve(&key("a")).await.unwrap(), None);
        for n in 0..100 {
            assert_eq!(store.retrieve(&key(&n.to_string())).await.unwrap().as_ref(), Some(&new));
        }
    });
}

#[test]
fn purge_removes_exactly_the_expired_and_no_more_than_asked() {
    let place = Place::new();
    let clock = TestClock::new(Timestamp::from_millis(0));
    let store = SqliteStore::open(place.config().clock(Arc::new(clock.clone()))).unwrap();
    run(async {
        for n in 0..1000_u64 {
            let expires = if n % 2 == 0 { at(1_000 + n) } else { None };
            let record = Record { expires, ..record("x") };
            assert!(store.store(&key(&n.to_string()), record, Condition::Any).await.unwrap().is_applied());
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
        let removed: Vec<u64> = tasks.join_all().await;
        assert_eq!(removed.iter().sum::<u64>(), 100, "several at once count each once");
        assert_eq!(store.count(&Prefix::new("test").unwrap()).await.unwrap(), 500);
    });
}

#[test]
fn traversal_pages_by_key_and_refuses_foreign_cursors() {
    let place = Place::new();
    let store = place.open();
    run(async {
        for n in 0..600 {
            let id = key(&format!("{n:04}"));
            assert!(store.store(&id, record("abc"), Condition::Any).await.unwrap().is_applied());
        }
        let prefix = Prefix::new("test").unwrap();
        let (mut cursor, mut seen) = (Cursor::start(), Vec::new());
        loop {
            let page = store.traverse(&prefix, cursor, 7).await.unwrap();
            assert!(
                page.entries
                    .iter()
                    .all(|entry| entry.size == Some(3) && entry.deadline == EntryDeadline::Never)
            );
            seen.extend(page.entries.into_iter().map(|entry| entry.key));
            let Some(next) = page.next else { break };
            // The next page may be asked for by another process.
            cursor = Cursor::from_bytes(next.as_bytes().to_vec());
        }
        let all: Vec<_> = (0..600).map(|n| key(&format!("{n:04}"))).collect();
        assert_eq!(seen, all);
        assert_eq!(store.count(&prefix).await.unwrap(), 600);
        for bytes in [&b"nonsense"[..], b"\x01", b"\x01other:a", b"\x00test:a"] {
            let answer = store.traverse(&prefix, Cursor::from_bytes(bytes.to_vec()), 7).await;
            assert_eq!(answer.unwrap_err().kind(), StoreErrorKind::InvalidCursor);
        }
        assert_eq!(store.clear(&prefix).await.unwrap(), 600);
        assert_eq!(store.count(&prefix).await.unwrap(), 0);
    });
}

#[test]
fn the_log_is_begun_afresh_under_a_steady_load() {
    let place = Place::new();
    let config = place.config().checkpoint_after(256 << 10).max_wal_bytes(1 << 20);
    let store = SqliteStore::open(config).unwrap();
    run(async {
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..4 {
            let store = store.clone();
            tasks.spawn(async move {
                for round in 0..1500 {
                    let key = key(&format!("{n}-{}", round % 50));
                    assert!(
                        store.store(&key, record(vec![7; 8000]), Condition::Any).await.unwrap().is_applied()
                    );
                }
            });
        }
        tasks.join_all().await;
    });
    // 6,000 records of three pages each are 70 MB of log, had it never been begun afresh.
    let log = std::fs::metadata(place.directory.path().join("sessions.db-wal")).unwrap().len();
    assert!(log < 24 << 20, "{log} bytes");
}

#[test]
fn after_close_every_call_on_every_clone_is_closed() {
    let place = Place::new();
    let store = place.open();
    let clone = store.clone();
    run(async {
        let kept = record("x");
        assert!(store.store(&key("a"), kept.clone(), Condition::Any).await.unwrap().is_applied());
        let (one, two) = tokio::join!(store.close(), clone.close());
        one.unwrap();
        two.unwrap();
        store.close().await.unwrap();
        let (key, prefix, revision) = (key("a"), Prefix::new("test").unwrap(), kept.revision);
        let kinds = [
            clone.retrieve(&key).await.unwrap_err().kind(),
            clone.store(&key, kept.clone(), Condition::Any).await.unwrap_err().kind(),
            clone.store(&key, record(vec![0; 17 << 20]), Condition::Any).await.unwrap_err().kind(),
            clone.remove(&key, Condition::Any).await.unwrap_err().kind(),
            clone
                .touch(&key, Touch { from: revision, to: revision, deadline: None })
                .await
                .unwrap_err()
                .kind(),
            clone.traverse(&prefix, Cursor::start(), 1).await.unwrap_err().kind(),
            clone.traverse(&prefix, Cursor::from_bytes(&b"?"[..]), 1).await.unwrap_err().kind(),
            clone.purge(1).await.unwrap_err().kind(),
            clone.count(&prefix).await.unwrap_err().kind(),
            clone.clear(&prefix).await.unwrap_err().kind(),
            clone.flush().await.unwrap_err().kind(),
        ];
        assert!(kinds.iter().all(|kind| *kind == StoreErrorKind::Closed), "{kinds:?}");
        assert!(!place.directory.path().join("sessions.db-wal").exists(), "nothing but the file is left");
        assert_eq!(place.open().retrieve(&key).await.unwrap(), Some(kept));
    });
}

#[test]
fn closing_does_what_is_queued_first() {
    let place = Place::new();
    let store = SqliteStore::open(place.config().busy_timeout(Duration::from_secs(3600))).unwrap();
    run(async {
        let other = place.raw();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let (id, kept) = (key("a"), record("x"));
        let mut queued = pin!(store.store(&id, kept.clone(), Condition::Any));
        assert!(queued.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let mut close = pin!(store.close());
        assert!(close.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(
            store.store(&id, record("y"), Condition::Any).await.unwrap_err().kind(),
            StoreErrorKind::Closed
        );
        other.execute_batch("COMMIT").unwrap();
        drop(other);
        close.await.unwrap();
        assert!(queued.await.unwrap().is_applied());
        assert_eq!(place.open().retrieve(&id).await.unwrap(), Some(kept));
    });
}

#[test]
fn dropping_the_last_handle_waits_for_nobody_and_loses_nothing() {
    let place = Place::new();
    // Whoever waited for the lock in `drop` would wait for an hour.
    let store = SqliteStore::open(place.config().busy_timeout(Duration::from_secs(3600))).unwrap();
    let other = place.raw();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let kept = record("x");
    {
        let id = key("a");
        let mut queued = pin!(store.store(&id, kept.clone(), Condition::Any));
        assert!(queued.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    drop(store);
    other.execute_batch("COMMIT").unwrap();
    run(async {
        let store = place.open();
        let mut seen = None;
        // The driver's thread finishes in its own time; a minute is for ever.
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
fn reads_on_threads_of_the_driver_answer_the_same() {
    let place = Place::new();
    let store = SqliteStore::open(place.config().offload_reads(true).readers(2)).unwrap();
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
fn it_works_without_any_runtime() {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    fn wait<T>(future: impl Future<Output = T>) -> T {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut future = pin!(future);
        loop {
            if let std::task::Poll::Ready(answer) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return answer;
            }
            std::thread::park();
        }
    }
    let place = Place::new();
    let store = SqliteStore::open(place.config().durability(Durability::Power)).unwrap();
    let kept = record("x");
    assert!(wait(store.store(&key("a"), kept.clone(), Condition::Absent)).unwrap().is_applied());
    assert!(
        wait(store.touch(
            &key("a"),
            Touch { from: kept.revision, to: Revision::from_bytes([1; 8]), deadline: at(9_000_000_000_000) }
        ))
        .unwrap()
    );
    let touched = wait(store.retrieve(&key("a"))).unwrap().unwrap();
    assert_eq!((touched.data, touched.expires), (kept.data, at(9_000_000_000_000)));
    wait(store.close()).unwrap();
}
