//! The driver over a store of another project.

use std::sync::Arc;

use session_core::{
    Capabilities, Change, ChangeRequest, Clock, Condition, Cursor, Decision, Driver, Found, Key, Operation,
    Page, Prefix, Record, Result, StoreError, StoreErrorKind, Survives, SystemClock, Timestamp, Touch,
};

use crate::foreign::{Created, Foreign, Refused, Saved};

/// A driver over a [`Foreign`] store. A conditional change is a load, a comparison and a save, as an application has to
/// write it.
#[derive(Clone, Debug)]
pub struct Adapted<F> {
    store: F,
    survives: Survives,
}

/// How often a store without a condition begins again because another caller created or deleted the session meanwhile.
const TRIES: usize = 20;

impl<F: Foreign> Adapted<F> {
    /// A driver over `store`, whose acknowledged changes survive as much as `survives` says.
    pub fn new(store: F, survives: Survives) -> Self {
        Self { store, survives }
    }

    /// Loads the session, and lets other tasks run before the caller acts on it: in an application the handler runs
    /// there.
    async fn look(&self, key: &Key, operation: Operation) -> Result<Option<Record>> {
        let found = self.store.load(key).await.map_err(|error| failed(operation, error))?;
        tokio::task::yield_now().await;
        Ok(found)
    }

    /// Creates the session, or saves it if it exists. This is what the session of such a library does.
    async fn put(&self, key: &Key, record: &Record) -> Result<Change> {
        let error = |error| failed(Operation::Store, error);
        for _ in 0..TRIES {
            let is_there = self.store.load(key).await.map_err(error)?.is_some();
            if !is_there && self.store.create(key, record).await.map_err(error)? == Created::Here {
                return Ok(Change::Applied);
            }
            // Also after a refused creation: the store may keep an expired session under the id.
            if self.store.save(key, record).await.map_err(error)? == Saved::Done {
                return Ok(Change::Applied);
            }
        }
        Err(failed(Operation::Store, Refused::new("the store neither creates nor saves the session")))
    }

    async fn create(&self, key: &Key, record: &Record) -> Result<Change> {
        match self.store.create(key, record).await.map_err(|error| failed(Operation::Store, error))? {
            Created::Here => Ok(Change::Applied),
            Created::Taken => {
                let found = self.store.load(key).await.map_err(|error| failed(Operation::Store, error))?;
                let repeated = found.as_ref().is_some_and(|found| found.revision == record.revision);
                Ok(if repeated { Change::Applied } else { Change::Conflict(found) })
            }
        }
    }

    /// Loads, compares and writes.
    async fn change(&self, key: &Key, request: ChangeRequest) -> Result<Change> {
        let operation = request.operation();
        let found = self.look(key, operation).await?;
        // At the beginning of time nothing has expired: a session that the store returns counts as live.
        let stored = Found::of(found.as_ref(), Timestamp::EPOCH);
        let decision = request.decide(stored, Timestamp::EPOCH);
        match (decision, request, found) {
            (Decision::Write, ChangeRequest::Store { record, .. }, _) => {
                self.replace(key, &record, operation).await
            }
            (Decision::Write, ChangeRequest::Touch(touch), Some(found)) => {
                let touched = Record { expires: touch.deadline, revision: touch.to, ..found };
                self.replace(key, &touched, operation).await
            }
            (Decision::Delete, _, _) => {
                self.store.delete(key).await.map_err(|error| failed(operation, error))?;
                Ok(Change::Applied)
            }
            (Decision::Conflict, _, found) => Ok(Change::Conflict(found)),
            _ => Ok(Change::Applied),
        }
    }

    async fn replace(&self, key: &Key, record: &Record, operation: Operation) -> Result<Change> {
        match self.store.save(key, record).await.map_err(|error| failed(operation, error))? {
            Saved::Done => Ok(Change::Applied),
            Saved::Gone => Ok(Change::Conflict(None)),
        }
    }
}

impl<F: Foreign> Driver for Adapted<F> {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        self.store.load(key).await.map_err(|error| failed(Operation::Retrieve, error))
    }

    async fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        match condition {
            Condition::Any => self.put(key, &record).await,
            Condition::Absent => self.create(key, &record).await,
            Condition::Revision(_) => self.change(key, ChangeRequest::Store { record, condition }).await,
        }
    }

    async fn remove(&self, key: &Key, condition: Condition) -> Result<Change> {
        self.change(key, ChangeRequest::Remove { condition }).await
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        Ok(self.change(key, ChangeRequest::Touch(touch)).await?.is_applied())
    }

    async fn traverse(&self, _: &Prefix, _: Cursor, _: usize) -> Result<Page> {
        Err(StoreError::unsupported(Operation::Traverse))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::none().conditional(true).survives(self.survives)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        SystemClock::shared()
    }
}

/// The traits have one kind of error for everything that a store refuses.
fn failed(operation: Operation, error: Refused) -> StoreError {
    let detail = error.0.clone();
    StoreError::new(StoreErrorKind::Backend, operation).with_detail(detail).with_source(error)
}
