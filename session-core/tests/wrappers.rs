//! What wraps a driver hands every call on: behind a pointer, and from plain functions to futures.
#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

use std::sync::{Arc, Mutex};

use session_core::{
    Capabilities, Change, Clock, Condition, Cursor, Driver, DynDriver, Entry, Key, Page, Prefix, Purged,
    Record, Result, Revision, TestClock, Timestamp, Touch,
};

/// Writes down which of its methods was called, and answers with something that only that method would.
#[derive(Default)]
struct Recorder {
    calls: Mutex<Vec<&'static str>>,
}

impl Recorder {
    fn note(&self, call: &'static str) {
        self.calls.lock().unwrap().push(call);
    }
}

fn key() -> Key {
    Key::parse("user:alice").unwrap()
}

fn record(n: u8) -> Record {
    Record::new(vec![n], Some(Timestamp::from_millis(1_000)), Revision::from_bytes([n; 8]))
}

impl Driver for Recorder {
    async fn retrieve(&self, _: &Key) -> Result<Option<Record>> {
        self.note("retrieve");
        Ok(Some(record(1)))
    }
    async fn store(&self, _: &Key, record: Record, _: Condition) -> Result<Change> {
        self.note("store");
        Ok(Change::Conflict(Some(record)))
    }
    async fn remove(&self, _: &Key, _: Condition) -> Result<Change> {
        self.note("remove");
        Ok(Change::Conflict(None))
    }
    async fn traverse(&self, _: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        self.note("traverse");
        Ok(Page { entries: vec![Entry::new(key()).with_size(limit as u64)], next: Some(from) })
    }
    async fn touch(&self, _: &Key, _: Touch) -> Result<bool> {
        self.note("touch");
        Ok(true)
    }
    async fn purge(&self, limit: usize) -> Result<Purged> {
        self.note("purge");
        Ok(Purged { removed: limit as u64, more: true })
    }
    async fn flush(&self) -> Result<()> {
        self.note("flush");
        Ok(())
    }
    async fn close(&self) -> Result<()> {
        self.note("close");
        Ok(())
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::none().max_record_bytes(Some(43))
    }
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(TestClock::new(Timestamp::from_millis(44)))
    }
}

async fn every_call_arrives<D: Driver>(driver: &D, recorder: &Recorder) {
    let cursor = Cursor::from_bytes(&b"here"[..]);
    let (one, two) = (Revision::from_bytes([1; 8]), Revision::from_bytes([2; 8]));
    assert_eq!(driver.retrieve(&key()).await.unwrap(), Some(record(1)));
    assert_eq!(
        driver.store(&key(), record(2), Condition::Any).await.unwrap(),
        Change::Conflict(Some(record(2)))
    );
    assert_eq!(driver.remove(&key(), Condition::Absent).await.unwrap(), Change::Conflict(None));
    let page = driver.traverse(&Prefix::SESSION, cursor.clone(), 7).await.unwrap();
    assert_eq!((page.entries[0].size, page.next), (Some(7), Some(cursor)));
    assert!(driver.touch(&key(), Touch { from: one, to: two, deadline: None }).await.unwrap());
    assert_eq!(driver.purge(9).await.unwrap(), Purged { removed: 9, more: true });
    driver.flush().await.unwrap();
    driver.close().await.unwrap();
    assert_eq!(driver.capabilities().max_record_bytes, Some(43));
    assert_eq!(driver.clock().now().as_millis(), 44);
    let calls = std::mem::take(&mut *recorder.calls.lock().unwrap());
    assert_eq!(calls, ["retrieve", "store", "remove", "traverse", "touch", "purge", "flush", "close"]);
}

#[tokio::test]
async fn a_driver_behind_a_pointer_gets_every_call_once() {
    let recorder = Arc::new(Recorder::default());
    let behind: DynDriver = Arc::clone(&recorder) as DynDriver;
    every_call_arrives(&behind, &recorder).await;
    let twice: DynDriver = Arc::new(behind);
    every_call_arrives(&twice, &recorder).await;
}

/// On the blocking pool.
#[cfg(feature = "offload")]
mod pool {
    use std::collections::BTreeMap;

    use session_core::{BlockingDriver, DriverExt, OldDecision, StoreErrorKind, SystemClock};

    use super::*;

    /// The smallest driver there is, for the operations that have defaults.
    #[derive(Default)]
    struct Map(Mutex<BTreeMap<Key, Record>>);

