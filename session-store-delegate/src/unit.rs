//! A unit of work: load an object, look at its fields or change them, flush it.

use session_core::{Condition, Gate, Key, Operation, Result, StoreError, StoreErrorKind, Timestamp};

use crate::config::DelegateConfig;
use crate::error::{UnitError, before_flush, in_flush};
use crate::mapping::{Fields, Location};
use crate::model::{Flushed, Model};

/// How often a unit of work is repeated after conflicts. Each conflict means that another writer succeeded, so this many
/// in a row come from a model that cannot compare.
const TRIES: usize = 1_000;

/// How a unit of work continues after its look at the fields.
pub(crate) enum Step<T> {
    /// The object is dropped unchanged, and this is the answer.
    Done(T),
    /// The object is flushed.
    Flush {
        expected: Condition,
        /// The answer if it was written.
        yes: T,
        /// The answer after a conflict. `None` begins a new unit of work.
        conflict: Option<T>,
    },
}

/// The state that the clones of a store share.
pub(crate) struct Inner<M> {
    pub(crate) config: DelegateConfig<M>,
    pub(crate) gate: Gate,
}

impl<M: Model> Inner<M> {
    pub(crate) fn check(&self, operation: Operation) -> Result<&Self> {
        self.gate.check(operation).map(|()| self)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.config.clock.now()
    }

    async fn load(&self, key: &Key, operation: Operation) -> Result<(Location, M::Delegate)> {
        let location = self.config.mapping.locate(key).map_err(|error| error.during(operation))?;
        let delegate = self.config.model.delegate(&location).await;
        let delegate = delegate.map_err(|cause| before_flush(&self.config.model, cause, operation))?;
        Ok((location, delegate))
    }

    /// A unit of work that changes nothing.
    pub(crate) async fn look<T>(
        &self,
        key: &Key,
        operation: Operation,
        look: impl Fn(&M::Delegate, &Fields, Timestamp) -> Result<T, UnitError<M::Error>> + Send,
    ) -> Result<T> {
        let (location, delegate) = self.load(key, operation).await?;
        let found = look(&delegate, &location.fields, self.now());
        found.map_err(|error| error.during(&self.config.model, operation))
    }

    /// A unit of work that may change something. It is repeated after a conflict that has no answer yet.
    pub(crate) async fn work<T: Send>(
        &self,
        key: &Key,
        operation: Operation,
        step: impl Fn(&mut M::Delegate, &Fields, Timestamp) -> Result<Step<T>, UnitError<M::Error>> + Send,
    ) -> Result<T> {
        for _ in 0..TRIES {
            let (location, mut delegate) = self.load(key, operation).await?;
            let next = step(&mut delegate, &location.fields, self.now());
            match next.map_err(|error| error.during(&self.config.model, operation))? {
                Step::Done(answer) => return Ok(answer),
                Step::Flush { expected, yes, conflict } => {
                    let flushed = self.config.model.flush(&location, delegate, expected).await;
                    match flushed.map_err(|cause| in_flush(&self.config.model, cause, operation))? {
                        Flushed::Yes => return Ok(yes),
                        Flushed::Conflict => {
                            if let Some(answer) = conflict {
                                return Ok(answer);
                            }
                        }
                    }
                }
            }
        }
        let error = StoreError::new(StoreErrorKind::Unavailable, operation);
        Err(error.with_detail(format!("flush reported {TRIES} conflicts in a row")))
    }

    pub(crate) async fn sync(&self, operation: Operation) -> Result<()> {
        let done = self.config.model.sync().await;
        done.map_err(|cause| in_flush(&self.config.model, cause, operation))
    }
}

/// The error of a model that lists keys of another prefix, or the same key again and again.
pub(crate) fn wrong_list(operation: Operation) -> StoreError {
    StoreError::new(StoreErrorKind::Backend, operation).with_detail("model listed other keys than requested")
}
