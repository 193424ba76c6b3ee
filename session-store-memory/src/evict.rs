//! Room for a new record at a bound: expired records go first, then, if the store evicts, live sessions.

use session_core::{OnFull, Operation, Result, StoreError, StoreErrorKind};

use crate::store::Inner;
use crate::table::Place;

/// How many expired records a store that found no room removes at a time.
const FEW: usize = 8;

impl Inner {
    /// Removes a few expired records of one shard or, if the store evicts, one live session.
    pub(crate) fn make_room(&self, spared: Place) -> Result<()> {
        let steps = |shard| std::iter::from_fn(move || self.purge_step(shard, FEW));
        let purged = self.table.round().flat_map(steps).any(|(_, removed)| removed > 0);
        if purged || self.on_full == OnFull::Evict && self.evict(spared) {
            return Ok(());
        }
        Err(StoreError::new(StoreErrorKind::Full, Operation::Store))
    }

    fn evict(&self, spared: Place) -> bool {
        self.table.round().any(|shard| {
            let spared = (shard == spared.shard).then_some(spared.tag);
            let evicted = self.table.write(shard).evict(spared, self.table.turn());
            evicted.is_some_and(|row| {
                self.usage.release(row.amount());
                true
            })
        })
    }
}
