//! What sled's errors and panics mean to a caller.

use std::panic::{AssertUnwindSafe, catch_unwind};

use session_core::{Operation, Result, StoreError, StoreErrorKind};

/// An error of sled in `operation`. None of its texts holds keys or values of ours.
pub(crate) fn from_sled(cause: sled::Error, operation: Operation) -> StoreError {
    let kind = match &cause {
        sled::Error::Io(io) => match io.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => StoreErrorKind::Full,
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                StoreErrorKind::Misconfigured
            }
            _ => StoreErrorKind::Backend,
        },
        sled::Error::Corruption { .. } => StoreErrorKind::Corrupt,
        sled::Error::Unsupported(_) | sled::Error::CollectionNotFound(_) => StoreErrorKind::Misconfigured,
        sled::Error::ReportableBug(_) => StoreErrorKind::Backend,
    };
    let error = StoreError::new(kind, operation).with_source(cause);
    // sled has one log for everybody: where writing it fails, what it holds of a change is not known. A damaged page
    // is found before anything is written.
    if changes(operation) && kind != StoreErrorKind::Corrupt { error.applied_unknown() } else { error }
}

/// Runs `work`, which calls sled, and makes an error of a panic. sled panics on much that it does not expect in its
/// files. What the panic says is left to the program's panic hook, for it may show pages, and so keys and data.
pub(crate) fn contain<T>(operation: Operation, work: impl FnOnce() -> Result<T>) -> Result<T> {
    // Sound to go on after: ours is changed by atomics and short locks alone, and sled's own locks are released.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_panic| {
        // At the opening it is always what was found in the files.
        let kind =
            if operation == Operation::Open { StoreErrorKind::Corrupt } else { StoreErrorKind::Backend };
        let error = StoreError::new(kind, operation).with_detail("sled panicked");
        Err(if changes(operation) { error.applied_unknown() } else { error })
    })
}

fn changes(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::Store
            | Operation::Remove
            | Operation::Touch
            | Operation::Purge
            | Operation::Flush
            | Operation::Close
    )
}

#[cfg(test)]
mod tests {
    use session_core::Applied;

    use super::*;

    #[test]
    fn a_panic_of_the_engine_is_a_typed_error_without_its_text() {
        let error = contain::<()>(Operation::Store, || panic!("a page with user:alice")).unwrap_err();
        assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Backend, Applied::Unknown));
        assert!(!format!("{error:?}").contains("alice"), "{error:?}");
        let error = contain::<()>(Operation::Open, || panic!("a page")).unwrap_err();
        assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Corrupt, Applied::No));
    }
}
