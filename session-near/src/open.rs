//! From a driver to a driver with a cache.

use session_core::{Driver, Opener, Result};

use crate::cache::Cache;
use crate::config::NearConfig;
use crate::store::NearCache;
use crate::sync::Arc;

impl<D: Driver> NearCache<D> {
    /// Puts an empty cache before `inner`. A [`Duration`](std::time::Duration) is enough for the options.
    ///
    /// All changes of this process should go through this handle and its clones. A second cache over the same store, and the
    /// inner driver itself, are like another process: this handle notices their changes within the bound.
    ///
    /// # Errors
    /// `Misconfigured` for an option outside its range.
    pub fn open(inner: D, config: impl Into<NearConfig>) -> Result<Self> {
        let config = config.into();
        config.check()?;
        Ok(Self { inner, cache: Arc::new(Cache::new(&config)), opener: Opener::this_process() })
    }
}
