//! A file that may be taken away while it is open.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Operation, Result, StoreError, StoreErrorKind};

/// A file or directory as a driver opened it. For drivers that keep files open.
///
/// A process keeps a removed or replaced file open and goes on with it. Other processes use another file, and what this
/// one writes is gone when it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownFile {
    path: PathBuf,
    id: FileId,
}

/// Device and inode number.
pub(crate) type FileId = (u64, u64);

impl KnownFile {
    /// The file at `path`, as it is now. A later change of the working directory has no effect.
    ///
    /// # Errors
    /// The kind of the failed system call, with the path.
    pub fn at(path: &Path) -> Result<Self> {
        let found = std::path::absolute(path).and_then(|path| Ok(Self { id: identify(&path)?, path }));
        found.map_err(|cause| {
            let error = StoreError::new(StoreErrorKind::from_io(&cause), Operation::Open);
            error.with_detail(path.display().to_string()).with_source(cause)
        })
    }

    /// Whether another file or nothing is at the path now. A path that cannot be reached for another reason, such as a
    /// lost right, is not known to be gone.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        match identify(&self.path) {
            Ok(found) => found != self.id,
            Err(cause) => matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        }
    }

    /// Fails if the file is gone from its path.
    ///
    /// # Errors
    /// `Unavailable`, with the path.
    pub fn check(&self, operation: Operation) -> Result<()> {
        if self.is_gone() { Err(self.gone(operation)) } else { Ok(()) }
    }

    /// The error of an operation on a file that is gone.
    #[must_use]
    pub fn gone(&self, operation: Operation) -> StoreError {
        StoreError::new(StoreErrorKind::Unavailable, operation)
            .with_detail(format!("{}: removed or replaced while the store is open", self.path.display()))
    }

    pub(crate) fn id(&self) -> FileId {
        self.id
    }
}

#[cfg(unix)]
fn identify(path: &Path) -> io::Result<FileId> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

/// An open file cannot be removed there, and no process forks.
#[cfg(not(unix))]
fn identify(path: &Path) -> io::Result<FileId> {
    std::fs::metadata(path).map(|_| (0, 0))
}
