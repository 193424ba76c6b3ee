//! Whether a store is open.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Operation, Result, StoreError};

/// Refuses every call after [`close`](crate::Driver::close). Every driver that can be closed keeps one.
///
/// All accesses are sequentially consistent: a call that takes a lock after it passed the gate, and checks the gate
/// again under that lock, is either seen by the close or sees it.
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
    pub fn check(&self, operation: Operation) -> Result<()> {
        if self.is_closed() { Err(StoreError::closed(operation)) } else { Ok(()) }
    }

    /// Whether the gate is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Closes the gate for good. Returns `true` to the first caller only.
    pub fn close(&self) -> bool {
        !self.closed.swap(true, Ordering::SeqCst)
    }
}
