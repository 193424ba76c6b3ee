//! The internal error, and what it means to a caller.

use std::io;

use session_core::{Operation, StoreError, StoreErrorKind};

/// Why an operation failed. The operation changed nothing.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Another thread or process holds a lock.
    Busy,
    /// The operation takes too long for the caller's thread. A worker thread never fails with this.
    NeedsThread,
    /// No room in the file or on the disk.
    Full,
    /// The named part of the file is damaged.
    Damaged(&'static str),
    /// The cursor belongs to another file or prefix.
    Cursor,
    /// A system call failed.
    Os(io::Error),
}

/// The detail of an error where a lock stays taken.
pub(crate) const LOCKED: &str = "another thread or process holds a lock of the file";

impl Fault {
    pub(crate) fn during(self, operation: Operation) -> StoreError {
        let error = |kind, detail| StoreError::new(kind, operation).with_detail(detail);
        match self {
            Self::Busy | Self::NeedsThread => error(StoreErrorKind::Unavailable, LOCKED),
            Self::Full => error(StoreErrorKind::Full, "max_bytes is reached or the disk is full"),
            Self::Damaged(part) => error(StoreErrorKind::Corrupt, part),
            Self::Cursor => StoreError::invalid_cursor("not a cursor of this file and prefix"),
            Self::Os(cause) => StoreError::new(StoreErrorKind::from_io(&cause), operation).with_source(cause),
        }
    }
}
