//! The write-ahead log: how long it is, moving it into the file, synchronizing it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::{fs, io};

use rusqlite::Connection;
use session_core::StoreErrorKind;

use crate::config::PAGE_BYTES;
use crate::error::Cause;
use crate::open::sync_directory;
use crate::schema::APPLICATION_ID;

/// The length of the log after the last commit, and the length at which the next checkpoint is due. In pages.
#[derive(Debug)]
pub(crate) struct Log {
    pages: AtomicU64,
    due: AtomicU64,
    step: u64,
    /// A commit has reached the operating system and perhaps not the disk.
    unsynced: AtomicBool,
    /// The disk is full, and the log may be the reason.
    cramped: AtomicBool,
}

/// A shorter log is not the reason for a full disk.
const WORTH_MOVING: u64 = (1 << 20) / PAGE_BYTES;

impl Log {
    pub(crate) fn new(step: u64) -> Self {
        let step = (step / PAGE_BYTES).max(1);
        Self {
            pages: AtomicU64::new(0),
            due: AtomicU64::new(step),
            step,
            unsynced: AtomicBool::new(false),
            cramped: AtomicBool::new(false),
        }
    }

    pub(crate) fn committed(&self, pages: u64) {
        self.unsynced.store(true, Ordering::Release);
        // A shorter log was restarted.
        if pages < self.pages.swap(pages, Ordering::Relaxed) {
            self.due.store(self.step, Ordering::Relaxed);
        }
    }

    pub(crate) fn is_unsynced(&self) -> bool {
        self.unsynced.load(Ordering::Acquire)
    }

    /// A change was refused. A long log is moved if the disk is full.
    pub(crate) fn refused(&self, cause: &Cause) {
        if cause.kind() == StoreErrorKind::Full && self.pages() >= WORTH_MOVING {
            self.cramped.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a change was refused because the disk is full and the log is long. Resets itself.
    pub(crate) fn was_cramped(&self) -> bool {
        self.cramped.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn is_due(&self) -> bool {
        self.pages() >= self.due.load(Ordering::Relaxed) || self.cramped.load(Ordering::Relaxed)
    }

    pub(crate) fn pages(&self) -> u64 {
        self.pages.load(Ordering::Relaxed)
    }

    /// A checkpoint has seen the log at this length.
    pub(crate) fn checkpointed(&self, pages: u64) {
        self.due.store(pages + self.step, Ordering::Relaxed);
    }

    /// Synchronizes the log of the file at `path`: from then on everything that is committed survives power loss.
    ///
    /// Committed pages are in the log, or were moved into the file, which was then synchronized. Only the log and its
    /// directory entry are left. (A checkpoint is not enough: while a reader blocks it, it succeeds without
    /// synchronizing.) The log may be opened and closed here, because SQLite holds no locks on it. Closing the file
    /// itself would drop the locks of this process.
    ///
    /// The log exists as long as a connection is open. A missing log was moved or deleted by another program, and then
    /// the acknowledged writes may be lost, so it is an error.
    pub(crate) fn sync(&self, path: &Path) -> io::Result<()> {
        self.unsynced.store(false, Ordering::Release);
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        fs::OpenOptions::new().write(true).open(log)?.sync_all()?;
        sync_directory(path)
    }
}

/// Restarts a log that was moved, with a write that changes nothing.
///
/// Restarting synchronizes the log's header. So it is done here and while opening, not by the next caller on its own
/// thread.
pub(crate) fn restart(connection: Option<&Connection>) {
    if let Some(connection) = connection {
        // The same in every version of the schema. If another process holds the lock, it has restarted the log.
        let _ = connection.pragma_update(None, "application_id", APPLICATION_ID);
    }
}

/// The result of a checkpoint.
pub(crate) struct Moved {
    /// The whole log is in the file, and no connection reads from the log.
    pub(crate) all: bool,
    pub(crate) pages: u64,
}

/// Moves the log into the file, as far as `mode` can.
pub(crate) fn move_into_file(connection: &Connection, mode: &str) -> Result<Moved, Cause> {
    let statement = format!("PRAGMA wal_checkpoint({mode})");
    let (busy, pages, moved): (bool, i64, i64) = connection
        .prepare_cached(&statement)?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(Moved { all: !busy && pages == moved, pages: u64::try_from(pages).unwrap_or(0) })
}
