//! A change whose future was dropped while it ran on the pool.
#![cfg(feature = "tokio")]
#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

use std::collections::BTreeMap;
use std::sync::Mutex;

use session_core::{
    BlockingDriver, Capabilities, Condition, Cursor, Driver, Key, Page, Prefix, Record, Result, Revision,
    Stored,
};

fn key() -> Key {
    Key::parse("user:alice").unwrap()
}

fn record(n: u8) -> Record {
    Record::new(vec![n], None, Revision::from_bytes([n; 8]))
}

/// A driver of one kind of change, whose first store goes on only once it is told to.
struct Slow {
    records: Mutex<BTreeMap<Key, Record>>,
    begun: std::sync::mpsc::Sender<()>,
    go: Mutex<Option<std::sync::mpsc::Receiver<()>>>,
}

impl BlockingDriver for Slow {
    fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        Ok(self.records.lock().unwrap().get(key).cloned())
    }
    fn store(&self, key: &Key, record: Record, _: Condition) -> Result<Stored> {
        let go = self.go.lock().unwrap().take();
        if let Some(go) = go {
            self.begun.send(()).unwrap();
            go.recv().unwrap();
        }
        self.records.lock().unwrap().insert(key.clone(), record);
        Ok(Stored::Yes)
    }
    fn remove(&self, _: &Key, _: Condition) -> Result<Stored> {
        Ok(Stored::Conflict(None))
    }
    fn traverse(&self, _: &Prefix, _: Cursor, _: usize) -> Result<Page> {
        Ok(Page::last(Vec::new()))
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::none()
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

/// A driver whose first store has begun and was dropped, and what lets that store go on.
async fn with_a_dropped_store() -> (session_core::Blocking<Slow>, std::sync::mpsc::Sender<()>) {
    let (begun, has_begun) = std::sync::mpsc::channel();
    let (tell, go) = std::sync::mpsc::channel();
    let slow = Slow { records: Mutex::default(), begun, go: Mutex::new(Some(go)) };
    let driver = session_core::Blocking::new(slow);
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
        assert_eq!(store.await.unwrap(), Stored::Yes);
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
