//! Two models in memory: objects that log all calls, and blobs with tags.

pub(crate) mod blobs;
pub(crate) mod objects;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Ignores poison: a model that panicked is used again, and it changes nothing half-way under the lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
