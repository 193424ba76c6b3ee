//! The kinds of SQLite's errors.

use rusqlite::ErrorCode;
use session_core::{Operation, StoreError, StoreErrorKind};

/// `SQLITE_IOERR_SHMSIZE`: the index of the write-ahead log could not grow, because the disk is full.
const IOERR_SHMSIZE: i32 = 10 | (19 << 8);

/// `SQLITE_READONLY_DBMOVED`: the file was removed or renamed.
const READONLY_DBMOVED: i32 = 8 | (4 << 8);

/// The detail of an error after `busy_timeout`.
pub(crate) const BUSY: &str = "another process or connection holds the lock";

/// Why a statement or a row failed.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// SQLite failed.
    Engine(Cause),
    /// The row is not a record. Says which column is damaged.
    Row(&'static str),
    /// The index of the keys leads to the record of another key.
    Index,
    /// The stored data is too large for the caller's thread.
    Large,
}

/// An error of SQLite: its code and message, which show no bound value.
///
/// `rusqlite::Error` is not in this crate's public API, and it has no `Clone` for the callers whose changes failed
/// together.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text} (SQLite code {extended})")]
pub(crate) struct Cause {
    code: Option<ErrorCode>,
    extended: i32,
    text: String,
}

impl Cause {
    /// Another connection holds the lock: the same statement may succeed in a moment.
    pub(crate) fn is_busy(&self) -> bool {
        use ErrorCode::{DatabaseBusy, DatabaseLocked, FileLockingProtocolFailed};
        matches!(self.code, Some(DatabaseBusy | DatabaseLocked | FileLockingProtocolFailed))
    }

    /// Whether a `COMMIT` that failed like this wrote no commit mark. After another failure, of a disk, the mark may be
    /// in the log, and a process that recovers the log may find it.
    pub(crate) fn is_surely_not_committed(&self) -> bool {
        self.is_busy() || self.kind() == StoreErrorKind::Full
    }

    pub(crate) fn kind(&self) -> StoreErrorKind {
        use ErrorCode::{
            AuthorizationForStatementDenied, CannotOpen, DatabaseCorrupt, DiskFull, NotADatabase,
            PermissionDenied, ReadOnly, TooBig,
        };
        match self.code {
            _ if self.is_busy() => StoreErrorKind::Unavailable,
            _ if self.extended == IOERR_SHMSIZE => StoreErrorKind::Full,
            _ if self.extended == READONLY_DBMOVED => StoreErrorKind::Unavailable,
            Some(ErrorCode::OutOfMemory) => StoreErrorKind::Unavailable,
            Some(DiskFull) => StoreErrorKind::Full,
            Some(DatabaseCorrupt | NotADatabase) => StoreErrorKind::Corrupt,
            Some(ReadOnly | CannotOpen | PermissionDenied | AuthorizationForStatementDenied) => {
                StoreErrorKind::Misconfigured
            }
            Some(TooBig) => StoreErrorKind::TooLarge,
            _ => StoreErrorKind::Backend,
        }
    }

    pub(crate) fn during(self, operation: Operation) -> StoreError {
        let kind = self.kind();
        let error = StoreError::new(kind, operation);
        let error = match kind {
            StoreErrorKind::Unavailable if self.is_busy() => error.with_detail(BUSY),
            StoreErrorKind::Full => error.with_detail("disk is full, or max_bytes is reached"),
            _ => error,
        };
        error.with_source(self)
    }

    /// The error of opening `path`. A file that is not a database is a wrong path, not a damaged record.
    pub(crate) fn at_open(self, path: &std::path::Path) -> StoreError {
        let kind = match self.code {
            Some(ErrorCode::NotADatabase) => StoreErrorKind::Misconfigured,
            // SQLite does not say why. Opening the file itself would release the locks of this process on it.
            Some(ErrorCode::CannotOpen) => match path.parent().map(std::fs::File::open) {
                Some(Err(cause)) => StoreErrorKind::from_io(&cause),
                _ => self.kind(),
            },
            _ => self.kind(),
        };
        StoreError::new(kind, Operation::Open).with_detail(format!("{}", path.display())).with_source(self)
    }
}

impl From<rusqlite::Error> for Cause {
    fn from(error: rusqlite::Error) -> Self {
        let sqlite = error.sqlite_error();
        Self {
            code: sqlite.map(|failure| failure.code),
            extended: sqlite.map_or(0, |failure| failure.extended_code),
            text: match error {
                rusqlite::Error::SqliteFailure(failure, None) => failure.to_string(),
                rusqlite::Error::SqliteFailure(_, Some(text)) => text,
                // The statement is ours and its values are bound, so the message shows none.
                rusqlite::Error::SqlInputError { msg, .. } => msg,
                other => other.to_string(),
            },
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine(error.into())
    }
}

impl Fault {
    /// Whether a thread of the driver has to try again.
    pub(crate) fn needs_thread(&self) -> bool {
        match self {
            Self::Engine(cause) => cause.is_busy(),
            Self::Large => true,
            Self::Row(_) | Self::Index => false,
        }
    }

    pub(crate) fn during(self, operation: Operation) -> StoreError {
        match self {
            Self::Engine(cause) => cause.during(operation),
            Self::Row(column) => StoreError::new(StoreErrorKind::Corrupt, operation).with_detail(column),
            Self::Large => StoreError::new(StoreErrorKind::Backend, operation),
            Self::Index => StoreError::new(StoreErrorKind::Corrupt, operation)
                .with_detail("index of the keys is damaged; REINDEX repairs it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(extended: i32) -> Cause {
        rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(extended), None).into()
    }

    #[test]
    fn codes_have_the_right_kinds() {
        for (kind, codes) in [
            (StoreErrorKind::Unavailable, &[5, 5 | (1 << 8), 6, 15, 7, READONLY_DBMOVED][..]),
            (StoreErrorKind::Full, &[13, IOERR_SHMSIZE]),
            (StoreErrorKind::Corrupt, &[11, 26]),
            (StoreErrorKind::Misconfigured, &[8, 14, 3]),
            (StoreErrorKind::TooLarge, &[18]),
            (StoreErrorKind::Backend, &[10 | (4 << 8), 1]),
        ] {
            for extended in codes {
                assert_eq!(cause(*extended).kind(), kind, "code {extended}");
            }
        }
        let path = std::path::Path::new("/srv/notes.txt");
        assert_eq!(cause(26).at_open(path).kind(), StoreErrorKind::Misconfigured);
        assert!(cause(26).at_open(path).to_string().contains("/srv/notes.txt"));
    }

    #[test]
    fn a_commit_that_fails_on_the_disk_is_unknown() {
        assert!(cause(13).is_surely_not_committed() && cause(5).is_surely_not_committed());
        assert!(!cause(10 | (4 << 8)).is_surely_not_committed());
    }
}
