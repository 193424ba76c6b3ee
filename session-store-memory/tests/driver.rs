//! Tests of the store in memory alone: bounds under contention, eviction, traversal of growing tables.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use session_conformance::testing::Rng;
use session_core::{
    Applied, Change, Clock, Condition, Cursor, Driver, DriverExt, Entry, EntryDeadline, Key, Operation,
    Prefix, Record, Revision, SessionId, StoreError, StoreErrorKind, TestClock, Timestamp, Touch,
};
use session_store_memory::{MemoryConfig, MemoryStore, OVERHEAD, OnFull};

const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn session(n: u64) -> Key {
    let mut id = [0; 24];
    id[..8].copy_from_slice(&n.to_le_bytes());
    SessionId::from_bytes(id).key()
}

fn users() -> Prefix {
    Prefix::new("user").unwrap()
}

fn user(n: u64) -> Key {
    Key::new(&users(), &n.to_string()).unwrap()
}

fn revision(n: u64) -> Revision {
    Revision::from_bytes(n.to_le_bytes())
}

fn in_secs(secs: u64) -> Option<Timestamp> {
    Some(START.saturating_add(Duration::from_secs(secs)))
}

fn record(len: usize, expires: Option<Timestamp>, n: u64) -> Record {
    Record::new(vec![n as u8; len], expires, revision(n))
}

fn with_clock(config: MemoryConfig) -> (MemoryStore, TestClock) {
    let clock = TestClock::new(START);
    (MemoryStore::open(config.clock(Arc::new(clock.clone()))).unwrap(), clock)
}

/// Stores a record that must be stored.
async fn put(store: &MemoryStore, key: &Key, record: Record) {
    assert!(store.store(key, record, Condition::Any).await.unwrap().is_applied());
}

/// The error of a store that must fail.
async fn refused(store: &MemoryStore, key: &Key, record: Record) -> StoreError {
    store.store(key, record, Condition::Any).await.unwrap_err()
}

async fn touch(store: &MemoryStore, key: &Key, from: u64, to: u64, deadline: Option<Timestamp>) -> bool {
    store.touch(key, Touch { from: revision(from), to: revision(to), deadline }).await.unwrap()
}

async fn all(store: &MemoryStore, prefix: &Prefix, limit: usize) -> Vec<Entry> {
    let (mut entries, mut next) = (Vec::new(), Some(Cursor::start()));
    while let Some(from) = next {
        let page = store.traverse(prefix, from, limit).await.unwrap();
        assert!(page.entries.len() <= limit.clamp(1, 128));
        entries.extend(page.entries);
        next = page.next;
    }
    entries
}

#[test]
fn wrong_options_are_errors_of_open() {
    for (config, word) in [
        (MemoryConfig::new().max_entries(0), "max_entries"),
        (MemoryConfig::new().max_bytes(159), "max_bytes"),
        (MemoryConfig::new().max_bytes(1_000).max_record_bytes(841), "max_record_bytes"),
        (MemoryConfig::new().on_full(OnFull::Evict), "on_full"),
        (MemoryConfig::new().shards(0), "shards"),
        (MemoryConfig::new().shards(1), "shards"),
        (MemoryConfig::new().shards(48), "shards"),
        (MemoryConfig::new().shards(1 << 17), "shards"),
    ] {
        let error = MemoryStore::open(config).unwrap_err();
        assert_eq!((error.kind(), error.operation()), (StoreErrorKind::Misconfigured, Operation::Open));
        assert!(error.to_string().contains(word), "{error}");
    }
    let most = MemoryConfig::new().max_bytes(1_000).max_record_bytes(840).on_full(OnFull::Evict).shards(2);
    assert!(MemoryStore::open(most.max_entries(1)).is_ok());
}

