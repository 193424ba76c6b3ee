//! A change whose future was dropped while it ran on the pool.
#![cfg(feature = "offload")]
#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

use std::collections::BTreeMap;
use std::sync::Mutex;

use session_core::{
    BlockingDriver, Capabilities, Change, Condition, Cursor, Driver, Key, Page, Prefix, Purged, Record,
    Result, Revision, Touch,
};

fn key() -> Key {
    Key::parse("user:alice").unwrap()
}

fn record(n: u8) -> Record {
    Record::new(vec![n], None, Revision::from_bytes([n; 8]))
}

/// A driver whose first store, or first purge if there is no store, goes on only once it is told to. It writes down what
/// it is called for.
#[derive(Debug)]
struct Slow {
    records: Mutex<BTreeMap<Key, Record>>,
    calls: Mutex<Vec<&'static str>>,
    begun: std::sync::mpsc::Sender<()>,
    go: Mutex<Option<std::sync::mpsc::Receiver<()>>>,
}

impl Slow {
    fn wait(&self) {
        let go = self.go.lock().unwrap().take();
        if let Some(go) = go {
            self.begun.send(()).unwrap();
            go.recv().unwrap();
        }
    }

    fn called(&self, call: &'static str) {
        self.calls.lock().unwrap().push(call);
    }
}

impl BlockingDriver for Slow {
    fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        self.called("retrieve");
        Ok(self.records.lock().unwrap().get(key).cloned())
    }
    fn store(&self, key: &Key, record: Record, _: Condition) -> Result<Change> {
        self.wait();
        self.called("store");
        self.records.lock().unwrap().insert(key.clone(), record);
        Ok(Change::Applied)
    }
    fn remove(&self, _: &Key, _: Condition) -> Result<Change> {
        self.called("remove");
        Ok(Change::Conflict(None))
    }
    fn traverse(&self, _: &Prefix, _: Cursor, _: usize) -> Result<Page> {
        self.called("traverse");
        Ok(Page::last(Vec::new()))
    }
    fn purge(&self, _: usize) -> Result<Purged> {
        self.wait();
        self.called("purge");
        Ok(Purged::default())
    }
    fn flush(&self) -> Result<()> {
        self.called("flush");
        Ok(())
    }
    fn close(&self) -> Result<()> {
        self.called("close");
        Ok(())
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::none()
    }
    fn clock(&self) -> std::sync::Arc<dyn session_core::Clock> {
        session_core::SystemClock::shared()
    }
}

/// Polls a future once, and gives its answer if it has one.
fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.poll(&mut context) {
        std::task::Poll::Ready(answer) => Some(answer),
        std::task::Poll::Pending => None,
    }
}

type Waits = std::sync::mpsc::Receiver<()>;
type Tells = std::sync::mpsc::Sender<()>;

/// A driver, what says that its first store has begun, and what lets it go on.
fn slow() -> (session_core::Blocking<Slow>, Waits, Tells) {
    let (begun, has_begun) = std::sync::mpsc::channel();
    let (tell, go) = std::sync::mpsc::channel();
    let slow = Slow { records: Mutex::default(), calls: Mutex::default(), begun, go: Mutex::new(Some(go)) };
    (session_core::Blocking::new(slow), has_begun, tell)
}

/// A driver whose first store has begun and was dropped, and what lets that store go on.
async fn with_a_dropped_store() -> (session_core::Blocking<Slow>, Tells) {
    let (driver, has_begun, tell) = slow();
    let key = key();
    {
        let mut first = std::pin::pin!(driver.store(&key, record(1), Condition::Any));
        assert!(poll_once(first.as_mut()).is_none());
        has_begun.recv().unwrap();
    }
    (driver, tell)
}

fn pool(threads: usize) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().max_blocking_threads(threads).build().unwrap()
}

#[test]
fn a_dropped_change_on_the_pool_never_comes_after_a_later_call_on_its_key() {
    pool(2).block_on(async {
        let (driver, tell) = with_a_dropped_store().await;
        let (key, other, clone) = (key(), Key::parse("user:bob").unwrap(), driver.clone());
        let mut store = std::pin::pin!(clone.store(&key, record(3), Condition::Any));
        assert!(poll_once(store.as_mut()).is_none());
        // Calls on other keys wait for nothing; were the store begun, it would be done before this one.
        assert_eq!(driver.retrieve(&other).await.unwrap(), None);
        assert!(poll_once(store.as_mut()).is_none());
        let mut retrieve = std::pin::pin!(driver.retrieve(&key));
        assert!(poll_once(retrieve.as_mut()).is_none());
        tell.send(()).unwrap();
        assert_eq!(retrieve.await.unwrap(), Some(record(1)));
        assert_eq!(store.await.unwrap(), Change::Applied);
        assert_eq!(driver.retrieve(&key).await.unwrap(), Some(record(3)));
    });
}

