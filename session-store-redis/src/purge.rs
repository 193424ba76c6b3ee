//! Expiry: Redis removes expired records by itself, so `purge` has nothing to do.

use session_core::{Operation, Purged, Result};

use crate::open::Inner;

impl Inner {
    pub(crate) fn purge(&self) -> Result<Purged> {
        self.link.gate.check(Operation::Purge)?;
        Ok(Purged::default())
    }
}
