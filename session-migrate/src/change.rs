//! Changes: first the record moves, then it changes in the new store.

use session_core::{
    Change, Condition, Driver, Key, Operation, Record, Result, StoreError, StoreErrorKind, Touch,
};

use crate::error::SidedError;
use crate::pair::{Pair, is_immovable};
use crate::reservation::is_reservation;

impl<O: Driver, N: Driver> Pair<'_, O, N> {
    pub(crate) async fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        self.settle(key).await.map_err(during(Operation::Store))?;
        loop {
            let held = match self.new.store(key, record.clone(), condition).await? {
                Change::Conflict(Some(other)) if is_reservation(&other) => other.revision,
                answer => return Ok(answer),
            };
            // The old store is empty, so the reservation leads nowhere, and no record is live.
            if condition != Condition::Absent {
                return Ok(Change::Conflict(None));
            }
            if self.new.store(key, record.clone(), Condition::Revision(held)).await?.is_applied() {
                return Ok(Change::Applied);
            }
        }
    }

    pub(crate) async fn store_over(&self, key: &Key, record: Record, loaded: &Record) -> Result<Change> {
        self.settle(key).await.map_err(during(Operation::Store))?;
        Ok(without_reservation(self.new.store_over(key, record, loaded).await?))
    }

    pub(crate) async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        self.settle(key).await.map_err(during(Operation::Touch))?;
        self.new.touch(key, touch).await
    }

    pub(crate) async fn remove(&self, key: &Key, condition: Condition) -> Result<Change> {
        let removed = match self.settle(key).await {
            Ok(()) => false,
            // A session must be able to end where its record cannot move.
            Err(failed) if is_immovable(&failed.error) => match self.old.remove(key, condition).await? {
                Change::Conflict(Some(old)) => return Ok(Change::Conflict(Some(old))),
                answer => answer.is_applied(),
            },
            Err(failed) => return Err(during(Operation::Remove)(failed)),
        };
        let answer = match condition {
            Condition::Any => self.remove_any(key).await?,
            Condition::Absent => match self.new.remove(key, condition).await? {
                Change::Conflict(Some(other)) if is_reservation(&other) => Change::Applied,
                answer => answer,
            },
            Condition::Revision(_) => without_reservation(self.new.remove(key, condition).await?),
        };
        Ok(if removed && answer == Change::Conflict(None) { Change::Applied } else { answer })
    }

    /// Removes at the revision that it finds: under `Any` it could remove a reservation, and the caller would believe
    /// that it has ended a session.
    async fn remove_any(&self, key: &Key) -> Result<Change> {
        loop {
            let found = match self.new.retrieve(key).await {
                Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                    return self.new.remove(key, Condition::Any).await;
                }
                found => found.map_err(|error| error.during(Operation::Remove))?,
            };
            let Some(found) = found.filter(|record| !is_reservation(record)) else {
                return Ok(Change::Conflict(None));
            };
            if self.new.remove(key, Condition::Revision(found.revision)).await?.is_applied() {
                return Ok(Change::Applied);
            }
        }
    }
}

/// A conflict with a reservation is a conflict with nothing.
fn without_reservation(answer: Change) -> Change {
    match answer {
        Change::Conflict(Some(other)) if is_reservation(&other) => Change::Conflict(None),
        answer => answer,
    }
}

/// The error of a change that failed while its record moved.
fn during(operation: Operation) -> impl Fn(SidedError) -> StoreError {
    move |failed| failed.error.during(operation)
}
