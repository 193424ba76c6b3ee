//! Removing what has expired, a stretch of the tree at a time.

use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use session_core::{Operation, Result, Timestamp, is_live};
use sled::{IVec, Tree};

use crate::error::from_sled;
use crate::store::times;

/// How far the purges of a store have come. sled has no index on deadlines: a round reads the tree through, from its
/// beginning to its end, over as many calls and callers as it takes.
#[derive(Debug)]
pub(crate) struct Round {
    after: Mutex<Option<IVec>>,
    /// No record that this round has passed, or that was written meanwhile, has an earlier deadline. Whether one of
    /// them has expired by the end of the round decides whether there is more to do.
    soonest: AtomicU64,
}

/// What a purge did with one stretch.
pub(crate) struct Stretch {
    pub(crate) removed: u64,
    /// At the end of a round: whether another one has anything to do.
    pub(crate) more: Option<bool>,
}

impl Default for Round {
    fn default() -> Self {
        Self { after: Mutex::default(), soonest: AtomicU64::new(u64::MAX) }
    }
}

impl Round {
    /// After a change that has written a deadline: the round may have passed its key already.
    pub(crate) fn wrote(&self, deadline: Option<Timestamp>) {
        let Some(deadline) = deadline.map(Timestamp::as_millis) else { return };
        if deadline < self.soonest.load(Ordering::SeqCst) {
            self.soonest.fetch_min(deadline, Ordering::SeqCst);
        }
    }

    /// Whether anything that a round has passed, or that was written meanwhile, has expired.
    pub(crate) fn has_more(&self, now: Timestamp) -> bool {
        self.soonest.load(Ordering::SeqCst) <= now.as_millis()
    }

    /// Looks at no more than `stretch` records and removes no more than `limit` of them.
    pub(crate) fn go_on(&self, tree: &Tree, now: Timestamp, limit: u64, stretch: usize) -> Result<Stretch> {
        // Held for the stretch, so that purges at once share the work.
        let mut after = self.after.lock().unwrap_or_else(PoisonError::into_inner);
        if after.is_none() {
            // A change whose deadline is forgotten here was made before: the round that begins will come to it.
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
            match times(&frame) {
                Ok((expires, _)) if !is_live(expires, now) => {
                    // Only the very bytes that were seen to have expired: what was written since is live.
                    let removed = tree.compare_and_swap(&key, Some(&frame), None::<IVec>);
                    let removed = removed.map_err(|cause| from_sled(cause, Operation::Purge))?;
                    done.removed += u64::from(removed.is_ok());
                }
                Ok((expires, _)) => self.wrote(expires),
                // What cannot be read is not known to have expired: it stays, to be reported to whoever asks for it.
                Err(_) => {}
            }
            *after = Some(key);
        }
        Ok(done)
    }
}
