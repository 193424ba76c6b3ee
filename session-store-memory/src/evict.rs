//! Room for a new record at a bound: expired records go first, then, if the store evicts, live sessions.

use session_core::{Operation, Result, StoreError, StoreErrorKind};

use crate::bounds::{Amount, Reserved};
use crate::config::OnFull;
use crate::store::Inner;
use crate::table::Place;

/// How many expired records a store that found no room removes at a time.
const FEW: usize = 8;

impl Inner {
    /// Reserves `need`. No lock is held meanwhile, and what was reserved stays reserved, so that other calls cannot
    /// starve this one.
    pub(crate) fn make_room(&self, reserved: &mut Reserved<'_>, need: Amount, spared: Place) -> Result<()> {
        while !reserved.grow_to(need) {
            if !(self.purge_few() || self.on_full == OnFull::Evict && self.evict(spared)) {
                return Err(StoreError::new(StoreErrorKind::Full, Operation::Store));
            }
        }
        Ok(())
    }

    /// Removes a few expired records of one shard, if any shard has some.
    fn purge_few(&self) -> bool {
        let steps = |shard| std::iter::from_fn(move || self.purge_step(shard, FEW));
        self.table.round().flat_map(steps).any(|step| step.removed > 0)
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
