//! Full files, full disks, large records.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use session_core::{
    Clock, Condition, Driver, DriverExt, Prefix, Record, StoreErrorKind, TestClock, Timestamp,
};
use session_store_mmap::{MmapConfig, MmapStore, OnFull};

use crate::{Place, key, put, record, run, session, spawn};

fn small(place: &Place) -> MmapConfig {
    MmapConfig::new(place.path()).max_bytes(512 << 10).extent_bytes(4096).shards(2)
}

fn fill(store: &MmapStore, from: u64) -> u64 {
    for n in from.. {
        match run(store.store(&session(n), record(vec![1; 900]), Condition::Absent)) {
            Ok(stored) => assert!(stored.is_applied()),
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Full);
                return n;
            }
        }
    }
    unreachable!()
}

#[test]
fn a_full_store_refuses_keeps_what_it_has_and_goes_on_when_there_is_room() {
    let place = Place::new();
    let store = MmapStore::open(small(&place)).unwrap();
    let count = fill(&store, 0);
    // 900 bytes and the key take 17 units of 64 bytes.
    assert!(count * 17 * 64 > (512 << 10) * 2 / 3, "full at {count} records of 900 bytes");
    let before = run(store.retrieve(&session(0))).unwrap().unwrap();
    let error = run(store.store(&session(0), record(vec![2; 100_000]), Condition::Any)).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Full);
    assert_eq!(run(store.retrieve(&session(0))).unwrap(), Some(before));
    for n in 0..count {
        let found = run(store.retrieve(&session(n))).unwrap().unwrap();
        assert_eq!(found.data, vec![1; 900], "record {n}");
    }
    // What is as long as before finds its place, again and again: nothing leaks.
    for n in 0..3 * count {
        let key = session(n % count);
        if n % 3 == 0 {
            assert!(run(store.remove(&key, Condition::Any)).unwrap().is_applied());
        }
        put(&store, &key, &record(vec![1; 900]));
    }
    for n in 0..count {
        assert!(run(store.remove(&session(n), Condition::Any)).unwrap().is_applied());
    }
    // All of it is one piece again.
    put(&store, &key("large"), &record(vec![9; 120_000]));
    assert!(run(store.remove(&key("large"), Condition::Any)).unwrap().is_applied());
    let again = fill(&store, 0);
    assert!(again + 8 > count, "{again} records after {count}");
}

#[test]
fn a_full_store_removes_what_has_expired_first() {
    let place = Place::new();
    let clock = TestClock::new(Timestamp::from_millis(1_000_000));
    let store = MmapStore::open(small(&place).clock(Arc::new(clock.clone()))).unwrap();
    let soon = clock.now().saturating_add(Duration::from_secs(60));
    for n in 0..100 {
        put(&store, &session(1_000_000 + n), &Record { expires: Some(soon), ..record(vec![1; 900]) });
    }
    let count = fill(&store, 0);
    clock.advance(Duration::from_secs(60));
    let more = fill(&store, count);
    assert!((80..=120).contains(&(more - count)), "{} more records where 100 had expired", more - count);
    assert_eq!(run(store.count(&Prefix::SESSION)).unwrap(), more);
}

#[test]
fn who_evicts_gives_up_the_sessions_that_were_not_used_for_longest_and_nothing_else() {
    let place = Place::new();
    let clock = TestClock::new(Timestamp::from_millis(1_000_000));
    let config = small(&place).shards(1).on_full(OnFull::Evict).clock(Arc::new(clock.clone()));
    let store = MmapStore::open(config).unwrap();
    assert!(store.capabilities().evicts);
    for n in 0..50 {
        put(&store, &key(&n.to_string()), &record(vec![2; 900]));
        put(&store, &session(n), &record(vec![1; 900]));
        clock.advance(Duration::from_secs(2));
    }
    for n in 50..1_000 {
        put(&store, &session(n), &record(vec![1; 900]));
        clock.advance(Duration::from_secs(2));
        // These are read all the time.
        for n in 0..5 {
            assert!(run(store.retrieve(&session(n))).unwrap().is_some(), "a session in use was evicted");
        }
    }
    for n in 0..50 {
        assert!(
            run(store.retrieve(&key(&n.to_string()))).unwrap().is_some(),
            "something else than a session"
        );
    }
    assert!(run(store.retrieve(&session(999))).unwrap().is_some());
    let left: Vec<u64> =
        (5..1_000).filter(|&n| run(store.retrieve(&session(n))).unwrap().is_some()).collect();
    assert!(left.len() > 200 && left.len() < 900, "{} sessions are left", left.len());
    assert!(left.is_sorted() && left[0] == 1_000 - left.len() as u64, "the oldest went first: {left:?}");
    // A record that finds room only if all sessions go does not take the other ones with it.
    let error = run(store.store(&key("large"), record(vec![9; 250_000]), Condition::Any));
    assert!(error.is_ok() || error.unwrap_err().kind() == StoreErrorKind::TooLarge);
    for n in 0..50 {
        assert!(run(store.retrieve(&key(&n.to_string()))).unwrap().is_some());
    }
}

#[test]
fn large_records_come_and_go_whole() {
    let place = Place::new();
    let store = place.open();
    for round in 0..20_usize {
        for (index, length) in [7_000, 8_100, 16_384, 100_000, 1 << 20, 5_000_000].into_iter().enumerate() {
            let data: Vec<u8> = (0..length + round).map(|at| (at * 7 + index + round) as u8).collect();
            let written = record(data);
            put(&store, &key(&index.to_string()), &written);
            assert_eq!(run(store.retrieve(&key(&index.to_string()))).unwrap(), Some(written));
        }
    }
    let length = std::fs::metadata(place.path()).unwrap().len();
    assert!(length < 30 << 20, "the file has grown to {length} bytes for 6 MB of records");
}

/// The child of the next test: a limit of the process, which would be a signal to whoever does not look.
pub(crate) fn write_until_the_limit(config: MmapConfig) {
    let store = MmapStore::open(config).unwrap();
    let limit = Some(2 << 20);
    setrlimit(Resource::Fsize, Rlimit { current: limit, maximum: limit }).unwrap();
    for n in 0.. {
        if let Err(error) = run(store.store(&session(n), record(vec![1; 4_000]), Condition::Absent)) {
            assert_eq!(error.kind(), StoreErrorKind::Full, "{error}");
            assert!(n > 300, "{n} records in two mebibytes");
            break;
        }
    }
    assert!(run(store.retrieve(&session(0))).unwrap().is_some());
    put(&store, &session(0), &record(vec![2; 4_000]));
}

#[test]
fn a_disk_that_gives_no_more_is_full_and_no_signal() {
    let place = Place::new();
    let mut child = spawn(&place, "limited", 0);
    assert!(child.wait().unwrap().success());
    let store = place.open();
    assert_eq!(run(store.retrieve(&session(0))).unwrap().unwrap().data, vec![2; 4_000]);
    // This process may have more.
    put(&store, &key("large"), &record(vec![3; 4 << 20]));
}
