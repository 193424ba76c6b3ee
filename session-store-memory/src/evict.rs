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
        if self.table.round().flat_map(steps).any(|(_, removed)| removed > 0) {
            return Ok(());
        }
        let evicted = self.table.round().filter(|_| self.on_full == OnFull::Evict).find_map(|shard| {
            let spared = (shard == spared.shard).then_some(spared.tag);
            self.table.write(shard).evict(spared, self.table.turn())
        });
        let evicted = evicted.ok_or_else(|| StoreError::new(StoreErrorKind::Full, Operation::Store))?;
        self.usage.release(evicted.amount());
        Ok(())
    }
}
