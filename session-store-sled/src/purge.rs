//! Removing what has expired, a stretch of the tree at a time.

use std::ops::Bound;
use std::sync::{Mutex, PoisonError};

use session_core::{Operation, Purged, Result, Timestamp, is_live};
use sled::{IVec, Tree};

use crate::error::from_sled;
use crate::store::times;

/// Where the next purge goes on. sled has no index on deadlines: a purge reads the tree through, so many records a
/// call, and a round is over when it has come from the beginning to the end.
#[derive(Debug, Default)]
pub(crate) struct Progress(Mutex<Option<IVec>>);

impl Progress {
    pub(crate) fn purge(&self, tree: &Tree, now: Timestamp, limit: usize, scan: usize) -> Result<Purged> {
        let from = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let after = from.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut purged = Purged { removed: 0, more: true };
        let mut last = None;
        for (seen, entry) in tree.range::<&IVec, _>((after, Bound::Unbounded)).enumerate() {
            if seen == scan || purged.removed >= limit as u64 {
                self.go_on_after(last);
                return Ok(purged);
            }
            let (key, value) = entry.map_err(|cause| from_sled(cause, Operation::Purge))?;
            // What cannot be read is not known to have expired: it stays, to be reported to whoever asks for it.
            if times(&value).is_ok_and(|(expires, _)| !is_live(expires, now)) {
                // Only the very bytes that were seen to have expired: what was written since is live.
                let removed = tree.compare_and_swap(&key, Some(&value), None::<IVec>);
                let removed = removed.map_err(|cause| from_sled(cause, Operation::Purge))?;
                purged.removed += u64::from(removed.is_ok());
            }
            last = Some(key);
        }
        // The end. If this call began in the middle, what is before that has yet to be looked at.
        purged.more = from.is_some();
        self.go_on_after(None);
        Ok(purged)
    }

    fn go_on_after(&self, key: Option<IVec>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = key;
    }
}
