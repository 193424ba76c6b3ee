//! The locks of the cache, and the time by which its records age. The loom model has its own.

pub(crate) use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

#[expect(clippy::disallowed_methods, reason = "the age of a record, which no clock of a store may stretch")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
