//! Purging both stores.

use session_core::{Driver, Purged, Result, StoreErrorKind};

use crate::pair::Pair;

impl<O: Driver, N: Driver> Pair<'_, O, N> {
    /// Purges the old store, then the new one with the rest of the limit.
    pub(crate) async fn purge(&self, limit: usize) -> Result<Purged> {
        let old = match self.old.purge(limit).await {
            // An engine that removes expired records itself may have no purge.
            Err(error) if error.kind() == StoreErrorKind::Unsupported => Purged::default(),
            old => old?,
        };
        let rest = limit.saturating_sub(usize::try_from(old.removed).unwrap_or(usize::MAX));
        if rest == 0 {
            return Ok(Purged { more: true, ..old });
        }
        match self.new.purge(rest).await {
            Err(error) if error.kind() == StoreErrorKind::Unsupported => Ok(old),
            new => new.map(|new| Purged { removed: old.removed + new.removed, more: old.more || new.more }),
        }
    }
}