#[test]
fn a_change_that_is_dropped_before_the_pool_has_begun_it_is_not_made() {
    pool(1).block_on(async {
        let (driver, tell) = with_a_dropped_store().await;
        let other = Key::parse("user:bob").unwrap();
        {
            let store = std::pin::pin!(driver.store(&other, record(2), Condition::Any));
            assert!(poll_once(store).is_none());
        }
        tell.send(()).unwrap();
        assert_eq!(driver.retrieve(&key()).await.unwrap(), Some(record(1)));
        assert_eq!(driver.retrieve(&other).await.unwrap(), None);
    });
}

#[test]
fn no_call_that_is_dropped_before_the_pool_has_begun_it_is_made() {
    pool(1).block_on(async {
        let (driver, tell) = with_a_dropped_store().await;
        let other = Key::parse("user:bob").unwrap();
        let started =
            [
                poll_once(std::pin::pin!(driver.retrieve(&other))).is_some(),
                poll_once(std::pin::pin!(driver.traverse(&Prefix::SESSION, Cursor::start(), 1))).is_some(),
                poll_once(std::pin::pin!(driver.remove(&other, Condition::Any))).is_some(),
                poll_once(std::pin::pin!(driver.touch(
                    &other,
                    Touch { from: record(1).revision, to: record(2).revision, deadline: None }
                )))
                .is_some(),
                poll_once(std::pin::pin!(driver.purge(1))).is_some(),
                poll_once(std::pin::pin!(driver.flush())).is_some(),
            ];
        assert_eq!(started, [false; 6]);
        tell.send(()).unwrap();
        driver.flush().await.unwrap();
        assert_eq!(*driver.get_ref().calls.lock().unwrap(), ["store", "flush"]);
        // A close that waits for the pool, with no late call in its way.
        let (driver, has_begun, tell) = slow();
        let key = key();
        let mut store = std::pin::pin!(driver.store(&key, record(1), Condition::Any));
        assert!(poll_once(store.as_mut()).is_none());
        has_begun.recv().unwrap();
        assert!(poll_once(std::pin::pin!(driver.close())).is_none());
        tell.send(()).unwrap();
        assert!(store.await.unwrap().is_applied());
        driver.flush().await.unwrap();
        assert_eq!(*driver.get_ref().calls.lock().unwrap(), ["store", "flush"]);
    });
}

#[test]
fn a_change_that_was_never_begun_keeps_nobody_waiting() {
    pool(1).block_on(async {
        let (driver, tell) = with_a_dropped_store().await;
        let other = Key::parse("user:bob").unwrap();
        assert!(poll_once(std::pin::pin!(driver.store(&other, record(2), Condition::Any))).is_none());
        // It is still in the pool's queue, and yet no late call: this one is queued at its first poll, before the flush.
        let mut store = std::pin::pin!(driver.store(&other, record(3), Condition::Any));
        assert!(poll_once(store.as_mut()).is_none());
        let mut flush = std::pin::pin!(driver.flush());
        assert!(poll_once(flush.as_mut()).is_none());
        tell.send(()).unwrap();
        flush.await.unwrap();
        assert_eq!(*driver.get_ref().calls.lock().unwrap(), ["store", "store", "flush"]);
        assert_eq!(store.await.unwrap(), Change::Applied);
        assert_eq!(driver.retrieve(&other).await.unwrap(), Some(record(3)));
    });
}

#[test]
fn close_comes_after_the_changes_that_were_dropped() {
    pool(2).block_on(async {
        let (driver, tell) = with_a_dropped_store().await;
        let mut close = std::pin::pin!(driver.close());
        assert!(poll_once(close.as_mut()).is_none());
        // Were the close begun, it would be done before this one.
        driver.flush().await.unwrap();
        assert!(poll_once(close.as_mut()).is_none());
        assert_eq!(*driver.get_ref().calls.lock().unwrap(), ["flush"]);
        tell.send(()).unwrap();
        close.await.unwrap();
        assert_eq!(*driver.get_ref().calls.lock().unwrap(), ["flush", "store", "close"]);
    });
    // A purge is a change too.
    pool(2).block_on(async {
        let (driver, has_begun, tell) = slow();
        {
            let mut purge = std::pin::pin!(driver.purge(1));
            assert!(poll_once(purge.as_mut()).is_none());
            has_begun.recv().unwrap();
        }
        let mut close = std::pin::pin!(driver.close());
        assert!(poll_once(close.as_mut()).is_none());
        tell.send(()).unwrap();
        close.await.unwrap();
        assert_eq!(*driver.get_ref().calls.lock().unwrap(), ["purge", "close"]);
    });
}

#[test]
fn a_late_call_is_forgotten_at_its_end() {
    pool(2).block_on(async {
        let (driver, tell) = with_a_dropped_store().await;
        let shown = || format!("{driver:?}");
        assert!(shown().contains("Receiver"), "it is late: {}", shown());
        tell.send(()).unwrap();
        // Nobody uses its key again. It may still be on its way out while these calls are made on the other thread.
        driver.close().await.unwrap();
        for _ in 0..10_000 {
            if shown().contains("Receiver") {
                driver.flush().await.unwrap();
            }
        }
        assert!(!shown().contains("Receiver"), "it has ended: {}", shown());
    });
}
