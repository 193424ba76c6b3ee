//! Which calls reach the store.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use session_conformance::testing::{
    ChildProcess, Fault, MapDriver, Probe, block_on, child_args, forked, poll_once, say,
};
use session_core::{
    Change, Condition, Cursor, Driver, DynDriver, Key, Operation, Prefix, Record, Result, Revision,
    StoreErrorKind, SystemClock, TestClock, Timestamp, Touch, forward,
};
use session_near::{NearCache, NearConfig};

/// Longer than any test here.
const LONG: Duration = Duration::from_secs(60);

fn near() -> (Probe<MapDriver>, NearCache<Probe<MapDriver>>) {
    let store = Probe::new(MapDriver::new(SystemClock));
    (store.clone(), NearCache::open(store, LONG).unwrap())
}

fn key() -> Key {
    Key::parse("session:one").unwrap()
}

fn revision(number: u8) -> Revision {
    Revision::from_bytes([number; 8])
}

fn record(number: u8) -> Record {
    Record::new(vec![number], None, revision(number))
}

/// How many calls reach the store for one recent read, which must find `expected`.
async fn cost(near: &impl Driver, store: &Probe<MapDriver>, expected: Option<Record>) -> usize {
    store.calls();
    assert_eq!(near.retrieve_recent(&key()).await.unwrap(), expected);
    store.calls().len()
}

#[test]
fn recent_reads_of_one_record_cost_one_call() {
    block_on(async {
        let (store, near) = near();
        store.inner().put(key(), record(1));
        let clone = near.clone();
        assert_eq!(cost(&near, &store, Some(record(1))).await, 1);
        for _ in 0..10 {
            assert_eq!(cost(&clone, &store, Some(record(1))).await, 0);
        }
        // Through a trait object too.
        assert_eq!(cost(&DynDriver::new(near.clone()), &store, Some(record(1))).await, 0);
        store.calls();
        assert_eq!(near.retrieve(&key()).await.unwrap(), Some(record(1)));
        assert_eq!(store.operations(), [Operation::Retrieve], "retrieve asks the store");
    });
}

#[test]
fn answers_of_changes_are_kept() {
    block_on(async {
        let (store, near) = near();
        store.inner().put(key(), record(1));
        near.retrieve_recent(&key()).await.unwrap();
        let at = |number| Condition::Revision(revision(number));
        assert!(near.store(&key(), record(2), at(1)).await.unwrap().is_applied());
        assert_eq!(cost(&near, &store, Some(record(2))).await, 0);
        assert!(near.store_over(&key(), record(3), &record(2)).await.unwrap().is_applied());
        assert_eq!(cost(&near, &store, Some(record(3))).await, 0);
        let deadline = Some(Timestamp::from_millis(9_000_000_000_000));
        let touch = Touch { from: revision(3), to: revision(4), deadline };
        assert!(near.touch(&key(), touch).await.unwrap());
        let touched = Record { expires: deadline, revision: revision(4), ..record(3) };
        assert_eq!(cost(&near, &store, Some(touched.clone())).await, 0);

        // Another process changes it. The conflict hands back what is live, and so does the cache.
        store.inner().put(key(), record(5));
        assert_eq!(cost(&near, &store, Some(touched)).await, 0, "within the bound");
        let conflict = near.store(&key(), record(6), at(4)).await.unwrap();
        assert_eq!(conflict, Change::Conflict(Some(record(5))));
        assert_eq!(cost(&near, &store, Some(record(5))).await, 0);

        // Another process removes it.
        store.inner().put(key(), None);
        assert_eq!(near.store(&key(), record(6), at(5)).await.unwrap(), Change::Conflict(None));
        assert_eq!(cost(&near, &store, None).await, 1);
        assert_eq!(cost(&near, &store, None).await, 1, "a missing record is not cached");
    });
}

#[test]
fn repeated_change_keeps_what_the_store_has() {
    block_on(async {
        let (store, near) = near();
        store.inner().put(key(), record(2));
        near.retrieve_recent(&key()).await.unwrap();
        // The same revision with other data: the store keeps the record that it has (B21, B35).
        let other = Record { data: vec![9].into(), ..record(2) };
        for condition in [Condition::Absent, Condition::Revision(revision(1))] {
            assert!(near.store(&key(), other.clone(), condition).await.unwrap().is_applied());
            assert_eq!(cost(&near, &store, Some(record(2))).await, 1, "the store is asked");
        }
        let touch = Touch { from: revision(2), to: revision(2), deadline: Some(Timestamp::EPOCH) };
        assert!(near.touch(&key(), touch).await.unwrap());
        assert_eq!(cost(&near, &store, Some(record(2))).await, 1);
    });
}

#[test]
fn unknown_outcome_keeps_the_record_out() {
    block_on(async {
        let (store, near) = near();
        for fault in [|| Fault::LoseCall, || Fault::LoseAnswer] {
            store.inner().put(key(), record(1));
            near.retrieve_recent(&key()).await.unwrap();
            store.plan(Operation::Remove, 1, fault());
            let lost = near.remove(&key(), Condition::Any).await.unwrap_err();
            assert_eq!(lost.applied(), session_core::Applied::Unknown);
            let found = store.inner().stored(&key());
            for _ in 0..3 {
                assert_eq!(cost(&near, &store, found.clone()).await, 1, "the store is asked each time");
            }
        }
        // The store makes a dropped change later.
        let (store, near) = self::near();
        store.inner().put(key(), record(1));
        near.retrieve_recent(&key()).await.unwrap();
        store.close_gates();
        store.detach_dropped(true);
        {
            let key = key();
            assert!(poll_once(pin!(near.remove(&key, Condition::Any))).is_none());
        }
        store.open_gates();
        assert_eq!(store.late(), 1);
        assert_eq!(near.retrieve_recent(&key()).await.unwrap(), Some(record(1)));
        store.apply_late().await.unwrap();
        assert_eq!(near.retrieve_recent(&key()).await.unwrap(), None, "never served once it has ended");
    });
}

