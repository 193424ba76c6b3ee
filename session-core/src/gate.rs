//! The closed state of a store.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Operation, Result, StoreError};

/// Rejects calls after [`close`](crate::Driver::close). For drivers.
///
/// All accesses are sequentially consistent. If calls check the gate under the lock that `close` takes after closing it,
/// no call runs after `close` has returned.
#[derive(Debug, Default)]
pub struct Gate {
    closed: AtomicBool,
}

impl Gate {
    /// An open gate.
    #[must_use]
    pub const fn new() -> Self {
        Self { closed: AtomicBool::new(false) }
    }

    /// Passes while the gate is open.
    ///
    /// # Errors
    /// `Closed` after [`close`](Self::close).
    #[inline]
    pub fn check(&self, operation: Operation) -> Result<()> {
        if self.is_closed() { Err(StoreError::closed(operation)) } else { Ok(()) }
    }

    /// Whether the gate is closed.
    #[inline]
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Closes the gate permanently. Returns `true` for the first call only.
    pub fn close(&self) -> bool {
        !self.closed.swap(true, Ordering::SeqCst)
    }
}
