//! A map behind a lock, with the core's rule.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use session_core::{
    Capabilities, Change, ChangeRequest, Clock, Condition, Cursor, Decision, Driver, Entry, Found, Key, Page,
    Prefix, Record, Result, TestClock,
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

    fn change(&self, key: &Key, request: &ChangeRequest) -> Change {
        let now = self.clock.now();
        let mut records = self.records.lock().unwrap();
        let stored = records.get(key).cloned();
        let found = stored.as_ref().map_or(Found::Nothing, |it| Found::at(it.expires, it.revision, now));
        match (request.decide(found, now), request) {
            (Decision::Write, ChangeRequest::Store { record, .. }) => {
                records.insert(key.clone(), record.clone());
                Change::Applied
            }
            (Decision::Delete, _) => {
                records.remove(key);
                Change::Applied
            }
            (Decision::Conflict, _) => Change::Conflict(stored.filter(|record| record.is_live(now))),
            _ => Change::Applied,
        }
    }
}

impl Driver for Map {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        let records = self.records.lock().unwrap();
        Ok(records.get(key).filter(|record| record.is_live(self.clock.now())).cloned())
    }

    async fn store(&self, key: &Key, record: Record, when: Condition) -> Result<Change> {
        Ok(self.change(key, &ChangeRequest::Store { record, condition: when }))
    }

    async fn remove(&self, key: &Key, when: Condition) -> Result<Change> {
        Ok(self.change(key, &ChangeRequest::Remove { condition: when }))
    }

    async fn traverse(&self, prefix: &Prefix, _: Cursor, _: usize) -> Result<Page> {
        let all = self.all();
        let entries = all.into_keys().filter(|key| key.is_in(prefix)).map(Entry::new).collect();
        Ok(Page::last(entries))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::none().conditional(true)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clock.clone())
    }
}
