//! The storage of a store that a process opens once.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use session_core::{
    Capabilities, Change, Clock, Condition, Cursor, Driver, Key, Page, Prefix, Purged, Record, Result,
    StoreErrorKind, Touch,
};

use super::FreshPath;
use crate::harness::HarnessResult;

/// A path, and the store that is open at it. For harnesses of drivers that are one object in one process, such as a log
/// file with an index in memory: all handles share the object, and it is opened again once it was closed or its last
/// handle was dropped.
#[derive(Debug)]
pub struct OncePerProcess<D> {
    path: FreshPath,
    open: Mutex<Weak<D>>,
}

impl<D: Driver> OncePerProcess<D> {
    /// Storage at `path`, where nothing is open.
    #[must_use]
    pub fn new(path: FreshPath) -> Self {
        Self { path, open: Mutex::new(Weak::new()) }
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &FreshPath {
        &self.path
    }

    /// A handle on the open store. If none is open, or it was closed, `open` opens it.
    ///
    /// # Errors
    /// Those of `open`.
    pub async fn handle(&self, open: impl FnOnce(&Path) -> HarnessResult<D>) -> HarnessResult<OnceHandle<D>> {
        let found = self.open.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        if let Some(store) = found
            && !store.flush().await.is_err_and(|error| error.kind() == StoreErrorKind::Closed)
        {
            return Ok(OnceHandle(store));
        }
        let store = Arc::new(open(self.path.path())?);
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&store);
        Ok(OnceHandle(store))
    }
}

/// A handle of [`OncePerProcess`]. It forwards every method.
#[derive(Debug)]
pub struct OnceHandle<D>(Arc<D>);

impl<D> Clone for OnceHandle<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

// `forward!` needs a field that is a driver.
impl<D: Driver> Driver for OnceHandle<D> {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        self.0.retrieve(key).await
    }
    async fn retrieve_recent(&self, key: &Key) -> Result<Option<Record>> {
        self.0.retrieve_recent(key).await
    }
    async fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        self.0.store(key, record, condition).await
    }
    async fn store_over(&self, key: &Key, record: Record, loaded: &Record) -> Result<Change> {
        self.0.store_over(key, record, loaded).await
    }
    async fn remove(&self, key: &Key, condition: Condition) -> Result<Change> {
        self.0.remove(key, condition).await
    }
    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        self.0.traverse(prefix, from, limit).await
    }
    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        self.0.touch(key, touch).await
    }
    async fn purge(&self, limit: usize) -> Result<Purged> {
        self.0.purge(limit).await
    }
    async fn flush(&self) -> Result<()> {
        self.0.flush().await
    }
    async fn close(&self) -> Result<()> {
        self.0.close().await
    }
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    fn clock(&self) -> Arc<dyn Clock> {
        self.0.clock()
    }
}
