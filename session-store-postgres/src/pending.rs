//! Changes whose callers went away.
//!
//! The server may still make such a change. A later change of the same key could use another connection and overtake
//! it. It waits until the server has answered the earlier one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use session_core::Key;
use tokio::sync::Notify;

/// An abandoned change. A task holds it until the server has answered. It ends with the task, also where a runtime drops
/// the task because it shuts down.
pub(crate) struct Abandoned {
    pending: Arc<Pending>,
    key: Key,
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.pending.end(&self.key);
    }
}

/// The keys with an abandoned change.
#[derive(Default)]
pub(crate) struct Pending {
    /// Usually zero, so that a change need not lock.
    count: AtomicUsize,
    keys: Mutex<HashMap<Key, (usize, Arc<Notify>)>>,
}

impl Pending {
    /// Waits until no abandoned change of the key is left.
    pub(crate) async fn settled(&self, key: &Key) {
        while self.count.load(Ordering::SeqCst) > 0 {
            let ended = match self.lock().get(key) {
                // Made under the lock, so that it notices an end from here on.
                Some((_, ended)) => Arc::clone(ended).notified_owned(),
                None => return,
            };
            ended.await;
        }
    }

    /// The key is pending until the returned value is dropped.
    pub(crate) fn begin(self: &Arc<Self>, key: &Key) -> Abandoned {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.lock().entry(key.clone()).or_default().0 += 1;
        Abandoned { pending: Arc::clone(self), key: key.clone() }
    }

    fn end(&self, key: &Key) {
        let mut keys = self.lock();
        if let Some((left, ended)) = keys.get_mut(key) {
            *left -= 1;
            if *left == 0 {
                ended.notify_waiters();
                keys.remove(key);
            }
        }
        self.count.fetch_sub(1, Ordering::SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, (usize, Arc<Notify>)>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
