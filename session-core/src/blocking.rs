//! The driver trait for engines with blocking calls.

use std::sync::Arc;

use crate::capabilities::Capabilities;
use crate::change::{Change, Condition, Touch};
use crate::clock::Clock;
use crate::error::{Operation, Result, StoreError};
use crate::key::{Key, Prefix};
use crate::page::{Cursor, Page, Purged};
use crate::record::Record;

/// [`Driver`](crate::Driver) with blocking methods. Each has the contract and the errors of the method of that name.
///
/// # For driver authors
/// Implement this for an engine with blocking calls, and wrap it in `Blocking` (feature `offload`), which runs the calls
/// on worker threads and costs a few microseconds per call. If the operations themselves take only microseconds,
/// implement [`Driver`](crate::Driver) directly.
#[expect(missing_docs, clippy::missing_errors_doc, reason = "each method is documented at `Driver`")]
pub trait BlockingDriver: Send + Sync + 'static {
    fn retrieve(&self, key: &Key) -> Result<Option<Record>>;
    fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change>;
    fn remove(&self, key: &Key, condition: Condition) -> Result<Change>;
    fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page>;
    fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        let during = |error: StoreError| error.during(Operation::Touch);
        let found = self.retrieve(key).map_err(during)?;
        match touch.step(found) {
            Ok((record, condition)) => Ok(self.store(key, record, condition).map_err(during)?.is_applied()),
            Err(touched) => Ok(touched),
        }
    }
    fn purge(&self, limit: usize) -> Result<Purged> {
        let _ = limit;
        Err(StoreError::unsupported(Operation::Purge))
    }
    fn flush(&self) -> Result<()> {
        Ok(())
    }
    fn close(&self) -> Result<()> {
        self.flush()
    }
    fn capabilities(&self) -> Capabilities;
    fn clock(&self) -> Arc<dyn Clock>;
}
