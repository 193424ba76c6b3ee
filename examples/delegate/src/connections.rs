//! Connections that are open and not in use. Any pool would do; this one needs no further crate.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

/// As many as this are kept.
const IDLE: usize = 8;
/// Prepared statements that each connection keeps.
const STATEMENTS: usize = 32;

pub(crate) struct Connections {
    path: PathBuf,
    busy: Duration,
    max_pages: Option<u32>,
    idle: Mutex<Vec<Connection>>,
}

impl Connections {
    pub(crate) fn new(path: PathBuf, busy: Duration, max_pages: Option<u32>) -> Self {
        Self { path, busy, max_pages, idle: Mutex::default() }
    }

    /// Runs `work` on a connection of its own. One on which `work` panics is closed and not used again.
    pub(crate) fn with<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
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
        answer
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open(&self.path)?;
        connection.busy_timeout(self.busy)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.pragma_update(None, "journal_mode", "wal")?;
        // An acknowledged write survives a killed process; what survives power loss, `sync` says.
        connection.pragma_update(None, "synchronous", "normal")?;
        if let Some(pages) = self.max_pages {
            connection.pragma_update(None, "max_page_count", pages)?;
        }
        Ok(connection)
    }
}
