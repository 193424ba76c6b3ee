//! Full files, full disks, large records.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use session_conformance::testing::{FreshPath, block_on};
use session_core::{Condition, Driver, StoreErrorKind, TestClock, Timestamp};
use session_store_mmap::{MmapConfig, MmapStore, OnFull};

use crate::{fresh, get, key, open, put, record, remove, session, spawn};

fn small(path: &FreshPath) -> MmapConfig {
    MmapConfig::new(path.path()).max_bytes(512 << 10).extent_bytes(4096).shards(2)
}

/// Stores sessions from `from` until the file is full. Returns the number of the refused one.
fn fill(store: &MmapStore, from: u64) -> u64 {
    let mut numbers = from..;
    let refused = numbers.find(|&n| {
        match block_on(store.store(&session(n), record(vec![1; 900]), Condition::Absent)) {
            Ok(stored) => !stored.is_applied(),
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Full);
                true
            }
        }
    });
    refused.unwrap()
}

#[test]
fn a_full_store_leaks_no_room() {
    let path = fresh();
    let store = MmapStore::open(small(&path)).unwrap();
    let count = fill(&store, 0);
    // 900 bytes and the key take 17 units of 64 bytes.
    assert!(count * 17 * 64 > (512 << 10) * 2 / 3, "full at {count} records of 900 bytes");
    // Records of the same length find room again and again: nothing leaks.
    for n in 0..3 * count {
        let key = session(n % count);
        if n % 3 == 0 {
            remove(&store, &key);
        }
        put(&store, &key, &record(vec![1; 900]));
    }
    for n in 0..count {
        remove(&store, &session(n));
    }
    // The free room is one piece again.
    put(&store, &key("large"), &record(vec![9; 120_000]));
    remove(&store, &key("large"));
    let again = fill(&store, 0);
    assert!(again + 8 > count, "{again} records after {count}");
}

#[test]
fn evict_removes_least_recently_used_sessions() {
    let path = fresh();
    let clock = TestClock::new(Timestamp::from_millis(1_000_000));
    let config = small(&path).shards(1).on_full(OnFull::Evict).clock(Arc::new(clock.clone()));
    let store = MmapStore::open(config).unwrap();
    assert!(store.capabilities().evicts);
    let others = || (0..50).map(|n| key(&n.to_string()));
    for (n, other) in others().enumerate() {
        put(&store, &other, &record(vec![2; 900]));
        put(&store, &session(n as u64), &record(vec![1; 900]));
        clock.advance(Duration::from_secs(2));
    }
    for n in 50..1_000 {
        put(&store, &session(n), &record(vec![1; 900]));
        clock.advance(Duration::from_secs(2));
        for used in 0..5 {
            assert!(get(&store, &session(used)).is_some(), "a session in use was evicted");
        }
    }
    assert!(others().all(|key| get(&store, &key).is_some()), "another record than a session was evicted");
    assert!(get(&store, &session(999)).is_some());
    let left: Vec<u64> = (5..1_000).filter(|&n| get(&store, &session(n)).is_some()).collect();
    assert!(left.len() > 200 && left.len() < 900, "{} sessions are left", left.len());
    assert_eq!(left[0], 1_000 - left.len() as u64, "the oldest went first: {left:?}");
    // A record that needs the room of all sessions removes no other records.
    let error = block_on(store.store(&key("large"), record(vec![9; 250_000]), Condition::Any));
    assert!(error.is_ok() || error.unwrap_err().kind() == StoreErrorKind::TooLarge);
    assert!(others().all(|key| get(&store, &key).is_some()));
}

#[test]
fn large_records_are_whole_and_their_room_is_reused() {
    let path = fresh();
    let store = open(&path);
    for round in 0..20_usize {
        for (index, length) in [7_000, 8_100, 16_384, 100_000, 1 << 20, 5_000_000].into_iter().enumerate() {
            let data: Vec<u8> = (0..length + round).map(|at| (at * 7 + index + round) as u8).collect();
            let written = record(data);
            put(&store, &key(&index.to_string()), &written);
            assert_eq!(get(&store, &key(&index.to_string())), Some(written));
        }
    }
    let length = std::fs::metadata(path.path()).unwrap().len();
    assert!(length < 30 << 20, "the file has grown to {length} bytes for 6 MB of records");
}

/// The child of the next test. Beyond this limit the kernel sends SIGXFSZ to a process that does not check.
pub(crate) fn write_until_the_limit(config: MmapConfig) {
    let store = MmapStore::open(config).unwrap();
    let limit = Some(2 << 20);
    setrlimit(Resource::Fsize, Rlimit { current: limit, maximum: limit }).unwrap();
    for n in 0.. {
        if let Err(error) = block_on(store.store(&session(n), record(vec![1; 4_000]), Condition::Absent)) {
            assert_eq!(error.kind(), StoreErrorKind::Full, "{error}");
            assert!(n > 300, "{n} records in 2 MiB");
            break;
        }
    }
    assert!(get(&store, &session(0)).is_some());
    put(&store, &session(0), &record(vec![2; 4_000]));
}

#[test]
fn a_file_size_limit_is_full_and_no_signal() {
    let path = fresh();
    spawn(&path, "limited", 0).finish();
    let store = open(&path);
    assert_eq!(get(&store, &session(0)).unwrap().data, vec![2; 4_000]);
    // This process has no limit.
    put(&store, &key("large"), &record(vec![3; 4 << 20]));
}
