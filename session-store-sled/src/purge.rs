//! Removing expired records, a stretch of the tree at a time.

use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use session_core::{Operation, Result, Timestamp, is_live};
use sled::{IVec, Tree};

use crate::error::from_sled;
use crate::read;

/// The progress of the purges of a store. sled has no index on deadlines, so a round reads the whole tree, over as many
/// calls as it takes.
#[derive(Debug)]
pub(crate) struct Round {
    after: Mutex<Option<IVec>>,
    /// The earliest deadline of the records that this round has passed or that were written meanwhile. If it has passed
    /// at the end of the round, another round has work to do.
    soonest: AtomicU64,
}

/// The result of one stretch.
pub(crate) struct Stretch {
    pub(crate) removed: u64,
    /// Set at the end of a round: whether another round has work to do.
    pub(crate) more: Option<bool>,
}

impl Default for Round {
    fn default() -> Self {
        Self { after: Mutex::default(), soonest: AtomicU64::new(u64::MAX) }
    }
}

impl Round {
    /// Called after a change that wrote a deadline, because the round may have passed the key already.
    pub(crate) fn wrote(&self, deadline: Option<Timestamp>) {
        let Some(deadline) = deadline.map(Timestamp::as_millis) else { return };
        if deadline < self.soonest.load(Ordering::SeqCst) {
            self.soonest.fetch_min(deadline, Ordering::SeqCst);
        }
    }

    /// Whether a record has expired that the round has passed or that was written meanwhile.
    pub(crate) fn has_more(&self, now: Timestamp) -> bool {
        self.soonest.load(Ordering::SeqCst) <= now.as_millis()
    }

    /// Examines at most `stretch` records and removes at most `limit` of them.
    pub(crate) fn advance(&self, tree: &Tree, now: Timestamp, limit: u64, stretch: usize) -> Result<Stretch> {
        // Held for the stretch, so that concurrent purges share the work.
        let mut after = self.after.lock().unwrap_or_else(PoisonError::into_inner);
        if after.is_none() {
            // A change whose deadline is dropped here was made before the round begins, and the round will meet it.
            self.soonest.store(u64::MAX, Ordering::SeqCst);
        }
        let from = after.as_ref().map_or(Bound::Unbounded, |key| Bound::Excluded(key.clone()));
        let mut walk = tree.range::<IVec, _>((from, Bound::Unbounded));
        let mut done = Stretch { removed: 0, more: None };
        for _ in 0..stretch {
            if done.removed >= limit {
                break;
            }
            let Some(entry) = walk.next() else {
                *after = None;
                done.more = Some(self.has_more(now));
                break;
            };
            let (key, frame) = entry.map_err(|cause| from_sled(cause, Operation::Purge))?;
            match read::words(&frame) {
                Ok((expires, _)) if !is_live(expires, now) => {
                    // Removes only the bytes that were judged: a record written since then may be live.
                    let removed = tree.compare_and_swap(&key, Some(&frame), None::<IVec>);
                    let removed = removed.map_err(|cause| from_sled(cause, Operation::Purge))?;
                    done.removed += u64::from(removed.is_ok());
                }
                Ok((expires, _)) => self.wrote(expires),
                // A damaged record is not known to have expired. It stays, and a retrieve reports it.
                Err(_) => {}
            }
            *after = Some(key);
        }
        Ok(done)
    }
}
