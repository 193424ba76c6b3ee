//! What a model's failures mean to a caller.

use std::error::Error as StdError;

use session_core::{Applied, Operation, StoreError, StoreErrorKind};

use crate::model::Model;

/// Why a unit of work came to nothing before its flush.
#[derive(Debug)]
pub(crate) enum Trouble<E> {
    /// An accessor failed.
    Model(E),
    /// What a field holds is no part of a record. It says what is wrong.
    Corrupt(&'static str),
}

impl<E> From<E> for Trouble<E> {
    fn from(error: E) -> Self {
        Self::Model(error)
    }
}

/// When a call of the model failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Nothing had been handed over to be written.
    Before,
    /// In a flush: the model knows what became of it.
    Flush,
}

/// The error of `model` in `operation`.
pub(crate) fn from_model<M: Model>(
    model: &M,
    cause: M::Error,
    operation: Operation,
    moment: Moment,
) -> StoreError {
    let (kind, applied) = model.classify(&cause);
    let cause: Box<dyn StdError + Send + Sync> = Box::new(cause);
    let error = StoreError::new(kind, operation).with_source(cause);
    match (moment, applied) {
        (Moment::Flush, Applied::Unknown) => error.applied_unknown(),
        _ => error,
    }
}

/// The error of what failed before the flush.
pub(crate) fn from_trouble<M: Model>(
    model: &M,
    trouble: Trouble<M::Error>,
    operation: Operation,
) -> StoreError {
    match trouble {
        Trouble::Model(cause) => from_model(model, cause, operation, Moment::Before),
        Trouble::Corrupt(what) => StoreError::new(StoreErrorKind::Corrupt, operation).with_detail(what),
    }
}
