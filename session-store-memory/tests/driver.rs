//! What is particular to the store in memory: bounds under contention, eviction, traversal of growing tables.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use session_core::{
    Applied, Change, Clock, Condition, Cursor, Driver, DriverExt, Entry, Key, Operation, Prefix, Record,
    Revision, SessionId, StoreErrorKind, TestClock, Timestamp, Touch,
};
use session_store_memory::{MemoryConfig, MemoryStore, OVERHEAD, OnFull};

const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn session(n: u64) -> Key {
    let mut id = [0; 24];
    id[..8].copy_from_slice(&n.to_le_bytes());
    SessionId::from_bytes(id).key()
}

fn user(n: u64) -> Key {
    Key::new(&Prefix::new("user").unwrap(), &n.to_string()).unwrap()
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

fn with_clock(options: MemoryConfig) -> (MemoryStore, TestClock) {
    let clock = TestClock::new(START);
    (MemoryStore::open(options.clock(Arc::new(clock.clone()))).unwrap(), clock)
}

async fn all(store: &MemoryStore, prefix: &Prefix, limit: usize) -> Vec<Entry> {
    let (mut entries, mut from) = (Vec::new(), Cursor::start());
    loop {
        let page = store.traverse(prefix, from, limit).await.unwrap();
        entries.extend(page.entries);
        match page.next {
            Some(next) => from = next,
            None => return entries,
        }
    }
}

#[tokio::test]
async fn at_the_bound_a_record_is_refused_and_nothing_else_changes() {
    let room = 10 * (OVERHEAD + 200);
    let (store, clock) = with_clock(MemoryConfig::new().max_bytes(room));
    for n in 0..10 {
        assert!(
            store
                .store(&session(n), record(200, in_secs(60 + n), n), Condition::Absent)
                .await
                .unwrap()
                .is_applied()
        );
    }
    for (key, len) in [(session(10), 0), (session(3), 201)] {
        let error = store.store(&key, record(len, None, 99), Condition::Any).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.operation(), error.applied()),
            (StoreErrorKind::Full, Operation::Store, Applied::No)
        );
    }
    assert_eq!(store.retrieve(&session(3)).await.unwrap(), Some(record(200, in_secs(63), 3)));
    assert_eq!(store.retrieve(&session(10)).await.unwrap(), None);
    // A conflict needs no room, and neither does a removal that comes as a store.
    let answer = store.store(&session(3), record(500, None, 99), Condition::Absent).await.unwrap();
    assert_eq!(answer, Change::Conflict(Some(record(200, in_secs(63), 3))));
    // As large as before, or smaller, fits; what became free can be used.
    assert!(
        store.store(&session(3), record(200, in_secs(63), 30), Condition::Any).await.unwrap().is_applied()
    );
    assert!(store.store(&session(3), record(4, in_secs(63), 31), Condition::Any).await.unwrap().is_applied());
    assert!(store.store(&user(1), record(0, None, 1), Condition::Absent).await.unwrap().is_applied());
    assert_eq!(
        store.store(&user(2), record(0, None, 1), Condition::Absent).await.unwrap_err().kind(),
        StoreErrorKind::Full
    );
    // What has expired makes room by itself.
    clock.advance(Duration::from_secs(61));
    assert!(store.store(&user(2), record(200, None, 1), Condition::Absent).await.unwrap().is_applied());
    assert_eq!(store.count(&Prefix::SESSION).await.unwrap(), 8);
}

