#![doc = include_str!("../README.md")]

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use session_core::{
    Capabilities, Change, ChangeRequest, Clock, Condition, Cursor, Decision, Driver, Entry, Found, Gate, Key,
    Operation, Page, Prefix, Purged, Record, Result, Timestamp, yield_now,
};

type Records = BTreeMap<Key, Record>;

/// A sorted map behind a mutex. Clones share it.
#[derive(Clone, Debug)]
pub struct MapStore {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct Shared {
    records: Mutex<Records>,
    /// Checked under the mutex, so that no call runs after `close` has returned.
    gate: Gate,
}

impl MapStore {
    /// An empty store that compares deadlines with `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { shared: Arc::default(), clock }
    }

    /// Every call begins here: the store is open, its map is locked, and the time is read once.
    fn enter(&self, operation: Operation) -> Result<(MutexGuard<'_, Records>, Timestamp)> {
        // No call leaves the map half changed, so a poisoned mutex is harmless.
        let records = self.shared.records.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.gate.check(operation)?;
        Ok((records, self.clock.now()))
    }

    /// Stores and removals differ only in their requests. `decide` compares; the mutex makes both steps atomic.
    fn change(&self, key: &Key, request: ChangeRequest) -> Result<Change> {
        let (mut records, now) = self.enter(request.operation())?;
        let stored = records.get(key);
        match (request.decide(Found::of(stored, now), now), request) {
            (Decision::Write, ChangeRequest::Store { record, .. }) => {
                records.insert(key.clone(), record);
            }
            (Decision::Delete, _) => {
                records.remove(key);
            }
            (Decision::Conflict, _) => {
                return Ok(Change::Conflict(stored.filter(|record| record.is_live(now)).cloned()));
            }
            // `AlreadyApplied` and `AlreadyAbsent` change nothing. A map has no damaged records, and the default
            // `touch` calls `store`, so the other cases do not occur.
            _ => {}
        }
        Ok(Change::Applied)
    }

    fn page(&self, prefix: &Prefix, from: &Cursor, limit: usize) -> Result<Page> {
        let (records, now) = self.enter(Operation::Traverse)?;
        let after = from.key(prefix)?;
        let rest = (after.as_ref().map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let live = records.range(rest).filter(|(key, record)| key.is_in(prefix) && record.is_live(now));
        let limit = limit.max(1);
        let entries: Vec<Entry> = live.take(limit).map(|(key, record)| entry(key, record)).collect();
        let next = entries.last().filter(|_| entries.len() == limit).map(|last| Cursor::after(&last.key));
        Ok(Page { entries, next })
    }
}

impl Driver for MapStore {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        let (records, now) = self.enter(Operation::Retrieve)?;
        Ok(records.get(key).filter(|record| record.is_live(now)).cloned())
    }

    async fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        self.change(key, ChangeRequest::Store { record, condition })
    }

    async fn remove(&self, key: &Key, condition: Condition) -> Result<Change> {
        self.change(key, ChangeRequest::Remove { condition })
    }

    /// Returns keys in their order. The cursor is the last key of the page.
    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        let page = self.page(prefix, &from, limit)?;
        if page.next.is_some() {
            // A walk over many records lets other tasks run.
            yield_now().await;
        }
        Ok(page)
    }

    async fn purge(&self, limit: usize) -> Result<Purged> {
        let (mut records, now) = self.enter(Operation::Purge)?;
        let expired = records.iter().filter(|(_, record)| !record.is_live(now));
        let keys: Vec<Key> = expired.map(|(key, _)| key.clone()).take(limit).collect();
        keys.iter().for_each(|key| drop(records.remove(key)));
        Ok(Purged { removed: keys.len() as u64, more: keys.len() == limit })
    }

    async fn flush(&self) -> Result<()> {
        self.enter(Operation::Flush).map(drop)
    }

    async fn close(&self) -> Result<()> {
        let mut records = self.shared.records.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.gate.close();
        records.clear();
        Ok(())
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::none().conditional(true).exactly_once(true).at_once(true)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }
}

/// The parts of an entry that cost nothing here.
fn entry(key: &Key, record: &Record) -> Entry {
    Entry::new(key.clone())
        .with_deadline(record.expires)
        .with_revision(record.revision)
        .with_size(record.data.len() as u64)
}
