//! What sled's errors and panics mean to the caller.

use std::io::ErrorKind as Io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use session_core::{Operation, Result, StoreError, StoreErrorKind};

/// An error of sled. None of sled's error texts contains keys or values.
pub(crate) fn from_sled(cause: sled::Error, operation: Operation) -> StoreError {
    let kind = match &cause {
        sled::Error::Io(io) => match StoreErrorKind::from_io(io) {
            StoreErrorKind::Full => StoreErrorKind::Full,
            StoreErrorKind::Misconfigured
                if matches!(io.kind(), Io::PermissionDenied | Io::ReadOnlyFilesystem) =>
            {
                StoreErrorKind::Misconfigured
            }
            // Never retryable: sled stops at its first error.
            _ => StoreErrorKind::Backend,
        },
        sled::Error::Corruption { .. } => StoreErrorKind::Corrupt,
        sled::Error::Unsupported(_) | sled::Error::CollectionNotFound(_) => StoreErrorKind::Misconfigured,
        sled::Error::ReportableBug(_) => StoreErrorKind::Backend,
    };
    let error = StoreError::new(kind, operation).with_source(cause);
    // sled has one log: after a failed write it is unknown which changes the log holds. A damaged page is detected
    // before anything is written.
    if kind == StoreErrorKind::Corrupt { error } else { error.applied_unknown() }
}

/// Runs `work`, which calls sled, and turns a panic into an error. sled panics on much damage of its files. The panic's
/// text goes to the program's panic hook only, because it may show pages and so keys and data.
pub(crate) fn contain<T>(operation: Operation, work: impl FnOnce() -> Result<T>) -> Result<T> {
    // Unwind safe: this crate's state is changed by atomics and short locks only, and sled releases its own locks.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_panic| {
        // While opening, a panic is always about the contents of the files.
        let kind =
            if operation == Operation::Open { StoreErrorKind::Corrupt } else { StoreErrorKind::Backend };
        Err(StoreError::new(kind, operation).with_detail("sled panicked").applied_unknown())
    })
}

#[cfg(test)]
mod tests {
    use session_core::Applied;

    use super::*;

    #[test]
    fn panic_of_sled_is_an_error_without_its_text() {
        let error = contain::<()>(Operation::Store, || panic!("a page with user:alice")).unwrap_err();
        assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Backend, Applied::Unknown));
        assert!(!format!("{error:?}").contains("alice"), "{error:?}");
        let error = contain::<()>(Operation::Open, || panic!("a page")).unwrap_err();
        assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Corrupt, Applied::No));
    }
}
