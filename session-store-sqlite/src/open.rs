//! Opening the file and its connections.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use session_core::{Operation, Result, StoreError, StoreErrorKind};

use crate::config::{Durability, PAGE_BYTES, SqliteConfig};
use crate::error::Cause;
use crate::queue::now;
use crate::schema::{self, Found};
use crate::{change, query};

/// Makes the file where it is missing, checks that it is ours and brings its schema up to date.
///
/// A file that is not ours, or too new, is left as it is. In what it returns, the path is that of the file itself,
/// which no change of the working directory and no symbolic link leads elsewhere; the threads know no other.
pub(crate) fn prepare(mut config: SqliteConfig) -> Result<SqliteConfig> {
    make_directory(&config)?;
    let made = make_file(&config)?;
    // SQLite does the same and puts the log beside the file that it finds. Left to SQLite alone, `-wal` put after the
    // path as it was given would name another file, or none.
    config.path = fs::canonicalize(&config.path)
        .map_err(|cause| refuse(&config.path, "the file cannot be found").with_source(cause))?;
    let patience = Patience::until(config.busy_timeout);
    let newest = i32::try_from(schema::STEPS.len()).unwrap_or(i32::MAX);
    let mut connection = connect(&config.path).map_err(|cause| cause.at_open(&config.path))?;
    let mut on_file = || -> Result<Result<(), StoreError>, Cause> {
        // Until the file is known to be ours nothing is written to it, not even a checkpoint when this is closed.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let found = schema::inspect(&connection.transaction()?, newest)?;
        if let Err(refusal) = accept(&found, &config.path) {
            return Ok(Err(refusal));
        }
        if connection.is_readonly("main")? {
            return Ok(Err(refuse(&config.path, "the file cannot be written")));
        }
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        if mode != "wal" {
            return Ok(Err(refuse(&config.path, "the file system cannot hold a write-ahead log")));
        }
        let found = if found == Found::Version(newest) {
            found
        } else {
            schema::migrate(&mut connection, schema::STEPS)?
        };
        Ok(accept(&found, &config.path))
    };
    patience.retry(&mut on_file).map_err(|cause| cause.at_open(&config.path))??;
    if made {
        sync_directory(&config.path).map_err(|cause| {
            refuse(&config.path, "its directory cannot be synchronised").with_source(cause)
        })?;
    }
    Ok(config)
}

/// The connection that writes. It never waits for a lock and never checkpoints by itself: both would stall whoever
/// commits, and both have threads of their own.
pub(crate) fn writer(config: &SqliteConfig) -> Result<Connection> {
    ready(config, |connection| {
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        let synchronous = match config.durability {
            Durability::Process => "NORMAL",
            Durability::Power => "FULL",
        };
        connection.pragma_update(None, "synchronous", synchronous)?;
        // macOS: an fsync that reaches the disk. Elsewhere it says nothing.
        connection.pragma_update(None, "fullfsync", config.durability == Durability::Power)?;
        connection.pragma_update(None, "journal_size_limit", bounded(config.max_wal_bytes))?;
        if let Some(bytes) = config.max_bytes {
            connection
                .query_row(&format!("PRAGMA max_page_count = {}", bytes / PAGE_BYTES), [], |_| Ok(()))?;
        }
        prepare_all(connection, change::STATEMENTS)?;
        prepare_all(connection, query::STATEMENTS)
    })
}

/// A connection that reads.
pub(crate) fn reader(config: &SqliteConfig) -> Result<Connection> {
    ready(config, |connection| {
        connection.pragma_update(None, "query_only", true)?;
        prepare_all(connection, query::STATEMENTS)
    })
}

/// The connection that checkpoints. Its patience is for readers who are in the middle of a row.
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
    let patience = Patience::until(config.busy_timeout);
    let mut setting = || -> Result<(), Cause> {
        connection.pragma_update(None, "cache_size", -bounded(config.cache_bytes / 1024))?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "trusted_schema", false)?;
        set(&connection)?;
        Ok(())
    };
    patience.retry(&mut setting).map_err(failed)?;
    Ok(connection)
}

