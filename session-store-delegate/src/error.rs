//! The errors of a model, and of damaged fields.

use session_core::{Applied, Operation, StoreError, StoreErrorKind};

use crate::model::Model;

/// Why a unit of work failed before its flush.
#[derive(Debug)]
pub(crate) enum UnitError<E> {
    /// An accessor failed.
    Model(E),
    /// A field is damaged. Says which.
    Corrupt(&'static str),
}

impl<E> From<E> for UnitError<E> {
    fn from(error: E) -> Self {
        Self::Model(error)
    }
}

impl<E> UnitError<E> {
    pub(crate) fn during<M: Model<Error = E>>(self, model: &M, operation: Operation) -> StoreError {
        match self {
            Self::Model(cause) => before_flush(model, cause, operation),
            Self::Corrupt(field) => StoreError::new(StoreErrorKind::Corrupt, operation).with_detail(field),
        }
    }
}

/// The error of a call before the flush, which has written nothing.
pub(crate) fn before_flush<M: Model>(model: &M, cause: M::Error, operation: Operation) -> StoreError {
    let (kind, _) = model.classify(&cause);
    StoreError::new(kind, operation).with_source(cause)
}

/// The error of a flush or a sync. The model knows whether it was applied.
pub(crate) fn in_flush<M: Model>(model: &M, cause: M::Error, operation: Operation) -> StoreError {
    let (_, applied) = model.classify(&cause);
    let error = before_flush(model, cause, operation);
    if applied == Applied::Unknown { error.applied_unknown() } else { error }
}
