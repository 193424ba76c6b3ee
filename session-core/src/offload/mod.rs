//! Worker threads for calls that may block: on a disk, on another process's lock, or in a long scan.
//!
//! Drivers run such calls here to keep runtime workers free. Threads start on demand, up to a limit. They end after ten
//! idle seconds, or when the queue is empty after the set was dropped. Dropping the set waits for none of them.

mod answer;
mod engine;
#[cfg(test)]
mod loom_model;
#[cfg(test)]
mod tests;
mod workers;

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
pub use workers::{Caller, Workers, WorkersConfig};