#[tokio::test]
async fn dropped_change_keeps_the_record_out() {
    let (store, near) = near();
    store.inner().put(key(), record(1));
    near.retrieve_recent(&key()).await.unwrap();
    store.plan(Operation::Remove, 1, Fault::Stall);
    let key = key();
    let call = near.remove(&key, Condition::Any);
    assert!(tokio::time::timeout(Duration::from_millis(20), call).await.is_err());
    assert_eq!(cost(&near, &store, None).await, 1);
}

#[test]
fn expired_record_is_not_served() {
    block_on(async {
        let clock = TestClock::new(Timestamp::from_millis(1_000));
        let store = Probe::new(MapDriver::new(clock.clone()));
        let near = NearCache::open(store.clone(), LONG).unwrap();
        let expires = Some(Timestamp::from_millis(2_000));
        store.inner().put(key(), Record { expires, ..record(1) });
        near.retrieve_recent(&key()).await.unwrap();
        clock.set(Timestamp::from_millis(1_999));
        assert_eq!(cost(&near, &store, Some(Record { expires, ..record(1) })).await, 0);
        clock.set(Timestamp::from_millis(2_000));
        assert_eq!(cost(&near, &store, None).await, 1);
        // Another process has extended it.
        let later = Record { expires: None, ..record(2) };
        store.inner().put(key(), later.clone());
        assert_eq!(cost(&near, &store, Some(later)).await, 1);
    });
}

#[test]
fn every_other_call_reaches_the_store() {
    /// Notes `store_over`, which looks like a store to the driver inside.
    #[derive(Clone)]
    struct Over(Probe<MapDriver>, Arc<AtomicUsize>);
    impl Driver for Over {
        async fn store_over(&self, key: &Key, record: Record, loaded: &Record) -> Result<Change> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.store_over(key, record, loaded).await
        }
        forward!(0: retrieve store remove traverse touch purge flush close capabilities clock);
    }
    block_on(async {
        let (store, over) = (Probe::new(MapDriver::new(SystemClock)), Arc::default());
        let near = NearCache::open(Over(store.clone(), Arc::clone(&over)), LONG).unwrap();
        let _ = near.store(&key(), record(1), Condition::Any).await.unwrap();
        let _ = near.store_over(&key(), record(2), &record(1)).await.unwrap();
        assert_eq!(over.load(Ordering::Relaxed), 1);
        let page = near.traverse(&Prefix::SESSION, Cursor::start(), 7).await.unwrap();
        assert_eq!((page.entries.len(), near.purge(9).await.unwrap().removed), (1, 0));
        near.flush().await.unwrap();
        near.close().await.unwrap();
        let calls = store.calls();
        use Operation::{Close, Flush, Purge, Store, Traverse};
        assert_eq!(
            calls.iter().map(|call| call.operation).collect::<Vec<_>>(),
            [Store, Store, Traverse, Purge, Flush, Close]
        );
        assert_eq!((calls[2].limit, calls[3].limit), (Some(7), Some(9)));
        assert_eq!(near.capabilities(), store.capabilities().staleness(LONG));
        assert_eq!(near.retrieve_recent(&key()).await.unwrap_err().kind(), StoreErrorKind::Closed);
    });
}

#[test]
fn wrong_options_are_refused() {
    let refused = |config: NearConfig| {
        let refused = NearCache::open(MapDriver::new(SystemClock), config).unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Misconfigured);
        refused.to_string()
    };
    for staleness in [Duration::ZERO, Duration::from_micros(900), Duration::from_secs(61)] {
        assert!(refused(staleness.into()).contains("staleness is not between 1 ms and 60 s"));
    }
    assert!(refused(NearConfig::default().max_entries(0)).contains("max_entries is zero"));
    assert!(refused(NearConfig::default().max_bytes(1_000)).contains("max_bytes is less than 64 KiB"));
}

#[test]
fn forked_child_asks_the_store() {
    const TEST: &str = "calls::forked_child_asks_the_store";
    if child_args(TEST).is_none() {
        let lines = ChildProcess::spawn(TEST, &[]).finish();
        return assert!(lines.iter().any(|line| line == "asked 1 and 1 times"), "{lines:?}");
    }
    let (store, near) = near();
    store.inner().put(key(), record(1));
    block_on(near.retrieve_recent(&key())).unwrap();
    let counts = forked(|| {
        block_on(async {
            let first = cost(&near, &store, Some(record(1))).await;
            // The child changes its own copy of the map.
            let _ = near.remove(&key(), Condition::Any).await.unwrap();
            format!("asked {first} and {} times", cost(&near, &store, None).await)
        })
    });
    assert_eq!(block_on(cost(&near, &store, Some(record(1)))), 0, "the parent's cache is as it was");
    say(&counts);
}
