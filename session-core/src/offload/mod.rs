//! Worker threads for calls that may block: on a disk, on another process's lock, or in a long scan.
//!
//! Drivers run such calls here to keep runtime workers free. Threads start on demand, up to a limit. They end after ten
//! idle seconds, or when the queue is empty after the set was dropped. Dropping the set waits for none of them.

mod answer;
mod engine;
mod file_watch;
#[cfg(test)]
mod loom_model;
#[cfg(test)]
mod tests;
mod workers;

use crate::error::{Operation, Result, StoreError, StoreErrorKind};

/// The engine's imports from the standard library. The loom model replaces this module.
mod sync {
    pub(super) use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
    pub(super) use std::thread;
    pub(super) use std::time::Instant;

    #[expect(
        clippy::disallowed_methods,
        reason = "measures how long a lock is awaited, which no session's clock moves"
    )]
    pub(super) fn now() -> Instant {
        Instant::now()
    }
}

pub use engine::Order;
pub use file_watch::FileWatch;
pub use workers::{Caller, Workers, WorkersConfig};

/// Starts a thread of a driver that opens: a writer, a flusher, a watcher. `name` has at most 15 bytes on Linux.
///
/// # Errors
/// `Unavailable` if the system cannot start a thread.
pub fn start_thread(name: &'static str, work: impl FnOnce() + Send + 'static) -> Result<std::thread::Thread> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map(|thread| thread.thread().clone()).map_err(|cause| {
        let error = StoreError::new(StoreErrorKind::Unavailable, Operation::Open);
        error.with_detail("no thread can be started").with_source(cause)
    })
}
