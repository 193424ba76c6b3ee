//! Whether the files that SQLite has open are still at their paths.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use session_core::{KnownFile, Operation, Result, StoreError};

/// The database, its write-ahead log and the index of the log, as they were when the store was opened.
#[derive(Debug)]
pub(crate) struct Files {
    known: [KnownFile; 3],
    gone: AtomicBool,
}

impl Files {
    /// The files of an open database.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let beside = |suffix: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            KnownFile::at(Path::new(&name))
        };
        let known = [KnownFile::at(path)?, beside("-wal")?, beside("-shm")?];
        Ok(Self { known, gone: AtomicBool::new(false) })
    }

    /// Looks for the files. Returns whether all are there.
    pub(crate) fn look(&self) -> bool {
        let gone = self.known.iter().any(KnownFile::is_gone);
        self.gone.store(gone, Ordering::Relaxed);
        !gone
    }

    /// Fails if a file was missing when it was last looked for.
    pub(crate) fn check(&self, operation: Operation) -> Result<()> {
        if self.gone.load(Ordering::Relaxed) { Err(self.error(operation)) } else { Ok(()) }
    }

    pub(crate) fn error(&self, operation: Operation) -> StoreError {
        let gone = self.known.iter().find(|file| file.is_gone());
        gone.unwrap_or(&self.known[0]).gone(operation)
    }
}
