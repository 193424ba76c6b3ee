//! The three kinds of connections, and waiting for a lock of another process.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use session_core::{Durability, Result};

use crate::config::{PAGE_BYTES, SqliteConfig};
use crate::error::Cause;
use crate::queue::now;
use crate::{change, purge, read, traverse};

/// The connection that writes. It never waits for a lock and never checkpoints: both would block the thread that
/// commits, and the writer's and the keeper's threads do them.
pub(crate) fn writer(config: &SqliteConfig) -> Result<Connection> {
    ready(config, |connection| {
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        let synchronous = match config.durability {
            Durability::Process => "NORMAL",
            Durability::Power => "FULL",
        };
        connection.pragma_update(None, "synchronous", synchronous)?;
        // Only macOS needs this for an fsync that reaches the disk.
        connection.pragma_update(None, "fullfsync", config.durability == Durability::Power)?;
        connection.pragma_update(None, "journal_size_limit", bounded(config.max_wal_bytes))?;
        if let Some(bytes) = config.max_bytes {
            let pragma = format!("PRAGMA max_page_count = {}", bytes / PAGE_BYTES);
            connection.query_row(&pragma, [], |_| Ok(()))?;
        }
        prepare_all(connection, &[change::STATEMENTS, purge::STATEMENTS, read::STATEMENTS])
    })
}

/// A connection that reads.
pub(crate) fn reader(config: &SqliteConfig) -> Result<Connection> {
    ready(config, |connection| {
        connection.pragma_update(None, "query_only", true)?;
        prepare_all(connection, &[read::STATEMENTS, traverse::STATEMENTS])
    })
}

/// The connection that checkpoints. It waits shortly for readers that are in the middle of a row.
pub(crate) fn keeper(config: &SqliteConfig) -> Result<Connection> {
    ready(config, |connection| {
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "checkpoint_fullfsync", true)?;
        connection.pragma_update(None, "journal_size_limit", bounded(config.max_wal_bytes))?;
        connection.busy_timeout(Duration::from_millis(20))
    })
}

fn ready(config: &SqliteConfig, set: impl Fn(&Connection) -> rusqlite::Result<()>) -> Result<Connection> {
    let failed = |cause: Cause| cause.at_open(&config.path);
    let connection = connect(&config.path).map_err(failed)?;
    let setting = || -> Result<(), Cause> {
        connection.pragma_update(None, "cache_size", -bounded(config.cache_bytes / 1024))?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "trusted_schema", false)?;
        set(&connection)?;
        Ok(())
    };
    retry(config.busy_timeout, setting).map_err(failed)?;
    Ok(connection)
}

/// A connection without settings.
pub(crate) fn connect(path: &Path) -> Result<Connection, Cause> {
    // Each connection is used by one thread at a time, so SQLite's own mutexes are not needed.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(32);
    // Otherwise SQLite plans a join again for each value, which takes three times as long as the join.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.busy_timeout(Duration::ZERO)?;
    Ok(connection)
}

/// A missing column is found now, and not by the first change or read.
fn prepare_all(connection: &Connection, statements: &[&[&str]]) -> rusqlite::Result<()> {
    statements.concat().iter().try_for_each(|statement| connection.prepare_cached(statement).map(drop))
}

fn bounded(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Repeats `attempt` while another connection holds the lock, for at most `timeout`.
pub(crate) fn retry<T>(timeout: Duration, mut attempt: impl FnMut() -> Result<T, Cause>) -> Result<T, Cause> {
    let deadline = now() + timeout;
    let mut tries = 0;
    loop {
        match attempt() {
            Err(cause) if cause.is_busy() && now() < deadline => pause(&mut tries),
            answer => return answer,
        }
    }
}

/// Waits a little longer each time, from about 0.1 to 4 ms, and by chance, so that processes that were refused together
/// do not try again together. Only for the driver's own threads and while opening.
#[expect(clippy::disallowed_methods, reason = "waits for another process, which no clock of ours moves")]
pub(crate) fn pause(tries: &mut u32) {
    use std::hash::{BuildHasher, RandomState};
    let longest = 200_u64 << (*tries).min(5);
    *tries += 1;
    let micros = longest / 3 + RandomState::new().hash_one(*tries) % longest;
    std::thread::sleep(Duration::from_micros(micros.min(4_000)));
}
