//! Removal of expired records, in steps of at most 64 records under one lock.

use session_core::{Operation, Purged, Result, yield_now};

use crate::shard::STEP;
use crate::store::Inner;

/// How many records a purge looks at before it lets other tasks run.
const BATCH: usize = 2 * STEP;

impl Inner {
    /// Removes at most `limit` expired records.
    pub(crate) async fn purge(&self, limit: usize) -> Result<Purged> {
        self.gate.check(Operation::Purge)?;
        let (mut removed, mut visits) = (0, 0);
        for shard in self.table.round() {
            while let Some((looked, gone)) = self.purge_step(shard, limit - removed) {
                (visits, removed) = (visits + looked, removed + gone);
                if visits >= BATCH {
                    visits = 0;
                    yield_now().await;
                    self.gate.check(Operation::Purge)?;
                }
            }
        }
        let now = self.clock.now();
        let more = removed >= limit && self.table.round().any(|shard| self.table.may_be_due(shard, now));
        Ok(Purged { removed: removed as u64, more })
    }

    /// One step in one shard: how many tags it looked at, and how many records it removed. `None` where nothing is left
    /// to do.
    pub(crate) fn purge_step(&self, shard: usize, limit: usize) -> Option<(usize, usize)> {
        let now = self.clock.now();
        if limit == 0 || !self.table.may_be_due(shard, now) {
            return None;
        }
        let mut dead = Vec::new();
        let visits = self.table.write(shard).purge(now, limit, &mut dead);
        // Memory is freed after the lock.
        let removed = dead.len();
        dead.into_iter().for_each(|row| self.usage.release(row.amount()));
        Some((visits, removed))
    }
}
