//! Whether a wrapper forwards every method of `Driver`.

use std::sync::{Arc, Mutex, PoisonError};

use session_core::{
    Capabilities, Change, Clock, Condition, Cursor, Driver, Entry, Key, Page, Prefix, Purged, Record, Result,
    Revision, TestClock, Timestamp, Touch,
};

/// Fails unless the wrapper that `wrap` makes passes every method on to the driver inside, exactly once, with its
/// arguments and its answer. The defaults of the trait would compile too, and hide what the inner driver does.
///
/// ```
/// use session_conformance::testing::{Probe, assert_forwards, block_on};
///
/// block_on(assert_forwards(|inner| Probe::new(inner)));
/// ```
///
/// # Panics
/// If a method is not forwarded.
pub async fn assert_forwards<W: Driver>(wrap: impl FnOnce(Witness) -> W) {
    let witness = Witness::default();
    let wrapper = wrap(witness.clone());
    let (key, cursor) = (key(), Cursor::from_bytes(&b"here"[..]));
    let (one, two) = (Revision::from_bytes([1; 8]), Revision::from_bytes([2; 8]));
    let store = Change::Conflict(Some(record(2)));
    assert_eq!(wrapper.retrieve(&key).await.ok(), Some(Some(record(1))), "retrieve");
    assert_eq!(wrapper.retrieve_recent(&key).await.ok(), Some(Some(record(5))), "retrieve_recent");
    assert_eq!(wrapper.store(&key, record(2), Condition::Any).await.ok(), Some(store), "store");
    let over = wrapper.store_over(&key, record(3), &record(4)).await.ok();
    assert_eq!(over, Some(Change::Conflict(Some(record(4)))), "store_over");
    assert_eq!(wrapper.remove(&key, Condition::Any).await.ok(), Some(Change::Conflict(None)), "remove");
    let page = Page { entries: vec![Entry::new(key.clone()).with_size(7)], next: Some(cursor.clone()) };
    assert_eq!(wrapper.traverse(&Prefix::SESSION, cursor, 7).await.ok(), Some(page), "traverse");
    let touched = wrapper.touch(&key, Touch { from: one, to: two, deadline: None }).await;
    assert_eq!(touched.ok(), Some(true), "touch");
    let purged = wrapper.purge(9).await;
    assert_eq!(purged.ok(), Some(Purged { removed: 9, more: true }), "purge");
    assert!(wrapper.flush().await.is_ok() && wrapper.close().await.is_ok(), "flush and close");
    assert_eq!(wrapper.capabilities(), witness.capabilities(), "capabilities");
    assert_eq!(wrapper.clock().now(), witness.clock().now(), "clock");
    let calls = std::mem::take(&mut *witness.0.lock().unwrap_or_else(PoisonError::into_inner));
    assert_eq!(
        calls,
        [
            "retrieve",
            "retrieve_recent",
            "store",
            "store_over",
            "remove",
            "traverse",
            "touch",
            "purge",
            "flush",
            "close"
        ]
    );
}

/// The driver inside: it notes each method that is called, and answers what only that method would.
#[derive(Clone, Debug, Default)]
pub struct Witness(Arc<Mutex<Vec<&'static str>>>);

impl Witness {
    fn note(&self, method: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(method);
    }
}

fn key() -> Key {
    Key::parse("user:alice").expect("this is a key")
}

fn record(number: u8) -> Record {
    Record::new(vec![number], Some(Timestamp::from_millis(1_000)), Revision::from_bytes([number; 8]))
}

impl Driver for Witness {
    async fn retrieve(&self, _: &Key) -> Result<Option<Record>> {
        self.note("retrieve");
        Ok(Some(record(1)))
    }
    async fn retrieve_recent(&self, _: &Key) -> Result<Option<Record>> {
        self.note("retrieve_recent");
        Ok(Some(record(5)))
    }
    async fn store(&self, _: &Key, record: Record, _: Condition) -> Result<Change> {
        self.note("store");
        Ok(Change::Conflict(Some(record)))
    }
    async fn store_over(&self, _: &Key, _: Record, loaded: &Record) -> Result<Change> {
        self.note("store_over");
        Ok(Change::Conflict(Some(loaded.clone())))
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
        Capabilities::none().conditional(true).max_record_bytes(Some(43))
    }
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(TestClock::new(Timestamp::from_millis(44)))
    }
}
