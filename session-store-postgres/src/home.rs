//! The runtime of the driver's tasks.

use std::future::pending;

use session_core::{Operation, Result, StoreError, StoreErrorKind};
use tokio::runtime::Handle;

/// The runtime that opened the store.
#[derive(Clone, Debug)]
pub(crate) struct Home(Handle);

impl Home {
    /// The runtime of the caller.
    pub(crate) fn current() -> Result<Self> {
        Handle::try_current().map(Self).map_err(|cause| {
            StoreError::new(StoreErrorKind::Misconfigured, Operation::Open)
                .with_detail("opened outside of a tokio runtime")
                .with_source(cause)
        })
    }

    /// The runtime for a new task: the one that opened the store, or after its end that of the caller.
    pub(crate) fn handle(&self) -> Handle {
        // A runtime that has ended cancels a task at once.
        let probe = self.0.spawn(pending::<()>());
        let ended = probe.is_finished();
        probe.abort();
        match Handle::try_current() {
            Ok(current) if ended => current,
            _ => self.0.clone(),
        }
    }
}