#[cfg(feature = "serde")]
#[test]
fn options_are_read_from_a_file() {
    let text = r#"{ "max_entries": 3, "max_bytes": 1000, "on_full": "evict", "shards": 8 }"#;
    let config: MemoryConfig = serde_json::from_str(text).unwrap();
    assert!(MemoryStore::open(config).unwrap().capabilities().evicts);
    assert!(serde_json::from_str::<MemoryConfig>(r#"{ "max_entry": 3 }"#).is_err());
}

#[tokio::test]
async fn full_store_refuses_and_keeps_every_record() {
    let (store, clock) = with_clock(MemoryConfig::new().max_bytes(10 * (OVERHEAD + 200)));
    for n in 0..10 {
        put(&store, &session(n), record(200, in_secs(60 + n), n)).await;
    }
    for (key, len) in [(session(10), 0), (session(3), 201)] {
        let error = refused(&store, &key, record(len, None, 99)).await;
        assert_eq!(
            (error.kind(), error.operation(), error.applied()),
            (StoreErrorKind::Full, Operation::Store, Applied::No)
        );
    }
    assert_eq!(store.retrieve(&session(3)).await.unwrap(), Some(record(200, in_secs(63), 3)));
    assert_eq!(store.retrieve(&session(10)).await.unwrap(), None);
    // A conflict needs no room, and neither does a store that acts as a removal.
    let answer = store.store(&session(3), record(500, None, 99), Condition::Absent).await.unwrap();
    assert_eq!(answer, Change::Conflict(Some(record(200, in_secs(63), 3))));
    // Data of the old length or less fits, and freed room can be used.
    put(&store, &session(3), record(200, in_secs(63), 30)).await;
    put(&store, &session(3), record(4, in_secs(63), 31)).await;
    put(&store, &user(1), record(0, None, 1)).await;
    assert_eq!(refused(&store, &user(2), record(0, None, 1)).await.kind(), StoreErrorKind::Full);
    // Expired records make room without a purge.
    clock.advance(Duration::from_secs(61));
    put(&store, &user(2), record(200, None, 1)).await;
    assert_eq!(store.count(&Prefix::SESSION).await.unwrap(), 8);
}

#[tokio::test]
async fn too_large_record_leaves_the_old_one() {
    let (store, _) = with_clock(MemoryConfig::new().max_bytes(OVERHEAD + 100).on_full(OnFull::Evict));
    assert_eq!(store.capabilities().max_record_bytes, Some(100));
    assert!(store.capabilities().evicts);
    put(&store, &session(1), record(100, None, 1)).await;
    let error = refused(&store, &session(1), record(101, None, 2)).await;
    assert_eq!((error.kind(), error.applied()), (StoreErrorKind::TooLarge, Applied::No));
    assert_eq!(store.retrieve(&session(1)).await.unwrap(), Some(record(100, None, 1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn bounds_hold_at_every_moment_under_contention() {
    for policy in [OnFull::Reject, OnFull::Evict] {
        const MOST: u64 = 200;
        let config = MemoryConfig::new().max_entries(MOST).max_bytes(MOST * (OVERHEAD + 60)).on_full(policy);
        let (store, clock) = with_clock(config.shards(4));
        let (full, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let tasks: Vec<_> = (0..8_u64)
            .map(|task| {
                let (store, clock, full) = (store.clone(), clock.clone(), Arc::clone(&full));
                tokio::spawn(async move {
                    let mut rng = Rng::with_seed(task);
                    for step in 0..4_000 {
                        let random = rng.u64(..1 << 31);
                        let key = session(random % 500);
                        let expires =
                            Some(clock.now().saturating_add(Duration::from_millis(50 + random % 1_000)));
                        let record = record(random as usize % 120, expires, step);
                        match random % 16 {
                            0..=11 => match store.store(&key, record, Condition::Any).await {
                                Ok(answer) => assert!(answer.is_applied()),
                                Err(error) => {
                                    assert_eq!(error.kind(), StoreErrorKind::Full);
                                    full.fetch_add(1, Ordering::Relaxed);
                                }
                            },
                            12 | 13 => drop(store.remove(&key, Condition::Any).await.unwrap()),
                            14 => drop(store.purge(3).await.unwrap()),
                            _ => clock.advance(Duration::from_millis(1)),
                        }
                        if step % 64 == 0 {
                            tokio::task::yield_now().await;
                        }
                    }
                })
            })
            .collect();
        let watcher = {
            let (store, done) = (store.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    let text = format!("{store:?}");
                    let number = |name: &str| -> u64 {
                        let rest = text.rsplit_once(&format!(" {name}: ")).unwrap().1;
                        rest.split([',', ' ', '}']).next().unwrap().parse().unwrap()
                    };
                    assert!(number("entries") <= MOST, "{text}");
                    assert!(number("bytes") <= MOST * (OVERHEAD + 60), "{text}");
                    tokio::task::yield_now().await;
                }
            })
        };
        for task in tasks {
            task.await.unwrap();
        }
        done.store(true, Ordering::Relaxed);
        watcher.await.unwrap();
        assert_eq!(full.load(Ordering::Relaxed) > 0, policy == OnFull::Reject);
        assert!(all(&store, &Prefix::SESSION, 50).await.len() as u64 <= MOST);
        // No room was lost: an empty store can be filled again.
        clock.advance(Duration::from_secs(100));
        while store.purge(7).await.unwrap().more {}
        for n in 0..MOST {
            put(&store, &user(n), record(58, None, n)).await;
        }
        assert_eq!(refused(&store, &user(MOST), record(0, None, 0)).await.kind(), StoreErrorKind::Full);
    }
}

#[tokio::test]
async fn evict_removes_least_recently_used_sessions() {
    let (store, clock) = with_clock(MemoryConfig::new().max_entries(1_000).on_full(OnFull::Evict).shards(2));
    for n in 0..500 {
        put(&store, &user(n), record(8, in_secs(10), n)).await;
        put(&store, &session(n), record(8, in_secs(10_000 + n), n)).await;
    }
    // These are used again; the others are not.
    for n in 0..100 {
        assert!(touch(&store, &session(n), n, 9_000 + n, in_secs(90_000 + n)).await);
    }
    for n in 1_000..1_200 {
        put(&store, &session(n), record(8, in_secs(80_000 + n), n)).await;
    }
    let mut left = [0; 5];
    for entry in all(&store, &Prefix::SESSION, 100).await {
        let EntryDeadline::At(deadline) = entry.deadline else { panic!("{entry:?}") };
        let secs = deadline.saturating_since(START).as_secs();
        left[usize::from(secs >= 10_250) + usize::from(secs >= 10_500) + usize::from(secs >= 90_000)] += 1;
    }
    assert_eq!(left.iter().sum::<usize>(), 500, "{left:?}");
    assert_eq!(left[3], 100, "used sessions were evicted before unused ones: {left:?}");
    assert!(left[0] < left[1], "later ones were evicted before nearer ones: {left:?}");
    assert_eq!(store.count(&users()).await.unwrap(), 500);
    // Expired users go before any live session does.
    clock.advance(Duration::from_secs(10));
    put(&store, &session(5_000), record(8, in_secs(90_000), 1)).await;
    assert_eq!(store.count(&Prefix::SESSION).await.unwrap(), 501);
}

#[tokio::test]
async fn evict_spares_the_session_that_grows_and_every_user() {
    let (store, _) = with_clock(MemoryConfig::new().max_bytes(2 * OVERHEAD + 100).on_full(OnFull::Evict));
    put(&store, &session(1), record(50, in_secs(1), 1)).await;
    put(&store, &session(2), record(50, in_secs(9), 2)).await;
    let grown = store.store(&session(1), record(90, in_secs(1), 3), Condition::Revision(revision(1))).await;
    assert!(grown.unwrap().is_applied());
    assert_eq!(store.retrieve(&session(2)).await.unwrap(), None);
    // Where no session is left to evict, the record is refused.
    put(&store, &user(1), record(90, None, 3)).await;
    assert_eq!(store.retrieve(&session(1)).await.unwrap(), None);
    assert_eq!(refused(&store, &user(2), record(50, None, 3)).await.kind(), StoreErrorKind::Full);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traversal_reports_each_key_once_while_tables_grow() {
    let (store, _) = with_clock(MemoryConfig::new().shards(2));
    for n in 0..3_000 {
        put(&store, &session(n), record(1, in_secs(100 + n), n)).await;
        put(&store, &user(n), record(1, None, n)).await;
    }
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let (store, done) = (store.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            let mut peaks = 0;
            // Grows both tables from 3,000 rows to about 6,500 a shard and empties them, again and again.
            while !done.load(Ordering::Relaxed) || peaks == 0 {
                for n in 10_000..20_000 {
                    put(&store, &session(n), record(1, in_secs(n), n)).await;
                    if n % 3 == 0 {
                        // The sessions that stay become small, large and small again, and their deadlines move. That
                        // must not move them in the traversal.
                        let n = n % 3_000;
                        let len = [2, 600][peaks % 2];
                        put(&store, &session(n), record(len, in_secs(50_000), n)).await;
                        assert!(touch(&store, &session(n), n, n + 1_000_000, in_secs(50)).await);
                    }
                }
                for n in 10_000..20_000 {
                    assert!(store.remove(&session(n), Condition::Any).await.unwrap().is_applied());
                }
                peaks += 1;
                tokio::task::yield_now().await;
            }
        })
    };
    for limit in [1, 7, 256, 1_000, usize::MAX].into_iter().cycle().skip(1).take(10) {
        let mut seen = HashMap::new();
        for entry in all(&store, &Prefix::SESSION, limit).await {
            *seen.entry(entry.key).or_insert(0) += 1;
        }
        assert!((0..3_000).all(|n| seen.get(&session(n)) == Some(&1)), "limit {limit}");
    }
    done.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    assert_eq!(all(&store, &Prefix::SESSION, 0).await.len(), 3_000);
}

#[tokio::test]
async fn traversal_of_a_rare_prefix_skips_the_others_in_pages() {
    let (store, _) = with_clock(MemoryConfig::new().shards(2));
    for n in 0..30_000 {
        put(&store, &user(n), record(1, None, n)).await;
    }
    let rare = Key::parse("flash:one").unwrap();
    put(&store, &rare, record(3, in_secs(5), 7)).await;
    let prefix = Prefix::new("flash").unwrap();
    let found = all(&store, &prefix, 10).await;
    let expected = Entry::new(rare).with_deadline(in_secs(5)).with_revision(revision(7)).with_size(3);
    assert_eq!(found, [expected]);
    assert_eq!(store.count(&Prefix::new("fla").unwrap()).await.unwrap(), 0);
    let page = store.traverse(&prefix, Cursor::start(), 10).await.unwrap();
    assert!(page.entries.len() <= 1 && page.next.is_some());
    assert!(store.traverse(&users(), Cursor::start(), usize::MAX).await.unwrap().entries.len() < 5_000);
}

#[tokio::test]
async fn foreign_cursor_is_invalid() {
    let (store, _) = with_clock(MemoryConfig::new());
    let (other, _) = with_clock(MemoryConfig::new());
    for n in 0..100 {
        put(&store, &session(n), record(1, None, n)).await;
    }
    let page = store.traverse(&Prefix::SESSION, Cursor::start(), 10).await.unwrap();
    let cursor = page.next.unwrap();
    let mut foreign = vec![(&other, Prefix::SESSION, cursor.clone()), (&store, users(), cursor.clone())];
    for index in 0..cursor.as_bytes().len() {
        let mut bytes = cursor.as_bytes().to_vec();
        bytes[index] ^= 1;
        foreign.push((&store, Prefix::SESSION, Cursor::from_bytes(bytes)));
    }
    for (store, prefix, cursor) in foreign {
        let error = store.traverse(&prefix, cursor, 10).await.unwrap_err();
        assert_eq!((error.kind(), error.operation()), (StoreErrorKind::InvalidCursor, Operation::Traverse));
    }
    assert_eq!(store.traverse(&Prefix::SESSION, cursor, 10).await.unwrap().entries.len(), 10);
}

#[tokio::test]
async fn large_data_is_shared_and_outlives_every_change() {
    let (store, _) = with_clock(MemoryConfig::new());
    put(&store, &session(1), record(1_000, in_secs(9), 1)).await;
    let one = store.retrieve(&session(1)).await.unwrap().unwrap();
    let two = store.retrieve(&session(1)).await.unwrap().unwrap();
    assert_eq!(one.data.as_ptr(), two.data.as_ptr());
    assert!(touch(&store, &session(1), 1, 2, in_secs(20)).await);
    let touched = store.retrieve(&session(1)).await.unwrap().unwrap();
    assert_eq!(touched.data.as_ptr(), one.data.as_ptr());
    assert_eq!((touched.expires, touched.revision), (in_secs(20), revision(2)));
    assert!(store.remove(&session(1), Condition::Revision(revision(2))).await.unwrap().is_applied());
    assert_eq!(one, record(1_000, in_secs(9), 1));
}

#[tokio::test]
async fn debug_shows_no_key_and_no_data() {
    let (store, _) = with_clock(MemoryConfig::new().max_entries(10));
    put(&store, &Key::parse("user:alice").unwrap(), Record::new("the data", None, revision(1))).await;
    let text = format!("{store:?}");
    assert!(text.contains("entries: 1") && !text.contains("alice") && !text.contains("data"), "{text}");
}
