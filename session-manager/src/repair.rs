//! Replacing the index of a user that the driver cannot read.
//!
//! Such a record has no revision for a compare-and-swap, so only an unconditional store replaces it. Of two requests that
//! do this at the same moment, the later would drop what the earlier has entered since. Therefore a request first takes
//! a lease, a record of its own, and then looks again whether the index is still damaged.

use std::time::Duration;

use bytes::Bytes;
use session_core::{Applied, Change, Condition, Driver, Record, Revision, StoreError};

use crate::enter::Stored;
use crate::error::Error;
use crate::index::lease_key_of;
use crate::manager::Manager;
use crate::settle::Patience;

/// How long a lease lasts if its holder does not return it. Longer than a driver waits for its engine, so a store whose
/// answer was lost has happened or failed by then.
const LEASE: Duration = Duration::from_secs(30);

impl<D: Driver> Manager<D> {
    /// The index that is about to be changed. An empty index replaces one that the driver cannot read.
    ///
    /// # Errors
    /// `Contention` while another request has the lease: for some milliseconds, or for half a minute after it was
    /// killed or its answer was lost.
    pub(crate) async fn index_to_change(&self, user: &str) -> Result<Stored, Error> {
        let mut patience = Patience::new();
        loop {
            let stored = self.index_of(user).await?;
            if !stored.damaged {
                return Ok(stored);
            }
            if !Box::pin(self.repair(user)).await? {
                patience.spend().await?;
            }
        }
    }

    /// Replaces the damaged index. Returns `false` if another request has the lease.
    #[cold]
    async fn repair(&self, user: &str) -> Result<bool, Error> {
        let (lease, revision) = (lease_key_of(user), Revision::random()?);
        let expires = Some(self.clock.now().saturating_add(LEASE));
        let record = Record { data: Bytes::new(), expires, revision };
        if !self.store_if(&lease, record, Condition::Absent).await?.is_applied() {
            return Ok(false);
        }
        let replaced = match self.index_of(user).await {
            Ok(stored) if stored.damaged => self.replace_damaged(stored).await?,
            // An earlier holder of the lease has replaced it.
            Ok(_) => Ok(()),
            Err(error) => {
                drop(self.remove_if(&lease, Condition::Revision(revision)).await);
                return Err(error);
            }
        };
        match replaced {
            // The store may still happen. The lease keeps other requests away until then.
            Err(error) if error.applied() == Applied::Unknown => return Err(error.into()),
            _ => drop(self.remove_if(&lease, Condition::Revision(revision)).await),
        }
        replaced.map(|()| true).map_err(Error::from)
    }

    async fn replace_damaged(&self, stored: Stored) -> Result<Result<(), StoreError>, Error> {
        let Stored { key, index, deadline, .. } = stored;
        if index.is_empty() {
            return Ok(self.driver.remove(&key, Condition::Any).await.map(|_: Change| ()));
        }
        let record =
            Record { data: index.data(), expires: index.deadline(deadline), revision: Revision::random()? };
        Ok(self.driver.store(&key, record, Condition::Any).await.map(|_: Change| ()))
    }
}
