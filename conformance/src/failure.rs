//! How a check fails.

use std::fmt::{Debug, Display};

use crate::harness::HarnessError;

/// The result of a clause's function.
pub(crate) type Check = Result<(), Failure>;

/// Why a check failed.
#[derive(Clone, Debug)]
pub enum Failure {
    /// The driver breaks the clause.
    Unmet {
        /// The requirement of the clause.
        expected: String,
        /// What happened.
        actual: String,
    },
    /// The harness failed, which says nothing about the driver.
    Harness(String),
}

impl Failure {
    /// The same failure with more about what happened.
    #[cfg(feature = "session")]
    pub(crate) fn with(self, more: String) -> Self {
        match self {
            Self::Unmet { expected, actual } => {
                Self::Unmet { expected, actual: format!("{actual} ({more})") }
            }
            trouble => trouble,
        }
    }
}

impl From<HarnessError> for Failure {
    fn from(error: HarnessError) -> Self {
        Self::Harness(error.to_string())
    }
}

impl From<session_core::StoreError> for Failure {
    /// An unexpected error.
    fn from(error: session_core::StoreError) -> Self {
        unmet(format!("{} succeeds", error.operation()), format!("{error:?}"))
    }
}

/// The driver breaks the clause.
pub(crate) fn unmet(expected: impl Display, actual: impl Display) -> Failure {
    Failure::Unmet { expected: expected.to_string(), actual: actual.to_string() }
}

/// Fails unless `actual` equals `expected`. `what` names them in the message.
pub(crate) fn equal<T: PartialEq + Debug + ?Sized>(what: &str, actual: &T, expected: &T) -> Check {
    if actual == expected {
        Ok(())
    } else {
        Err(unmet(format!("{what}: {expected:?}"), format!("{actual:?}")))
    }
}

/// Fails unless `holds`. `actual` is shown in the message.
pub(crate) fn ensure(holds: bool, expected: impl Display, actual: impl Debug) -> Check {
    if holds { Ok(()) } else { Err(unmet(expected, format!("{actual:?}"))) }
}
