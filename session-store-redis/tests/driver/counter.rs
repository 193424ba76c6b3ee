//! Counters incremented by compare-and-swap, with the outcome of each step.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use session_core::{Applied, Change, Condition, Driver, Key, Record, Revision, StoreError};
use session_store_redis::RedisStore;
use tokio::task::JoinHandle;

/// Tasks that increment one counter each until [`end`](Self::end).
pub(crate) struct Counters {
    stop: Arc<AtomicBool>,
    steps: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<Counter>>,
}

impl Counters {
    pub(crate) async fn begin(store: &RedisStore, keys: impl IntoIterator<Item = Key>) -> Self {
        let (stop, steps) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut tasks = Vec::new();
        for key in keys {
            let mut counter = Counter::create(store.clone(), key).await;
            let (stop, steps) = (Arc::clone(&stop), Arc::clone(&steps));
            tasks.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    if counter.step().await {
                        steps.fetch_add(1, Ordering::Relaxed);
                    }
                }
                counter
            }));
        }
        Self { stop, steps, tasks }
    }

    /// Waits until `more` steps in all were acknowledged.
    pub(crate) async fn steps(&self, more: u64) {
        let from = self.steps.load(Ordering::Relaxed);
        for _ in 0..6_000 {
            if self.steps.load(Ordering::Relaxed) >= from + more {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("fewer than {more} steps within a minute");
    }

    /// Stops and reads each counter.
    pub(crate) async fn end(self) -> Vec<Counter> {
        self.stop.store(true, Ordering::Relaxed);
        let mut counters = Vec::new();
        for task in self.tasks {
            let mut counter = task.await.unwrap();
            let there = crate::recovered(async || counter.store.retrieve(&counter.key).await).await;
            counter.look_at(&there.expect("a counter is never removed"));
            counters.push(counter);
        }
        counters
    }
}

/// A counter with one writer, which therefore knows the stored value.
pub(crate) struct Counter {
    store: RedisStore,
    pub(crate) key: Key,
    known: Record,
    /// Whether the answer of the last step was lost.
    unsure: bool,
    /// The revisions of all steps with a lost answer. One may reach the server after the counter was read.
    ghosts: Vec<Revision>,
    /// How many steps were acknowledged or found in the store.
    pub(crate) made: u64,
    /// How many of these a failover lost.
    pub(crate) lost: u64,
    pub(crate) errors: u64,
    pub(crate) unknown: u64,
}

impl Counter {
    async fn create(store: RedisStore, key: Key) -> Self {
        let known = Self::record(0);
        crate::put(&store, &key, known.clone(), Condition::Absent).await;
        Self { store, key, known, unsure: false, ghosts: Vec::new(), made: 0, lost: 0, errors: 0, unknown: 0 }
    }

    fn record(value: u64) -> Record {
        Record::new(value.to_le_bytes().to_vec(), None, Revision::random().unwrap())
    }

    fn value(record: &Record) -> u64 {
        u64::from_le_bytes(record.data[..].try_into().unwrap())
    }

    /// The stored value.
    pub(crate) fn stored(&self) -> u64 {
        Self::value(&self.known)
    }

    /// Adds one as the session layer does: after an unknown effect it reads first. Returns whether the step was made.
    async fn step(&mut self) -> bool {
        if self.unsure {
            match self.store.retrieve(&self.key).await {
                Ok(there) => return self.look_at(&there.expect("a counter is never removed")),
                Err(error) => self.failed(&error).await,
            }
            return false;
        }
        let next = Self::record(Self::value(&self.known) + 1);
        match self.store.store_over(&self.key, next.clone(), &self.known).await {
            Ok(Change::Applied) => {
                self.known = next;
                self.made += 1;
                true
            }
            // There is no other writer, so the conflict is with an earlier write of this one.
            Ok(Change::Conflict(Some(there))) => {
                self.look_at(&there);
                false
            }
            Ok(Change::Conflict(None)) => panic!("the counter is gone"),
            Err(error) => {
                if error.applied() == Applied::Unknown {
                    self.unknown += 1;
                    self.unsure = true;
                    self.ghosts.push(next.revision);
                }
                self.failed(&error).await;
                false
            }
        }
    }

    /// Returns whether the step with the lost answer was made.
    fn look_at(&mut self, there: &Record) -> bool {
        self.unsure = false;
        if there.revision == self.known.revision {
            return false;
        }
        let (was, is) = (Self::value(&self.known), Self::value(there));
        self.known = there.clone();
        if is == was + 1 && self.ghosts.contains(&there.revision) {
            self.made += 1;
            return true;
        }
        // A failover lost steps.
        assert!(is <= was, "{is} steps are stored and {was} were made");
        self.lost += was - is;
        false
    }

    async fn failed(&mut self, error: &StoreError) {
        assert!(error.is_retryable(), "{error:?}");
        self.errors += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Fails unless exactly the acknowledged steps are stored.
pub(crate) fn all_there(counters: &[Counter]) {
    for counter in counters {
        let (made, stored) = (counter.made, counter.stored());
        assert_eq!((made, counter.lost), (stored, 0), "made and stored, lost: {}", counter.key.as_str());
    }
}
