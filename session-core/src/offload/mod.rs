//! Worker threads for calls that may wait: for a disk, for the lock of another process, for a long scan.
//!
//! A driver that must not block a runtime worker runs such calls here. The threads start when there is something to
//! do, up to a limit, and end when they have been idle for ten seconds or when the last handle is dropped. Dropping
//! waits for none of them.

mod answer;
mod engine;
#[cfg(test)]
mod loom_model;
#[cfg(test)]
mod tests;
mod workers;

/// What the engine takes from the standard library. The loom model replaces it.
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
