//! Replacing the index of a user that the driver cannot read.
//!
//! Such a record has no revision for a compare-and-swap, so only an unconditional store replaces it. Of two requests that
//! do this at the same moment, the later would drop what the earlier has entered since. Therefore a request first takes
//! a lease, a record of its own, and then looks again whether the index is still damaged.

use std::time::Duration;

use bytes::Bytes;
use session_core::{
    Applied, Change, Condition, Driver, Operation, Record, Revision, StoreError, StoreErrorKind, Timestamp,
};
use tokio::time::timeout;

use crate::enter::Stored;
use crate::error::{Error, ErrorKind};
use crate::index::lease_key_of;
use crate::manager::Manager;
use crate::settle::Patience;
use crate::table::CLOCK_DIFFERENCE;

/// How long a lease lasts if its holder does not return it, by the clock of the holder. The clock of the next one may be
/// ahead of it by [`CLOCK_DIFFERENCE`], so the record lives for that much longer.
const LEASE: Duration = Duration::from_secs(30);

/// How long the holder waits for each of its two calls. It begins the second in the first half of the lease.
const CALL_TIME: Duration = Duration::from_secs(10);

impl<D: Driver> Manager<D> {
    /// The index that is about to be changed. An empty index replaces one that the driver cannot read.
    ///
    /// # Errors
    /// `Contention` while another request has the lease: for some milliseconds, or for 40 seconds after it was killed or
    /// its answer was lost. Also if this request had the lease and was stalled.
    pub(crate) async fn index_to_change(&self, user: &str) -> Result<Stored, Error> {
        let mut patience = Patience::new();
        // One event, however often the damaged record is read.
        let mut reported = false;
        loop {
            let stored = self.index_reporting(user, &mut reported).await?;
            if !stored.damaged {
                return Ok(stored);
            }
            if !Box::pin(self.repair(user, &mut reported)).await? {
                patience.spend().await?;
            }
        }
    }

    /// Replaces the damaged index. Returns `false` if another request has the lease.
    #[cold]
    async fn repair(&self, user: &str, reported: &mut bool) -> Result<bool, Error> {
        let (lease, revision, new) = (lease_key_of(user), Revision::random()?, Revision::random()?);
        let now = self.clock.now();
        let expires = Some(now.saturating_add(LEASE + CLOCK_DIFFERENCE));
        let record = Record { data: Bytes::new(), expires, revision };
        if let Change::Conflict(found) = self.store_if(&lease, record, Condition::Absent).await? {
            // No right clock has written a lease that ends so late, and its holder may have been killed.
            let latest = now.saturating_add(LEASE + 2 * CLOCK_DIFFERENCE);
            if let Some(found) = found.filter(|found| found.expires.is_none_or(|expires| expires > latest)) {
                drop(self.remove_if(&lease, Condition::Revision(found.revision)).await?);
            }
            return Ok(false);
        }
        let repaired = self.repair_leased(user, new, now.saturating_add(LEASE / 2), reported).await;
        let cause = repaired.as_ref().err().and_then(Error::store_error);
        // A store whose answer was lost may still happen. The lease keeps other requests away until then.
        if cause.is_none_or(|error| error.applied() == Applied::No) {
            drop(self.remove_if(&lease, Condition::Revision(revision)).await);
        }
        repaired.map(|()| true)
    }

    /// The calls of the holder of the lease. The second begins before `latest`.
    async fn repair_leased(
        &self,
        user: &str,
        new: Revision,
        latest: Timestamp,
        reported: &mut bool,
    ) -> Result<(), Error> {
        let late = |during| StoreError::new(StoreErrorKind::Timeout, during).applied_unknown();
        let read = timeout(CALL_TIME, self.index_reporting(user, reported)).await;
        let stored = read.map_err(|_| late(Operation::Retrieve))??;
        if !stored.damaged {
            // An earlier holder of the lease has replaced it.
            return Ok(());
        }
        // A stalled request must not overwrite the index that a later holder has repaired.
        if self.clock.now() >= latest {
            return Err(Error::new(ErrorKind::Contention).with_detail("the repair of an index was stalled"));
        }
        let replaced = timeout(CALL_TIME, self.replace_damaged(stored, new)).await;
        Ok(replaced.map_err(|_| late(Operation::Store))??)
    }

    async fn replace_damaged(&self, stored: Stored, revision: Revision) -> Result<(), StoreError> {
        let Stored { key, index, deadline, .. } = stored;
        let replaced = if index.is_empty() {
            self.driver.remove(&key, Condition::Any).await
        } else {
            let record = Record { data: index.data(), expires: index.deadline(deadline), revision };
            self.driver.store(&key, record, Condition::Any).await
        };
        replaced.map(|_: Change| ())
    }
}
