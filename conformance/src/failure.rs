//! What a check says when the driver does not keep a clause, and when the harness is to blame.

use std::fmt::{Debug, Display};

use crate::harness::HarnessError;

/// What a clause's function returns.
pub(crate) type Check = Result<(), Failure>;

/// Why a check did not come to a good end.
#[derive(Clone, Debug)]
pub enum Failure {
    /// The driver does not keep the clause.
    Unmet {
        /// What the clause demands here.
        expected: String,
        /// What happened.
        actual: String,
    },
    /// The harness could not do its part. This is no verdict on the driver.
    Trouble(String),
}

impl From<HarnessError> for Failure {
    fn from(trouble: HarnessError) -> Self {
        Self::Trouble(trouble.to_string())
    }
}

impl From<session_core::StoreError> for Failure {
    /// An error where none was expected.
    fn from(error: session_core::StoreError) -> Self {
        unmet("the call succeeds", format!("{error:?}"))
    }
}

/// A failure of the driver.
pub(crate) fn unmet(expected: impl Display, actual: impl Display) -> Failure {
    Failure::Unmet { expected: expected.to_string(), actual: actual.to_string() }
}

/// Fails with `actual` and `expected` unless they are equal. `what` says what was looked at.
pub(crate) fn equal<T: PartialEq + Debug>(what: &str, actual: &T, expected: &T) -> Check {
    if actual == expected {
        Ok(())
    } else {
        Err(unmet(format!("{what}: {expected:?}"), format!("{actual:?}")))
    }
}

/// Fails unless `holds`.
pub(crate) fn ensure(holds: bool, expected: impl Display, actual: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(unmet(expected, actual())) }
}