fn connect(path: &Path) -> Result<Connection, Cause> {
    // Each connection is used by one thread at a time; SQLite's own mutexes would only cost.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(32);
    connection.busy_timeout(Duration::ZERO)?;
    Ok(connection)
}

fn prepare_all(connection: &Connection, statements: &[&str]) -> rusqlite::Result<()> {
    statements.iter().try_for_each(|statement| connection.prepare_cached(statement).map(drop))
}

fn accept(found: &Found, path: &Path) -> Result<()> {
    match found {
        Found::Empty | Found::Version(_) => Ok(()),
        Found::Future(version) => Err(refuse(
            path,
            &format!(
                "the file has schema version {version}, and this driver knows {} at most",
                schema::STEPS.len()
            ),
        )),
        Found::Foreign => Err(refuse(path, "the file is another application's database")),
    }
}

fn make_directory(config: &SqliteConfig) -> Result<()> {
    let Some(directory) = directory_of(&config.path) else { return Ok(()) };
    if fs::exists(directory).unwrap_or(false) {
        return Ok(());
    }
    if !config.create_directory {
        return Err(refuse(&config.path, "its directory does not exist, and create_directory is off"));
    }
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(directory) {
        Err(cause) if cause.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(refuse(&config.path, "its directory cannot be made").with_source(cause))
        }
        _ => sync_directory(directory)
            .map_err(|cause| refuse(&config.path, "its directory cannot be made durable").with_source(cause)),
    }
}

/// Makes the file if it is missing. It never opens one that is there: closing that again would drop the locks that
/// other connections of this process hold on it (POSIX locks belong to the process and the file).
fn make_file(config: &SqliteConfig) -> Result<bool> {
    if !config.create {
        return match fs::exists(&config.path) {
            Ok(true) => Ok(false),
            Ok(false) => Err(refuse(&config.path, "the file does not exist, and create is off")),
            Err(cause) => Err(refuse(&config.path, "the file cannot be reached").with_source(cause)),
        };
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(&config.path) {
        Ok(_) => Ok(true),
        Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(cause) => Err(refuse(&config.path, "the file cannot be made").with_source(cause)),
    }
}

/// Makes the names in the file's directory durable.
pub(crate) fn sync_directory(path: &Path) -> std::io::Result<()> {
    if cfg!(unix) { fs::File::open(directory_of(path).unwrap_or(Path::new(".")))?.sync_all() } else { Ok(()) }
}

fn directory_of(path: &Path) -> Option<&Path> {
    path.parent().filter(|directory| !directory.as_os_str().is_empty())
}

fn refuse(path: &Path, why: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Misconfigured, Operation::Open)
        .with_detail(format!("{}: {why}", path.display()))
}

fn bounded(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// How long to go on trying what another connection's lock prevents, with a little luck between the tries: processes
/// that were refused together must not come back together.
#[derive(Debug)]
pub(crate) struct Patience {
    deadline: Instant,
}

impl Patience {
    pub(crate) fn until(after: Duration) -> Self {
        Self { deadline: now() + after }
    }

    pub(crate) fn is_over(&self) -> bool {
        now() >= self.deadline
    }

    fn retry<T>(&self, attempt: &mut dyn FnMut() -> Result<T, Cause>) -> Result<T, Cause> {
        let mut tries = 0;
        loop {
            match attempt() {
                Err(cause) if cause.is_busy() && !self.is_over() => pause(&mut tries),
                answer => return answer,
            }
        }
    }
}

/// Waits a little longer each time, from about 0.1 to 4 ms. Only ever on the driver's own threads, and while opening.
#[expect(clippy::disallowed_methods, reason = "waits for another process, which no clock of ours moves")]
pub(crate) fn pause(tries: &mut u32) {
    use std::hash::{BuildHasher, RandomState};
    let longest = 200_u64 << (*tries).min(5);
    *tries += 1;
    let micros = longest / 3 + RandomState::new().hash_one(*tries) % longest;
    std::thread::sleep(Duration::from_micros(micros.min(4_000)));
}
