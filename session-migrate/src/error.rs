//! Errors of `copy` and `verify`.

use session_core::{Operation, StoreError, StoreErrorKind};

use crate::position::Position;
use crate::report::CopyReport;

/// One of the two stores of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Side {
    /// The store that the records leave.
    #[error("the old store")]
    Old,
    /// The store that they move to.
    #[error("the new store")]
    New,
}

/// A copy or a comparison stopped, because a store failed.
///
/// Nothing is lost: every record is in at least one of the stores. Call the function again, from the
/// [`position`](Self::position) or from the beginning.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct MigrateError(Box<Inner>);

#[derive(Debug, thiserror::Error)]
#[error("{side}: {source}")]
struct Inner {
    side: Side,
    source: StoreError,
    position: Option<Position>,
    report: CopyReport,
}

impl MigrateError {
    pub(crate) fn new(sided: SidedError, position: Option<Position>, report: CopyReport) -> Self {
        Self(Box::new(Inner { side: sided.side, source: sided.error, position, report }))
    }

    /// The store that failed.
    #[must_use]
    pub fn side(&self) -> Side {
        self.0.side
    }

    /// Its error. [`StoreError::is_retryable`] says whether the call may succeed later without a change by the operator.
    #[must_use]
    pub fn store_error(&self) -> &StoreError {
        &self.0.source
    }

    /// Where a copy continues. `None` before its first page, and for a comparison.
    #[must_use]
    pub fn position(&self) -> Option<&Position> {
        self.0.position.as_ref()
    }

    /// The numbers of a copy before it stopped. Zero for a comparison.
    #[must_use]
    pub fn report(&self) -> &CopyReport {
        &self.0.report
    }
}

/// An error of one of the stores, and which.
pub(crate) struct SidedError {
    pub(crate) side: Side,
    pub(crate) error: StoreError,
}

pub(crate) type Sided<T> = Result<T, SidedError>;

/// Names the store that an answer comes from.
pub(crate) trait On<T> {
    fn on(self, side: Side) -> Sided<T>;
}

impl<T> On<T> for session_core::Result<T> {
    fn on(self, side: Side) -> Sided<T> {
        self.map_err(|error| SidedError { side, error })
    }
}

/// The error of a migration that cannot begin.
pub(crate) fn misconfigured(detail: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Misconfigured, Operation::Open).with_detail(detail)
}
