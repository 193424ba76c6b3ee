#![doc = include_str!("../README.md")]

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use session_core::{
    Capabilities, Change, Clock, Condition, Cursor, Driver, Entry, Key, OldDecision, Operation, Page, Prefix,
    Record, Result, StoreError, StoreErrorKind,
};

/// A sorted map behind a mutex. Clones are handles on the same one.
#[derive(Clone, Debug)]
pub struct Shelf {
    /// `None` once it was closed.
    records: Arc<Mutex<Option<BTreeMap<Key, Record>>>>,
    clock: Arc<dyn Clock>,
}

impl Shelf {
    /// An empty shelf, which judges deadlines by `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { records: Arc::new(Mutex::new(Some(BTreeMap::new()))), clock }
    }

    // No call panics or waits while it holds the lock, so that a poisoned one still guards a whole map.
    fn lock(&self) -> MutexGuard<'_, Option<BTreeMap<Key, Record>>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides and makes a change under one lock. `new` is what a store writes, and `None` for a removal.
    fn change(
        &self,
        operation: Operation,
        key: &Key,
        new: Option<Record>,
        when: Condition,
    ) -> Result<Change> {
        let now = self.clock.now();
        let mut guard = self.lock();
        let records = guard.as_mut().ok_or_else(|| StoreError::closed(operation))?;
        let live = records.get(key).filter(|record| record.is_live(now));
        if new.is_none() && when == Condition::Any && live.is_none() {
            return Ok(Change::Conflict(None));
        }
        let offered = new.as_ref().map(|record| record.revision);
        match when.decide(live.map(|record| record.revision), offered) {
            OldDecision::AlreadyApplied => return Ok(Change::Applied),
            OldDecision::Conflict => return Ok(Change::Conflict(live.cloned())),
            OldDecision::Apply => {}
        }
        // What is past its deadline already acts as a removal.
        match new.filter(|record| record.is_live(now)) {
            Some(record) => records.insert(key.clone(), record),
            None => records.remove(key),
        };
        Ok(Change::Applied)
    }
}

impl Driver for Shelf {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        let now = self.clock.now();
        let guard = self.lock();
        let records = guard.as_ref().ok_or_else(|| StoreError::closed(Operation::Retrieve))?;
        Ok(records.get(key).filter(|record| record.is_live(now)).cloned())
    }

    async fn store(&self, key: &Key, record: Record, when: Condition) -> Result<Change> {
        self.change(Operation::Store, key, Some(record), when)
    }

    async fn remove(&self, key: &Key, when: Condition) -> Result<Change> {
        self.change(Operation::Remove, key, None, when)
    }

    /// In the order of the keys; a cursor is the last key that was looked at.
    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        let now = self.clock.now();
        let guard = self.lock();
        let records = guard.as_ref().ok_or_else(|| StoreError::closed(Operation::Traverse))?;
        let after = read_cursor(&from, prefix)?;
        let start = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut entries = Vec::new();
        let mut last: Option<&Key> = None;
        for (key, record) in records.range((start, Bound::Unbounded)).filter(|(key, _)| key.is_in(prefix)) {
            if entries.len() >= limit.max(1) {
                let next = last.map(|key| Cursor::from_bytes(key.as_bytes().to_vec()));
                return Ok(Page { entries, next });
            }
            last = Some(key);
            if record.is_live(now) {
                let entry = Entry::new(key.clone()).with_deadline(record.expires);
                entries.push(entry.with_revision(record.revision).with_size(record.data.len() as u64));
            }
        }
        Ok(Page::last(entries))
    }

    /// Every call on every handle is `Closed` from now on, and the data is gone.
    async fn close(&self) -> Result<()> {
        *self.lock() = None;
        Ok(())
    }

    async fn flush(&self) -> Result<()> {
        self.lock().as_ref().map(|_| ()).ok_or_else(|| StoreError::closed(Operation::Flush))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::none().conditional(true).exactly_once(true)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }
}

/// The key after which a traversal goes on. Cursors come from anywhere, so that nothing is taken for granted.
fn read_cursor(cursor: &Cursor, prefix: &Prefix) -> Result<Option<Key>> {
    if cursor.is_start() {
        return Ok(None);
    }
    let key = std::str::from_utf8(cursor.as_bytes()).ok().and_then(|text| Key::parse(text).ok());
    key.filter(|key| key.is_in(prefix))
        .map(Some)
        .ok_or_else(|| StoreError::new(StoreErrorKind::InvalidCursor, Operation::Traverse))
}
