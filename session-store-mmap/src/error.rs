//! What can go wrong inside, and what it means to a caller.

use std::io;

use session_core::{Operation, StoreError, StoreErrorKind};

use crate::map::LockError;

/// Why an operation did not come to its end. None of them has changed anything.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Another thread or process holds a lock for longer than the patience of who asked for it.
    Busy,
    /// It would take longer than may be taken in place. Only who works in place is told this.
    Long,
    /// No room, neither in the file nor on the disk.
    Full,
    /// What was read is not what was written. It says where.
    Damaged(&'static str),
    /// The cursor is none of this file and prefix.
    Cursor,
    /// The operating system refused.
    Os(io::Error),
}

impl Fault {
    pub(crate) fn during(self, operation: Operation) -> StoreError {
        match self {
            Self::Busy | Self::Long => StoreError::new(StoreErrorKind::Unavailable, operation)
                .with_detail("another thread or process holds a lock of the file"),
            Self::Full => StoreError::new(StoreErrorKind::Full, operation)
                .with_detail("max_bytes is reached or the disk is full"),
            Self::Damaged(what) => StoreError::new(StoreErrorKind::Corrupt, operation).with_detail(what),
            Self::Cursor => StoreError::new(StoreErrorKind::InvalidCursor, operation)
                .with_detail("not a cursor of this file and prefix"),
            Self::Os(cause) => StoreError::new(kind(&cause), operation).with_source(cause),
        }
    }
}

/// The kind of a failed system call.
pub(crate) fn kind(cause: &io::Error) -> StoreErrorKind {
    use io::ErrorKind::{
        FileTooLarge, IsADirectory, NotADirectory, NotFound, PermissionDenied, QuotaExceeded,
        ReadOnlyFilesystem, StorageFull, Unsupported, WouldBlock,
    };
    match cause.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => StoreErrorKind::Full,
        // Somebody has it locked under another name of the file.
        WouldBlock => StoreErrorKind::Unavailable,
        NotFound | PermissionDenied | IsADirectory | NotADirectory | ReadOnlyFilesystem | Unsupported => {
            StoreErrorKind::Misconfigured
        }
        _ => StoreErrorKind::Backend,
    }
}

impl From<LockError> for Fault {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Busy => Self::Busy,
            LockError::Os(cause) => Self::Os(cause),
        }
    }
}
