//! The directories of drivers that store files.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::path::Path;

use crate::error::{Operation, Result, StoreError, StoreErrorKind};

/// Creates the directory of a driver that opens, with mode 0700. Returns whether it was missing.
///
/// Creates no parents, so that a mistyped path or an unmounted disk is an error.
///
/// # Errors
/// `Full`, `Unavailable` for a shortage that passes, or `Misconfigured` for every other refusal. The text contains the path.
pub fn create_directory(path: &Path) -> Result<bool> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Ok(()) => Ok(true),
        Err(cause) if cause.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(cause) => {
            let kind = match StoreErrorKind::from_io(&cause) {
                kind @ (StoreErrorKind::Full | StoreErrorKind::Unavailable) => kind,
                _ => StoreErrorKind::Misconfigured,
            };
            let detail = format!("{}: directory cannot be created", path.display());
            Err(StoreError::new(kind, Operation::Open).with_detail(detail).with_source(cause))
        }
    }
}
