//! What sled's errors mean to a caller.

use session_core::{Error, ErrorKind, Operation};

/// An error of sled in `operation`. None of its texts holds keys or values of ours.
pub(crate) fn from_sled(cause: sled::Error, operation: Operation) -> Error {
    let changes = matches!(
        operation,
        Operation::Store | Operation::Remove | Operation::Touch | Operation::Purge | Operation::Flush
    );
    let kind = match &cause {
        sled::Error::Io(io) => match io.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::Full,
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                ErrorKind::Misconfigured
            }
            _ => ErrorKind::Backend,
        },
        sled::Error::Corruption { .. } => ErrorKind::Corrupt,
        sled::Error::Unsupported(_) | sled::Error::CollectionNotFound(_) => ErrorKind::Misconfigured,
        sled::Error::ReportableBug(_) => ErrorKind::Backend,
    };
    let error = Error::new(kind, operation).with_source(cause);
    // sled has one log for everybody: where writing it fails, what it holds of a change is not known.
    if changes { error.applied_unknown() } else { error }
}
