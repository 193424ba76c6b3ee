//! A blocking driver with the required methods only, on worker threads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use session_core::{
    Blocking, BlockingDriver, Capabilities, Change, Clock, Condition, Cursor, Decision, Driver, DriverExt,
    Entry, Found, Key, Page, Prefix, Record, Result, StoreErrorKind, SystemClock, Touch, decide_store,
};

use super::{key, record};

#[derive(Default)]
pub(crate) struct Map(Mutex<BTreeMap<Key, Record>>);

impl BlockingDriver for Map {
    fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        Ok(self.0.lock().unwrap().get(key).cloned())
    }
    fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        let mut map = self.0.lock().unwrap();
        let live = map.get(key).cloned();
        let found = Found::of(live.as_ref(), self.clock().now());
        Ok(match decide_store(found, condition, record.revision, true) {
            Decision::Write => {
                map.insert(key.clone(), record);
                Change::Applied
            }
            Decision::AlreadyApplied => Change::Applied,
            _ => Change::Conflict(live),
        })
    }
    fn remove(&self, key: &Key, _: Condition) -> Result<Change> {
        Ok(self.0.lock().unwrap().remove(key).map_or(Change::Conflict(None), |_| Change::Applied))
    }
    fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        let after = from.key(prefix)?;
        let map = self.0.lock().unwrap();
        let keys = map.keys().filter(|key| key.is_in(prefix) && Some(*key) > after.as_ref());
        let entries: Vec<_> = keys.take(limit).cloned().map(Entry::new).collect();
        let next = entries.last().map(|entry| Cursor::after(&entry.key));
        Ok(Page { entries, next })
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::none().conditional(true)
    }
    fn clock(&self) -> Arc<dyn Clock> {
        SystemClock::shared()
    }
}

#[tokio::test]
async fn default_methods_keep_the_contract() {
    let driver = Blocking::new(Map::default());
    for n in 0..600 {
        let key = Key::parse(&format!("session:{n:03}")).unwrap();
        assert_eq!(driver.store(&key, record(1), Condition::Absent).await.unwrap(), Change::Applied);
    }
    let alice = key("alice");
    assert_eq!(driver.store(&alice, record(1), Condition::Absent).await.unwrap(), Change::Applied);
    let (one, two, three) = (record(1).revision, record(2).revision, record(3).revision);
    let touch = Touch { from: one, to: two, deadline: None };
    assert!(driver.touch(&alice, touch).await.unwrap());
    assert!(driver.touch(&alice, touch).await.unwrap(), "a repeated touch is applied");
    assert!(!driver.touch(&alice, Touch { to: three, ..touch }).await.unwrap());
    assert!(!driver.touch(&key("bob"), touch).await.unwrap());
    let touched = driver.retrieve(&alice).await.unwrap().unwrap();
    assert_eq!((touched.revision, touched.expires, &touched.data[..]), (two, None, &[1][..]));
    assert_eq!(driver.count(&Prefix::SESSION).await.unwrap(), 600);
    assert_eq!(driver.clear(&Prefix::SESSION).await.unwrap(), 600);
    assert_eq!(driver.count(&Prefix::SESSION).await.unwrap(), 0);
    assert!(driver.retrieve(&alice).await.unwrap().is_some(), "other prefixes stay");
    assert_eq!(driver.purge(1).await.unwrap_err().kind(), StoreErrorKind::Unsupported);
    driver.close().await.unwrap();
    assert_eq!(driver.clone().get_ref().0.lock().unwrap().len(), 1);
    assert_eq!(driver.retrieve(&alice).await.unwrap_err().kind(), StoreErrorKind::Closed);
    driver.close().await.unwrap();
}