#[tokio::test]
async fn what_could_never_fit_is_too_large_and_leaves_the_old_record() {
    let (store, _) = with_clock(MemoryConfig::new().max_bytes(OVERHEAD + 100).on_full(OnFull::Evict));
    assert_eq!(store.capabilities().max_record_bytes, Some(100));
    assert!(store.capabilities().evicts);
    assert!(store.store(&session(1), record(100, None, 1), Condition::Absent).await.unwrap().is_applied());
    let error = store.store(&session(1), record(101, None, 2), Condition::Any).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (StoreErrorKind::TooLarge, Applied::No));
    assert_eq!(store.retrieve(&session(1)).await.unwrap(), Some(record(100, None, 1)));
    let (store, _) = with_clock(MemoryConfig::new().max_record_bytes(5));
    assert!(store.store(&session(1), record(5, None, 1), Condition::Any).await.unwrap().is_applied());
    assert_eq!(
        store.store(&session(1), record(6, None, 2), Condition::Any).await.unwrap_err().kind(),
        StoreErrorKind::TooLarge
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn bounds_hold_at_every_moment_while_eight_tasks_write() {
    for policy in [OnFull::Reject, OnFull::Evict] {
        const MOST: u64 = 200;
        let options = MemoryConfig::new().max_entries(MOST).max_bytes(MOST * (OVERHEAD + 60)).on_full(policy);
        let (store, clock) = with_clock(options.shards(4));
        let (full, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let tasks: Vec<_> = (0..8_u64)
            .map(|task| {
                let (store, clock, full) = (store.clone(), clock.clone(), Arc::clone(&full));
                tokio::spawn(async move {
                    let mut seed = task + 1;
                    for step in 0..4_000 {
                        seed = seed
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1_442_695_040_888_963_407);
                        let random = seed >> 33;
                        let key = session(random % 500);
                        let expires =
                            Some(clock.now().saturating_add(Duration::from_millis(50 + random % 1_000)));
                        match random % 16 {
                            0..=11 => match store
                                .store(&key, record(random as usize % 120, expires, step), Condition::Any)
                                .await
                            {
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
        let entries = all(&store, &Prefix::SESSION, 50).await;
        assert!(entries.len() as u64 <= MOST);
        // Nothing was lost of the room: when all is gone, all of it can be used again.
        clock.advance(Duration::from_secs(100));
        while store.purge(7).await.unwrap().more {}
        for n in 0..MOST {
            assert!(
                store.store(&user(n), record(58, None, n), Condition::Absent).await.unwrap().is_applied()
            );
        }
        assert_eq!(
            store.store(&user(MOST), record(0, None, 0), Condition::Any).await.unwrap_err().kind(),
            StoreErrorKind::Full
        );
    }
}

#[tokio::test]
async fn only_sessions_are_evicted_those_near_their_deadline_and_never_the_one_that_grows() {
    let (store, clock) = with_clock(MemoryConfig::new().max_entries(1_000).on_full(OnFull::Evict).shards(2));
    for n in 0..500 {
        assert!(
            store.store(&user(n), record(8, in_secs(10), n), Condition::Absent).await.unwrap().is_applied()
        );
        assert!(
            store
                .store(&session(n), record(8, in_secs(10_000 + n), n), Condition::Absent)
                .await
                .unwrap()
                .is_applied()
        );
    }
    // These are used again; the others are not.
    for n in 0..100 {
        assert!(
            store
                .touch(
                    &session(n),
                    Touch { from: revision(n), to: revision(9_000 + n), deadline: in_secs(90_000 + n) }
                )
                .await
                .unwrap()
        );
    }
    for n in 1_000..1_200 {
        assert!(
            store
                .store(&session(n), record(8, in_secs(80_000 + n), n), Condition::Absent)
                .await
                .unwrap()
                .is_applied()
        );
    }
    let mut left = [0; 5];
    for entry in all(&store, &Prefix::SESSION, 100).await {
        let secs = entry.expires.unwrap().unwrap().saturating_since(START).as_secs();
        left[usize::from(secs >= 10_250) + usize::from(secs >= 10_500) + usize::from(secs >= 90_000)] += 1;
    }
    assert_eq!(left.iter().sum::<usize>(), 500, "{left:?}");
    assert_eq!(left[3], 100, "used sessions were evicted before unused ones: {left:?}");
    assert!(left[0] < left[1], "later ones were evicted before nearer ones: {left:?}");
    assert_eq!(store.count(&Prefix::new("user").unwrap()).await.unwrap(), 500);
    // Expired users go before any live session does.
    clock.advance(Duration::from_secs(10));
    assert!(
        store
            .store(&session(5_000), record(8, in_secs(90_000), 1), Condition::Absent)
            .await
            .unwrap()
            .is_applied()
    );
    assert_eq!(store.count(&Prefix::SESSION).await.unwrap(), 501);

    let (store, _) = with_clock(MemoryConfig::new().max_bytes(2 * OVERHEAD + 100).on_full(OnFull::Evict));
    assert!(
        store.store(&session(1), record(50, in_secs(1), 1), Condition::Absent).await.unwrap().is_applied()
    );
    assert!(
        store.store(&session(2), record(50, in_secs(9), 2), Condition::Absent).await.unwrap().is_applied()
    );
    assert!(
        store
            .store(&session(1), record(90, in_secs(1), 3), Condition::Revision(revision(1)))
            .await
            .unwrap()
            .is_applied()
    );
    assert_eq!(store.retrieve(&session(2)).await.unwrap(), None);
    // Where there is no session left to go, the record is refused.
    assert!(store.store(&user(1), record(90, None, 3), Condition::Any).await.unwrap().is_applied());
    assert_eq!(store.retrieve(&session(1)).await.unwrap(), None);
    assert_eq!(
        store.store(&user(2), record(50, None, 3), Condition::Any).await.unwrap_err().kind(),
        StoreErrorKind::Full
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_traversal_reports_what_is_there_all_the_time_exactly_once_while_tables_grow_and_empty() {
    let (store, _) = with_clock(MemoryConfig::new().shards(2));
    for n in 0..3_000 {
        assert!(
            store
                .store(&session(n), record(1, in_secs(100 + n), n), Condition::Absent)
                .await
                .unwrap()
                .is_applied()
        );
        assert!(store.store(&user(n), record(1, None, n), Condition::Absent).await.unwrap().is_applied());
    }
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let (store, done) = (store.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            let mut peaks = 0;
            // Grows both tables from 3,000 rows to about 6,500 a shard and empties them, again and again.
            while !done.load(Ordering::Relaxed) || peaks == 0 {
                for n in 10_000..20_000 {
                    let _ = store.store(&session(n), record(1, in_secs(n), n), Condition::Any).await.unwrap();
                    if n % 3 == 0 {
                        // Those that stay are written, small and large, and touched all the time, which must not move them.
                        let n = n % 3_000;
                        let _ = store
                            .store(
                                &session(n),
                                record([2, 600][peaks % 2], in_secs(50_000), n),
                                Condition::Any,
                            )
                            .await
                            .unwrap();
                        assert!(
                            store
                                .touch(
                                    &session(n),
                                    Touch {
                                        from: revision(n),
                                        to: revision(n + 1_000_000),
                                        deadline: in_secs(50)
                                    }
                                )
                                .await
                                .unwrap()
                        );
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
    let stay: HashMap<Key, u64> = (0..3_000).map(|n| (session(n), n)).collect();
    for limit in [1, 7, 256, 1_000, usize::MAX].into_iter().cycle().skip(1).take(10) {
        let mut seen = HashMap::new();
        for entry in all(&store, &Prefix::SESSION, limit).await {
            *seen.entry(entry.key).or_insert(0) += 1;
        }
        assert!(stay.keys().all(|key| seen.get(key) == Some(&1)), "limit {limit}");
    }
    done.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    assert_eq!(all(&store, &Prefix::SESSION, 0).await.len(), 3_000);
}

#[tokio::test]
async fn a_traversal_of_a_rare_prefix_passes_by_the_others_in_pages() {
    let (store, _) = with_clock(MemoryConfig::new().shards(2));
    for n in 0..30_000 {
        assert!(store.store(&user(n), record(1, None, n), Condition::Absent).await.unwrap().is_applied());
    }
    let rare = Key::parse("flash:one").unwrap();
    assert!(store.store(&rare, record(3, in_secs(5), 7), Condition::Absent).await.unwrap().is_applied());
    let prefix = Prefix::new("flash").unwrap();
    let found = all(&store, &prefix, 10).await;
    let expected = Entry::new(rare).with_deadline(in_secs(5)).with_revision(revision(7)).with_size(3);
    assert_eq!(found, [expected]);
    assert_eq!(store.count(&Prefix::new("fla").unwrap()).await.unwrap(), 0);
    let page = store.traverse(&prefix, Cursor::start(), 10).await.unwrap();
    assert!(page.entries.len() <= 1 && page.next.is_some());
    assert!(
        store
            .traverse(&Prefix::new("user").unwrap(), Cursor::start(), usize::MAX)
            .await
            .unwrap()
            .entries
            .len()
            < 5_000
    );
}

#[tokio::test]
async fn a_cursor_of_another_store_another_prefix_or_no_store_is_invalid() {
    let (store, _) = with_clock(MemoryConfig::new());
    let (other, _) = with_clock(MemoryConfig::new());
    for n in 0..100 {
        assert!(store.store(&session(n), record(1, None, n), Condition::Absent).await.unwrap().is_applied());
    }
    let page = store.traverse(&Prefix::SESSION, Cursor::start(), 10).await.unwrap();
    let cursor = page.next.unwrap();
    let mut bad: Vec<Vec<u8>> = [&b"x"[..], &[0; 16], &[255; 16], &[7; 300]].map(<[u8]>::to_vec).into();
    for index in 0..cursor.as_bytes().len() {
        let mut bytes = cursor.as_bytes().to_vec();
        bytes[index] ^= 1;
        bad.push(bytes);
    }
    for bytes in bad {
        let error = store.traverse(&Prefix::SESSION, Cursor::from_bytes(bytes), 10).await.unwrap_err();
        assert_eq!((error.kind(), error.operation()), (StoreErrorKind::InvalidCursor, Operation::Traverse));
    }
    let users = Prefix::new("user").unwrap();
    assert_eq!(
        other.traverse(&Prefix::SESSION, cursor.clone(), 10).await.unwrap_err().kind(),
        StoreErrorKind::InvalidCursor
    );
    assert_eq!(
        store.traverse(&users, cursor.clone(), 10).await.unwrap_err().kind(),
        StoreErrorKind::InvalidCursor
    );
    assert_eq!(store.traverse(&Prefix::SESSION, cursor, 10).await.unwrap().entries.len(), 10);
}

#[tokio::test]
async fn after_close_every_call_on_every_clone_is_closed() {
    let (store, _) = with_clock(MemoryConfig::new());
    let (clone, key) = (store.clone(), session(1));
    assert!(store.store(&key, record(1, None, 1), Condition::Absent).await.unwrap().is_applied());
    store.close().await.unwrap();
    clone.close().await.unwrap();
    let errors = [
        clone.retrieve(&key).await.unwrap_err(),
        clone.store(&key, record(1, None, 1), Condition::Any).await.unwrap_err(),
        clone.remove(&key, Condition::Any).await.unwrap_err(),
        clone.touch(&key, Touch { from: revision(1), to: revision(2), deadline: None }).await.unwrap_err(),
        clone.traverse(&Prefix::SESSION, Cursor::start(), 1).await.unwrap_err(),
        clone.count(&Prefix::SESSION).await.unwrap_err(),
        clone.clear(&Prefix::SESSION).await.unwrap_err(),
        clone.purge(1).await.unwrap_err(),
        clone.flush().await.unwrap_err(),
    ];
    assert!(errors.iter().all(|error| error.kind() == StoreErrorKind::Closed), "{errors:?}");
}

#[tokio::test]
async fn a_retrieve_shares_the_bytes_and_keeps_them_through_every_change() {
    let (store, _) = with_clock(MemoryConfig::new());
    assert!(
        store.store(&session(1), record(1_000, in_secs(9), 1), Condition::Absent).await.unwrap().is_applied()
    );
    let one = store.retrieve(&session(1)).await.unwrap().unwrap();
    let two = store.retrieve(&session(1)).await.unwrap().unwrap();
    assert_eq!(one.data.as_ptr(), two.data.as_ptr());
    assert!(
        store
            .touch(&session(1), Touch { from: revision(1), to: revision(2), deadline: in_secs(20) })
            .await
            .unwrap()
    );
    let touched = store.retrieve(&session(1)).await.unwrap().unwrap();
    assert_eq!(touched.data.as_ptr(), one.data.as_ptr());
    assert_eq!((touched.expires, touched.revision), (in_secs(20), revision(2)));
    assert!(store.remove(&session(1), Condition::Revision(revision(2))).await.unwrap().is_applied());
    assert_eq!(one, record(1_000, in_secs(9), 1));
}

#[tokio::test]
async fn debug_shows_no_key_and_no_data() {
    let (store, _) = with_clock(MemoryConfig::new().max_entries(10));
    let secret = Key::parse("user:alice").unwrap();
    let data = Record::new("the data", None, revision(1));
    assert!(store.store(&secret, data, Condition::Absent).await.unwrap().is_applied());
    let text = format!("{store:?}");
    assert!(text.contains("entries: 1") && !text.contains("alice") && !text.contains("data"), "{text}");
}
