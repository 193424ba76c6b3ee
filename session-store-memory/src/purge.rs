//! Removing what has expired, a little at a time.

use session_core::Purged;

use crate::store::Inner;
use crate::table::Round;

/// A purge under way: shard after shard, at most [`STEP`](crate::shard::STEP) records under one lock.
pub(crate) struct Purge<'a> {
    inner: &'a Inner,
    limit: usize,
    pub(crate) removed: usize,
    pub(crate) visits: usize,
    round: Round,
    shard: Option<usize>,
}

impl<'a> Purge<'a> {
    pub(crate) fn new(inner: &'a Inner, limit: usize) -> Self {
        let mut round = inner.table.round();
        let shard = round.next();
        Self { inner, limit, removed: 0, visits: 0, round, shard }
    }

    /// Goes on until about `most` more records were looked at; `true` once it is done.
    pub(crate) fn batch(&mut self, most: usize) -> bool {
        let now = self.inner.clock.now();
        let until = self.visits + most;
        while let Some(shard) = self.shard {
            if self.removed >= self.limit {
                return true;
            }
            if !self.inner.table.may_be_due(shard, now) {
                self.shard = self.round.next();
                continue;
            }
            if self.visits >= until {
                return false;
            }
            let mut dead = Vec::new();
            let limit = self.limit - self.removed;
            self.visits += self.inner.table.write(shard).purge(now, limit, &mut dead);
            self.removed += dead.len();
            // Memory is given back after the lock.
            for row in dead {
                self.inner.usage.release(row.get().amount());
            }
        }
        true
    }

    pub(crate) fn answer(&self) -> Purged {
        let now = self.inner.clock.now();
        let table = &self.inner.table;
        let more =
            self.removed >= self.limit && (0..table.shards()).any(|shard| table.may_be_due(shard, now));
        Purged { removed: self.removed as u64, more }
    }
}
