//! Reads that reach the store.

use session_core::{Driver, Key, Record, Result};

use crate::store::NearCache;
use crate::sync::now;

impl<D: Driver> NearCache<D> {
    /// Reads from the store. With `keep` the cache keeps the answer; without, it only corrects what it has.
    pub(crate) async fn read_through(&self, key: &Key, keep: bool) -> Result<Option<Record>> {
        let Some(cache) = self.cache() else { return self.inner.retrieve(key).await };
        // The answer may be as old as the beginning of the call.
        let reading = cache.begin_read(key, now());
        let found = self.inner.retrieve(key).await?;
        reading.end(found.as_ref(), keep);
        Ok(found)
    }
}
