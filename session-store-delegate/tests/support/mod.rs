//! Two models in memory: objects that keep a log of what is asked of them, and blobs with tags.

pub(crate) mod blobs;
pub(crate) mod objects;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A model that has panicked is used again: nothing is left half-way while the lock is held.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
