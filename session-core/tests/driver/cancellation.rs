//! Calls of `Blocking` whose futures are dropped before or while they run.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use session_core::{
    Blocking, BlockingDriver, Capabilities, Change, Clock, Condition, Cursor, Driver, Key, Page, Prefix,
    Purged, Record, Result, StoreErrorKind, SystemClock, Touch,
};
use tokio_test::{assert_pending, task};

use super::{key, record};

/// Lists its calls. The first store or purge says that it began, and then waits for a signal.
#[derive(Debug)]
struct Slow {
    records: Mutex<BTreeMap<Key, Record>>,
    calls: Mutex<Vec<&'static str>>,
    begun: Sender<()>,
    go: Mutex<Option<Receiver<()>>>,
}

impl Slow {
    fn wait(&self) {
        let go = self.go.lock().unwrap().take();
        if let Some(go) = go {
            self.begun.send(()).unwrap();
            go.recv().unwrap();
        }
    }

    fn note(&self, call: &'static str) {
        self.calls.lock().unwrap().push(call);
    }
}

impl BlockingDriver for Slow {
    fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        self.note("retrieve");
        Ok(self.records.lock().unwrap().get(key).cloned())
    }
    fn store(&self, key: &Key, record: Record, _: Condition) -> Result<Change> {
        self.wait();
        self.note("store");
        self.records.lock().unwrap().insert(key.clone(), record);
        Ok(Change::Applied)
    }
    fn remove(&self, _: &Key, _: Condition) -> Result<Change> {
        self.note("remove");
        Ok(Change::Conflict(None))
    }
    fn traverse(&self, _: &Prefix, _: Cursor, _: usize) -> Result<Page> {
        panic!("on purpose")
    }
    fn purge(&self, _: usize) -> Result<Purged> {
        self.wait();
        self.note("purge");
        panic!("on purpose")
    }
    fn flush(&self) -> Result<()> {
        self.note("flush");
        Ok(())
    }
    fn close(&self) -> Result<()> {
        self.note("close");
        Ok(())
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::none()
    }
    fn clock(&self) -> Arc<dyn Clock> {
        SystemClock::shared()
    }
}

/// A driver, the signal that its first store began, and the signal that lets it continue.
fn slow(threads: usize) -> (Blocking<Slow>, Receiver<()>, Sender<()>) {
    let (begun, has_begun) = channel();
    let (go, waits) = channel();
    let slow =
        Slow { records: Mutex::default(), calls: Mutex::default(), begun, go: Mutex::new(Some(waits)) };
    (Blocking::with_threads(slow, threads), has_begun, go)
}

/// A driver whose first store, for alice, runs and was dropped, and the signal that lets it continue.
fn with_a_dropped_store(threads: usize) -> (Blocking<Slow>, Sender<()>) {
    let (driver, has_begun, go) = slow(threads);
    let alice = key("alice");
    let mut store = task::spawn(driver.store(&alice, record(1), Condition::Any));
    assert_pending!(store.poll());
    has_begun.recv().unwrap();
    drop(store);
    (driver, go)
}

fn calls(driver: &Blocking<Slow>) -> Vec<&'static str> {
    driver.get_ref().calls.lock().unwrap().clone()
}

#[tokio::test]
async fn later_calls_on_a_key_follow_its_dropped_change() {
    let (driver, go) = with_a_dropped_store(2);
    let (alice, clone) = (key("alice"), driver.clone());
    let mut store = task::spawn(clone.store(&alice, record(3), Condition::Any));
    assert_pending!(store.poll());
    // If the store had begun, it would end before this call, which waits for nothing.
    assert_eq!(driver.retrieve(&key("bob")).await.unwrap(), None);
    assert_pending!(store.poll());
    let mut retrieve = task::spawn(driver.retrieve(&alice));
    assert_pending!(retrieve.poll());
    go.send(()).unwrap();
    assert_eq!(store.await.unwrap(), Change::Applied);
    assert_eq!(retrieve.await.unwrap(), Some(record(3)));
}

#[tokio::test]
async fn calls_dropped_before_they_begin_are_not_made() {
    let (driver, go) = with_a_dropped_store(1);
    let bob = key("bob");
    let touch = Touch { from: record(1).revision, to: record(2).revision, deadline: None };
    assert_pending!(task::spawn(driver.retrieve(&bob)).poll());
    assert_pending!(task::spawn(driver.store(&bob, record(2), Condition::Any)).poll());
    assert_pending!(task::spawn(driver.remove(&bob, Condition::Any)).poll());
    assert_pending!(task::spawn(driver.touch(&bob, touch)).poll());
    assert_pending!(task::spawn(driver.traverse(&Prefix::SESSION, Cursor::start(), 1)).poll());
    assert_pending!(task::spawn(driver.purge(1)).poll());
    assert_pending!(task::spawn(driver.flush()).poll());
    go.send(()).unwrap();
    assert_eq!(driver.retrieve(&key("alice")).await.unwrap(), Some(record(1)));
    assert_eq!(driver.retrieve(&bob).await.unwrap(), None);
    driver.flush().await.unwrap();
    assert_eq!(calls(&driver), ["store", "retrieve", "retrieve", "flush"]);
}

#[tokio::test]
async fn close_waits_for_dropped_changes() {
    let (driver, go) = with_a_dropped_store(2);
    let mut close = task::spawn(driver.close());
    assert_pending!(close.poll());
    // If the close had begun, it would end before this call.
    assert_eq!(driver.flush().await.unwrap_err().kind(), StoreErrorKind::Closed);
    assert_pending!(close.poll());
    assert!(calls(&driver).is_empty());
    go.send(()).unwrap();
    close.await.unwrap();
    assert_eq!(calls(&driver), ["store", "close"]);
    // A purge is a change too, and one that panics has ended.
    let (driver, has_begun, go) = slow(2);
    let mut purge = task::spawn(driver.purge(1));
    assert_pending!(purge.poll());
    has_begun.recv().unwrap();
    drop(purge);
    let mut close = task::spawn(driver.close());
    assert_pending!(close.poll());
    go.send(()).unwrap();
    close.await.unwrap();
    assert_eq!(calls(&driver), ["purge", "close"]);
}

#[tokio::test]
async fn a_close_dropped_while_it_waits_is_not_made() {
    let (driver, go) = with_a_dropped_store(1);
    assert_pending!(task::spawn(driver.close()).poll());
    go.send(()).unwrap();
    assert_eq!(driver.flush().await.unwrap_err().kind(), StoreErrorKind::Closed);
    driver.close().await.unwrap();
    assert_eq!(calls(&driver), ["store", "close"]);
}
