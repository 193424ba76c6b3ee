//! The errors of the model and their kinds.

use rusqlite::ErrorCode;
use session_core::{Applied, StoreError, StoreErrorKind};

/// The model's error. SQLite's messages name tables and columns, and no values.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// SQLite refused or failed.
    #[error("SQLite failed")]
    Sqlite(#[from] rusqlite::Error),
    /// The file cannot be reached, or was opened before a fork.
    #[error(transparent)]
    File(#[from] StoreError),
    /// Another connection reads or writes, so the log cannot be moved into the file.
    #[error("the file is busy")]
    Busy,
    /// The index of the ids leads to another row.
    #[error("the index of the ids is damaged; REINDEX repairs it")]
    Index,
    /// A visitor has no field of this name.
    #[error("a visitor has no field '{0}'")]
    NoSuchField(String),
}

impl Error {
    /// For [`Model::classify`](session_store_delegate::Model::classify).
    pub(crate) fn classify(&self) -> (StoreErrorKind, Applied) {
        use ErrorCode::{
            CannotOpen, DatabaseBusy, DatabaseCorrupt, DatabaseLocked, DiskFull, NotADatabase,
            PermissionDenied, ReadOnly, TooBig,
        };
        let code = match self {
            Self::Sqlite(error) => error.sqlite_error_code(),
            Self::File(error) => return (error.kind(), Applied::No),
            Self::Busy => return (StoreErrorKind::Unavailable, Applied::No),
            Self::Index => return (StoreErrorKind::Corrupt, Applied::No),
            Self::NoSuchField(_) => return (StoreErrorKind::Misconfigured, Applied::No),
        };
        // A flush is one statement, which SQLite applies as a whole or not at all.
        match code {
            Some(DatabaseBusy | DatabaseLocked) => (StoreErrorKind::Unavailable, Applied::No),
            Some(DiskFull) => (StoreErrorKind::Full, Applied::No),
            Some(TooBig) => (StoreErrorKind::TooLarge, Applied::No),
            Some(ReadOnly | CannotOpen | PermissionDenied) => (StoreErrorKind::Misconfigured, Applied::No),
            Some(DatabaseCorrupt | NotADatabase) => (StoreErrorKind::Corrupt, Applied::Unknown),
            _ => (StoreErrorKind::Backend, Applied::Unknown),
        }
    }
}
