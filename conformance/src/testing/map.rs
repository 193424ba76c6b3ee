//! The reference: the simplest driver that follows SPEC.md.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use session_core::{
    Capabilities, Change, ChangeRequest, Clock, Condition, Cursor, Decision, Driver, Entry, ExpiryMode,
    Found, Gate, Key, Operation, Page, Prefix, Purged, Record, Result, Timestamp, Touch, yield_now,
};

type Records = BTreeMap<Key, Record>;

/// A map behind a lock, by any clock. Clones share the map. It keeps every clause up to level concurrent, and those of
/// level session.
#[derive(Clone, Debug)]
pub struct MapDriver {
    records: Arc<Mutex<Records>>,
    gate: Arc<Gate>,
    clock: Arc<dyn Clock>,
}

impl MapDriver {
    /// An empty map.
    pub fn new(clock: impl Clock) -> Self {
        Self::with_clock(Arc::new(clock))
    }

    /// An empty map, by a shared clock.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { records: Arc::default(), gate: Arc::default(), clock }
    }

    /// All live records.
    #[must_use]
    pub fn all(&self) -> BTreeMap<Key, Record> {
        let now = self.clock.now();
        let records = self.lock();
        let live = records.iter().filter(|(_, record)| record.is_live(now));
        live.map(|(key, record)| (key.clone(), record.clone())).collect()
    }

    /// The record under `key`, also after its deadline.
    #[must_use]
    pub fn stored(&self, key: &Key) -> Option<Record> {
        self.lock().get(key).cloned()
    }

    /// Puts a record into the map without any rule, as another program would. `None` takes it out.
    pub fn put(&self, key: Key, record: impl Into<Option<Record>>) {
        match record.into() {
            Some(record) => drop(self.lock().insert(key, record)),
            None => drop(self.lock().remove(&key)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, operation: Operation) -> Result<(MutexGuard<'_, Records>, Timestamp)> {
        self.gate.check(operation)?;
        Ok((self.lock(), self.clock.now()))
    }

    /// Makes a change of any kind. A touch that is refused is a conflict.
    ///
    /// # Errors
    /// `Closed` after [`close`](Driver::close).
    pub fn change(&self, key: &Key, request: ChangeRequest) -> Result<Change> {
        let (mut records, now) = self.enter(request.operation())?;
        let stored = records.get(key);
        match (request.decide(Found::of(stored, now), now), request) {
            (Decision::Write, ChangeRequest::Store { record, .. }) => {
                drop(records.insert(key.clone(), record))
            }
            (Decision::Write, ChangeRequest::Touch(touch)) => {
                if let Some(record) = records.get_mut(key) {
                    (record.revision, record.expires) = (touch.to, touch.deadline);
                }
            }
            (Decision::Delete, _) => drop(records.remove(key)),
            (Decision::Conflict, _) => {
                return Ok(Change::Conflict(stored.filter(|record| record.is_live(now)).cloned()));
            }
            _ => {}
        }
        Ok(Change::Applied)
    }

    /// A page of [`traverse`](Driver::traverse), without letting other tasks run.
    ///
    /// # Errors
    /// As [`traverse`](Driver::traverse).
    pub fn page(&self, prefix: &Prefix, from: &Cursor, limit: usize) -> Result<Page> {
        let (records, now) = self.enter(Operation::Traverse)?;
        let after = from.key(prefix)?;
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let live = records
            .range((start, Bound::Unbounded))
            .filter(|(key, record)| key.is_in(prefix) && record.is_live(now));
        let mut entries: Vec<Entry> = live
            .take(limit.max(1).saturating_add(1))
            .map(|(key, record)| {
                let entry =
                    Entry::new(key.clone()).with_deadline(record.expires).with_revision(record.revision);
                entry.with_size(record.data.len() as u64)
            })
            .collect();
        let more = entries.len() > limit.max(1);
        if more {
            entries.pop();
        }
        let next = entries.last().filter(|_| more).map(|entry| Cursor::after(&entry.key));
        Ok(Page { entries, next })
    }
}

impl Driver for MapDriver {
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

    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        Ok(self.change(key, ChangeRequest::Touch(touch))?.is_applied())
    }

    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        let page = self.page(prefix, &from, limit)?;
        if page.next.is_some() {
            yield_now().await;
        }
        Ok(page)
    }

    async fn purge(&self, limit: usize) -> Result<Purged> {
        let (mut records, now) = self.enter(Operation::Purge)?;
        let expired = records.iter().filter(|(_, record)| !record.is_live(now));
        let keys: Vec<Key> = expired.take(limit.saturating_add(1)).map(|(key, _)| key.clone()).collect();
        keys.iter().take(limit).for_each(|key| drop(records.remove(key)));
        Ok(Purged { removed: keys.len().min(limit) as u64, more: keys.len() > limit })
    }

    async fn flush(&self) -> Result<()> {
        self.gate.check(Operation::Flush)
    }

    async fn close(&self) -> Result<()> {
        let _ = self.gate.close();
        Ok(())
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::none().conditional(true).expiry(ExpiryMode::Caller).exactly_once(true).at_once(true)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }
}
