//! The driver trait for engines with blocking calls.

use std::sync::Arc;

use crate::capabilities::Capabilities;
use crate::change::{Change, Condition, Touch};
use crate::clock::Clock;
use crate::error::{Operation, Result, StoreError};
use crate::key::{Key, Prefix};
use crate::page::{Cursor, Page, Purged};
use crate::record::Record;

/// [`Driver`](crate::Driver) with blocking methods, under the same contract.
///
/// # For driver authors
/// Implement this for an engine with blocking calls, and wrap it in `Blocking` (feature `offload`), which runs the calls
/// on worker threads and costs a few microseconds per call. If the operations themselves take only microseconds,
/// implement [`Driver`](crate::Driver) directly.
pub trait BlockingDriver: Send + Sync + 'static {
    /// See [`Driver::retrieve`](crate::Driver::retrieve).
    ///
    /// # Errors
    /// The same.
    fn retrieve(&self, key: &Key) -> Result<Option<Record>>;

    /// See [`Driver::store`](crate::Driver::store).
    ///
    /// # Errors
    /// The same.
    fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change>;

    /// See [`Driver::remove`](crate::Driver::remove).
    ///
    /// # Errors
    /// The same.
    fn remove(&self, key: &Key, condition: Condition) -> Result<Change>;

    /// See [`Driver::traverse`](crate::Driver::traverse).
    ///
    /// # Errors
    /// The same.
    fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page>;

    /// See [`Driver::touch`](crate::Driver::touch).
    ///
    /// # Errors
    /// The same.
    fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        let during = |error: StoreError| error.during(Operation::Touch);
        let found = self.retrieve(key).map_err(during)?;
        match touch.step(found) {
            Ok((record, condition)) => Ok(self.store(key, record, condition).map_err(during)?.is_applied()),
            Err(touched) => Ok(touched),
        }
    }

    /// See [`Driver::purge`](crate::Driver::purge).
    ///
    /// # Errors
    /// The same.
    fn purge(&self, limit: usize) -> Result<Purged> {
        let _ = limit;
        Err(StoreError::unsupported(Operation::Purge))
    }

    /// See [`Driver::flush`](crate::Driver::flush).
    ///
    /// # Errors
    /// The same.
    fn flush(&self) -> Result<()> {
        Ok(())
    }

    /// See [`Driver::close`](crate::Driver::close).
    ///
    /// # Errors
    /// The same.
    fn close(&self) -> Result<()> {
        self.flush()
    }

    /// See [`Driver::capabilities`](crate::Driver::capabilities).
    fn capabilities(&self) -> Capabilities;

    /// See [`Driver::clock`](crate::Driver::clock).
    fn clock(&self) -> Arc<dyn Clock>;
}
