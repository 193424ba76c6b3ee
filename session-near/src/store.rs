//! The handle and its `impl Driver`.

use std::fmt;

use session_core::{Capabilities, Change, Condition, Driver, Key, Opener, Record, Result, Touch, forward};

use crate::cache::Cache;
use crate::sync::{Arc, now};

/// A driver with a cache in process memory before it. For a store on another host.
///
/// Only [`retrieve_recent`](Driver::retrieve_recent) answers from the cache; the session layer calls it to load the session of
/// a request. Every other call goes to the inner driver. Clones share the cache.
///
/// A forked child does not use what it inherits of the cache: its calls go to the inner driver.
#[derive(Clone)]
pub struct NearCache<D> {
    pub(crate) inner: D,
    pub(crate) cache: Arc<Cache>,
    pub(crate) opener: Opener,
}

impl<D> NearCache<D> {
    /// The driver behind the cache. The cache does not see its changes.
    #[must_use]
    pub const fn inner(&self) -> &D {
        &self.inner
    }

    /// The cache, unless this process is a forked child: a thread of the parent may have held a lock.
    pub(crate) fn cache(&self) -> Option<&Cache> {
        self.opener.is_here().then_some(&*self.cache)
    }
}

impl<D: Driver> Driver for NearCache<D> {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        self.read_through(key, false).await
    }

    async fn retrieve_recent(&self, key: &Key) -> Result<Option<Record>> {
        let kept = self.cache().and_then(|cache| cache.recent(key, now()));
        match kept {
            // An expired record goes to the store, which says whether another handle has extended it.
            Some(record) if record.expires.is_none() || record.is_live(self.inner.clock().now()) => {
                Ok(Some(record))
            }
            _ => self.read_through(key, true).await,
        }
    }

    async fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        let call = self.inner.store(key, record.clone(), condition);
        self.change(key, Some((&record, condition)), call).await
    }

    async fn store_over(&self, key: &Key, record: Record, loaded: &Record) -> Result<Change> {
        let call = self.inner.store_over(key, record.clone(), loaded);
        self.change(key, Some((&record, Condition::Revision(loaded.revision))), call).await
    }

    async fn remove(&self, key: &Key, condition: Condition) -> Result<Change> {
        self.change(key, None, self.inner.remove(key, condition)).await
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        self.change_deadline(key, touch).await
    }

    /// Closes the inner driver, and forgets all records.
    async fn close(&self) -> Result<()> {
        let closed = self.inner.close().await;
        if let Some(cache) = self.cache() {
            cache.close();
        }
        closed
    }

    /// The promises of the inner driver, and the bound on staleness.
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities().staleness(self.cache.staleness())
    }

    forward!(inner: traverse purge flush clock);
}

impl<D> fmt::Debug for NearCache<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NearCache").field("staleness", &self.cache.staleness()).finish_non_exhaustive()
    }
}
