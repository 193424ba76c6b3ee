//! Every wrapper passes every call on exactly once, with its arguments.

use std::sync::{Arc, Mutex};

use session_core::{
    Blocking, BlockingDriver, Capabilities, Change, Clock, Condition, Cursor, Driver, DynDriver, Entry, Key,
    Page, Prefix, Purged, Record, Result, TestClock, Timestamp, Touch,
};

use super::{key, record};

/// Keeps a list of its calls, and answers each one with a value that no other method returns.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

impl Recorder {
    fn note(&self, call: String) {
        self.0.lock().unwrap().push(call);
    }
}

impl BlockingDriver for Recorder {
    fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        self.note(format!("retrieve {}", key.as_str()));
        Ok(Some(record(1)))
    }
    fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        self.note(format!("store {} {condition:?}", key.as_str()));
        Ok(Change::Conflict(Some(record)))
    }
    fn remove(&self, key: &Key, condition: Condition) -> Result<Change> {
        self.note(format!("remove {} {condition:?}", key.as_str()));
        Ok(Change::Conflict(None))
    }
    fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        self.note(format!("traverse {prefix} {limit}"));
        Ok(Page { entries: vec![Entry::new(key("alice"))], next: Some(from) })
    }
    fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        self.note(format!("touch {} {}", key.as_str(), touch == TOUCH));
        Ok(true)
    }
    fn purge(&self, limit: usize) -> Result<Purged> {
        self.note(format!("purge {limit}"));
        Ok(Purged { removed: 5, more: true })
    }
    fn flush(&self) -> Result<()> {
        self.note("flush".to_owned());
        Ok(())
    }
    fn close(&self) -> Result<()> {
        self.note("close".to_owned());
        Ok(())
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::none().max_record_bytes(Some(43))
    }
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(TestClock::new(Timestamp::from_millis(44)))
    }
}

struct Wrapper<D> {
    inner: D,
}

impl<D: Driver> Driver for Wrapper<D> {
    session_core::forward!(inner: retrieve store store_over remove traverse touch purge flush close capabilities clock);
}

const TOUCH: Touch = Touch {
    from: session_core::Revision::from_bytes([1; 8]),
    to: session_core::Revision::from_bytes([2; 8]),
    deadline: Some(Timestamp::from_millis(3)),
};

async fn assert_forwards<D: Driver>(wrap: impl FnOnce(Recorder) -> D) {
    let recorder = Recorder::default();
    let (driver, alice) = (wrap(recorder.clone()), key("alice"));
    let cursor = Cursor::from_bytes(&b"here"[..]);
    assert_eq!(driver.retrieve(&alice).await.unwrap(), Some(record(1)));
    let stored = driver.store(&alice, record(2), Condition::Any).await.unwrap();
    assert_eq!(stored, Change::Conflict(Some(record(2))));
    assert_eq!(driver.remove(&alice, Condition::Absent).await.unwrap(), Change::Conflict(None));
    let page = driver.traverse(&Prefix::SESSION, cursor.clone(), 7).await.unwrap();
    assert_eq!((page.entries.len(), page.next), (1, Some(cursor)));
    assert!(driver.touch(&alice, TOUCH).await.unwrap());
    assert_eq!(driver.purge(9).await.unwrap(), Purged { removed: 5, more: true });
    driver.flush().await.unwrap();
    driver.close().await.unwrap();
    assert_eq!(driver.capabilities().max_record_bytes, Some(43));
    assert_eq!(driver.clock().now().as_millis(), 44);
    let expected = [
        "retrieve user:alice",
        "store user:alice Any",
        "remove user:alice Absent",
        "traverse session 7",
        "touch user:alice true",
        "purge 9",
        "flush",
        "close",
    ];
    assert_eq!(*recorder.0.lock().unwrap(), expected);
}

#[tokio::test]
async fn forward_passes_every_call_on_once() {
    assert_forwards(|recorder| Wrapper { inner: Blocking::new(recorder) }).await;
}

#[tokio::test]
async fn dyn_driver_passes_every_call_on_once() {
    assert_forwards(|recorder| DynDriver::new(Blocking::new(recorder))).await;
    assert_forwards(|recorder| DynDriver::new(DynDriver::new(Blocking::new(recorder)))).await;
}

#[tokio::test]
async fn blocking_passes_every_call_on_once() {
    assert_forwards(Blocking::new).await;
}
