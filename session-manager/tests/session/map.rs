//! The smallest driver that keeps the rules: a map behind a lock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use session_core::{
    Capabilities, Change, Clock, Condition, Cursor, Driver, Entry, Key, OldDecision, Page, Prefix, Record,
    Result, TestClock, Touch,
};

#[derive(Clone, Debug)]
pub(crate) struct Map {
    records: Arc<Mutex<BTreeMap<Key, Record>>>,
    clock: TestClock,
}

impl Map {
    pub(crate) fn new(clock: TestClock) -> Self {
        Self { records: Arc::default(), clock }
    }

    /// All live records.
    pub(crate) fn all(&self) -> BTreeMap<Key, Record> {
        let mut all = self.records.lock().unwrap().clone();
        all.retain(|_, record| record.is_live(self.clock.now()));
        all
    }

    /// Puts a record there, as another program would.
    pub(crate) fn put(&self, key: Key, record: Record) {
        self.records.lock().unwrap().insert(key, record);
    }

    fn change(&self, key: &Key, offered: Option<Record>, when: Condition) -> Change {
        let now = self.clock.now();
        let mut records = self.records.lock().unwrap();
        let live = records.get(key).filter(|record| record.is_live(now)).cloned();
        let revision = |record: &Option<Record>| record.as_ref().map(|record| record.revision);
        match when.decide(revision(&live), revision(&offered)) {
            OldDecision::Apply => {
                records.remove(key);
                let removal = offered.is_none();
                if let Some(record) = offered.filter(|record| record.is_live(now)) {
                    records.insert(key.clone(), record);
                }
                if removal && live.is_none() && when != Condition::Absent {
                    return Change::Conflict(None);
                }
                Change::Applied
            }
            OldDecision::AlreadyApplied => Change::Applied,
            OldDecision::Conflict => Change::Conflict(live),
        }
    }
}

impl Driver for Map {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        let records = self.records.lock().unwrap();
        Ok(records.get(key).filter(|record| record.is_live(self.clock.now())).cloned())
    }

    async fn store(&self, key: &Key, record: Record, when: Condition) -> Result<Change> {
        Ok(self.change(key, Some(record), when))
    }

    async fn remove(&self, key: &Key, when: Condition) -> Result<Change> {
        Ok(self.change(key, None, when))
    }

    async fn traverse(&self, prefix: &Prefix, _: Cursor, _: usize) -> Result<Page> {
        let all = self.all();
        let entries = all.into_keys().filter(|key| key.is_in(prefix)).map(Entry::new).collect();
        Ok(Page::last(entries))
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        let Touch { from, to, deadline } = touch;
        let mut records = self.records.lock().unwrap();
        match records.get_mut(key).filter(|record| record.is_live(self.clock.now())) {
            Some(record) if record.revision == to => Ok(true),
            Some(record) if record.revision == from => {
                record.revision = to;
                record.expires = deadline;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::none().conditional(true)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clock.clone())
    }
}
