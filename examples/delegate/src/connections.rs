//! A small pool of connections, so that the example needs no other crate.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};
use session_core::{KnownFile, OpenFile, Opener, Operation, StoreError, StoreErrorKind, check_path};

use crate::error::Error;

/// How long a write waits for another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// Most idle connections.
const IDLE: usize = 8;
/// Prepared statements per connection.
const STATEMENTS: usize = 32;

pub(crate) struct Connections {
    path: PathBuf,
    max_pages: Option<u32>,
    idle: Mutex<Vec<Connection>>,
    file: KnownFile,
    /// SQLite's connections do not work in a forked child.
    opener: Opener,
    _registered: OpenFile,
}

impl Connections {
    /// Creates the file if it is missing.
    pub(crate) fn open(path: PathBuf, max_pages: Option<u32>) -> Result<Self, Error> {
        // rusqlite would take it for a URI, or for a database in memory of each connection.
        check_path(&path)?;
        // If this fails for another reason than an existing file, so does the next line.
        let _ = File::create_new(&path);
        let registered = OpenFile::register(&path)?;
        let (opener, file) = (Opener::this_process(), KnownFile::at(&path)?);
        Ok(Self { path, max_pages, idle: Mutex::default(), file, opener, _registered: registered })
    }

    /// Runs `work` on an idle or a new connection. If `work` panics, the connection is closed.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        self.opener.check(Operation::Open)?;
        // Other processes do not see what is written to a file that was removed or replaced.
        self.file.check(Operation::Open)?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let answer = work(&connection);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push(connection);
        }
        Ok(answer?)
    }

    fn connect(&self) -> Result<Connection, Error> {
        let connection = Connection::open(&self.path).map_err(|error| self.explain(error))?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        // Otherwise SQLite plans a join again for each value.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        // An acknowledged write survives a killed process, and power loss after `sync`.
        connection.pragma_update(None, "synchronous", "normal")?;
        if let Some(pages) = self.max_pages {
            connection.pragma_update(None, "max_page_count", pages)?;
        }
        Ok(connection)
    }

    /// SQLite does not say why it cannot open a file. The directory shows whether there is no file descriptor left;
    /// opening the file itself would release the locks of this process on it.
    fn explain(&self, error: rusqlite::Error) -> Error {
        let directory = self.path.parent().filter(|directory| !directory.as_os_str().is_empty());
        match directory.map(File::open) {
            Some(Err(cause)) if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) => {
                let kind = StoreErrorKind::from_io(&cause);
                StoreError::new(kind, Operation::Open).with_source(cause).into()
            }
            _ => error.into(),
        }
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        // Closing a connection in a forked child damages the file.
        if !self.opener.is_here() {
            let idle = self.idle.get_mut().unwrap_or_else(PoisonError::into_inner);
            idle.drain(..).for_each(std::mem::forget);
        }
    }
}
