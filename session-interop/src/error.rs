//! Why a call failed.

use std::error::Error as StdError;

use session_core::{StoreError, StoreErrorKind};

/// Why a call failed: a kind, and the store's error if the store failed. Its texts show no id and no value.
///
/// actix-session's errors hold it, and `downcast_ref` finds it there. Those of tower-sessions hold its text.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct Error {
    kind: ErrorKind,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The session was deleted or has expired since the request loaded it. Saving it would bring it back.
    #[error("session has ended")]
    Ended,
    /// Another request has changed a value that this one has changed too. Saving would undo that change.
    #[error("another request changed the same value")]
    Changed,
    /// Other requests changed the session on each of many tries.
    #[error("session changed on every try")]
    Contended,
    /// A free id was not found.
    #[error("every new id was taken")]
    NoFreeId,
    /// A value cannot be written so that it can be read again: it is nested too deeply.
    #[error("session cannot be encoded")]
    Encode,
    /// The stored bytes are no session of this crate, or one of a later version.
    #[error("stored session cannot be decoded")]
    Decode,
    /// The store failed. `source()` is its error.
    #[error("store failed")]
    Store,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self { kind, source: None }
    }

    pub(crate) fn with_source(mut self, cause: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(cause));
        self
    }

    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let kind = if error.kind() == StoreErrorKind::Corrupt { ErrorKind::Decode } else { ErrorKind::Store };
        Self::new(kind).with_source(error)
    }
}