    impl BlockingDriver for Map {
        fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
            Ok(self.0.lock().unwrap().get(key).cloned())
        }
        fn store(&self, key: &Key, record: Record, when: Condition) -> Result<Change> {
            let mut map = self.0.lock().unwrap();
            let there = map.get(key).cloned();
            match when.decide(there.as_ref().map(|record| record.revision), Some(record.revision)) {
                OldDecision::Conflict => return Ok(Change::Conflict(there)),
                OldDecision::AlreadyApplied => {}
                OldDecision::Apply => drop(map.insert(key.clone(), record)),
            }
            Ok(Change::Applied)
        }
        fn remove(&self, key: &Key, _: Condition) -> Result<Change> {
            match self.0.lock().unwrap().remove(key) {
                Some(_) => Ok(Change::Applied),
                None => Ok(Change::Conflict(None)),
            }
        }
        fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
            let after = std::str::from_utf8(from.as_bytes()).unwrap().to_owned();
            let map = self.0.lock().unwrap();
            let keys = map.keys().filter(|key| key.is_in(prefix) && key.as_str() > after.as_str());
            let entries: Vec<_> = keys.take(limit).cloned().map(Entry::new).collect();
            let next = entries.last().map(|entry| Cursor::from_bytes(entry.key.as_bytes().to_vec()));
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
    async fn a_blocking_driver_on_the_pool_keeps_the_contract_and_its_defaults() {
        let driver = session_core::Blocking::new(Map::default());
        let sessions: Vec<_> = (0..600).map(|n| Key::parse(&format!("session:{n:03}")).unwrap()).collect();
        for key in &sessions {
            assert_eq!(driver.store(key, record(1), Condition::Absent).await.unwrap(), Change::Applied);
        }
        assert_eq!(driver.store(&key(), record(1), Condition::Absent).await.unwrap(), Change::Applied);
        let (one, two, three) = (record(1).revision, record(2).revision, record(3).revision);
        assert!(driver.touch(&key(), Touch { from: one, to: two, deadline: None }).await.unwrap());
        assert!(
            driver.touch(&key(), Touch { from: one, to: two, deadline: None }).await.unwrap(),
            "a touch is safe to repeat"
        );
        assert!(!driver.touch(&key(), Touch { from: one, to: three, deadline: None }).await.unwrap());
        assert!(
            !driver
                .touch(&Key::parse("user:bob").unwrap(), Touch { from: one, to: two, deadline: None })
                .await
                .unwrap()
        );
        let touched = driver.retrieve(&key()).await.unwrap().unwrap();
        assert_eq!((touched.revision, touched.expires, &touched.data[..]), (two, None, &[1][..]));
        assert_eq!(driver.count(&Prefix::SESSION).await.unwrap(), 600);
        assert_eq!(driver.clear(&Prefix::SESSION).await.unwrap(), 600);
        assert_eq!(driver.count(&Prefix::SESSION).await.unwrap(), 0);
        assert!(driver.retrieve(&key()).await.unwrap().is_some(), "other prefixes stay");
        assert_eq!(driver.purge(1).await.unwrap_err().kind(), StoreErrorKind::Unsupported);
        driver.close().await.unwrap();
        assert!(driver.clone().get_ref().0.lock().unwrap().len() == 1);
    }

    #[tokio::test]
    async fn a_panic_of_a_blocking_driver_is_an_error_of_unknown_effect() {
        struct Panics;
        impl BlockingDriver for Panics {
            fn retrieve(&self, _: &Key) -> Result<Option<Record>> {
                panic!("on purpose")
            }
            fn store(&self, _: &Key, _: Record, _: Condition) -> Result<Change> {
                panic!("on purpose")
            }
            fn remove(&self, _: &Key, _: Condition) -> Result<Change> {
                Ok(Change::Applied)
            }
            fn traverse(&self, _: &Prefix, _: Cursor, _: usize) -> Result<Page> {
                Ok(Page::last(Vec::new()))
            }
            fn capabilities(&self) -> Capabilities {
                Capabilities::none()
            }
            fn clock(&self) -> Arc<dyn Clock> {
                SystemClock::shared()
            }
        }
        let error =
            session_core::Blocking::new(Panics).store(&key(), record(1), Condition::Any).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.applied()),
            (StoreErrorKind::Backend, session_core::Applied::Unknown)
        );
    }
}
