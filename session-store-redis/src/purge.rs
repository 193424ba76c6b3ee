//! Expiry: Redis removes expired records by itself, so `purge` has nothing to do.

use session_core::{Operation, Purged, Result, Timestamp};

use crate::open::Inner;

/// How long after its deadline Redis removes a record, in milliseconds. A server clock that is wrong by less ends no
/// session early.
const GRACE: u64 = 60_000;

impl Inner {
    pub(crate) fn purge(&self) -> Result<Purged> {
        self.link.gate.check(Operation::Purge)?;
        Ok(Purged::default())
    }
}

/// The time to live of a record in Redis, in milliseconds as text; `None` for a record that Redis must not remove.
pub(crate) fn time_to_live(expires: Option<Timestamp>, now: Timestamp) -> Option<String> {
    let left = expires?.as_millis().saturating_sub(now.as_millis()).saturating_add(GRACE);
    // Redis counts up to 2^63 ms from 1970. A deadline beyond that never comes.
    (left < 1 << 52).then(|| left.to_string())
}
