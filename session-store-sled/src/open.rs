//! Opening a database, and closing it.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use session_core::{Opener, Operation, Result, StoreError, StoreErrorKind, create_directory};
use sled::{Db, Tree};

use crate::config::{SledConfig, Source};
use crate::error::{contain, from_sled};
use crate::flusher::Log;

/// A database, and its directory if the database is the store's own.
pub(crate) struct Database {
    database: Db,
    own: Option<PathBuf>,
}

impl Log for Database {
    fn flush(&self) -> Result<()> {
        let flush = || self.database.flush().map_err(|cause| from_sled(cause, Operation::Flush));
        contain(Operation::Flush, flush).map(drop)
    }

    fn close(self) {
        drop(self.database);
        if let Some(path) = self.own {
            wait_until_unlocked(&path.join("db"));
        }
    }
}

/// sled's threads may hold the file and its lock a moment longer than the last handle. A lock that is held for a
/// second belongs to another opener.
fn wait_until_unlocked(file: &Path) {
    let Ok(file) = File::open(file) else { return };
    for _ in 0..1_000 {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::park_timeout(Duration::from_millis(1)),
            // Closing the file releases the lock again.
            Ok(()) | Err(TryLockError::Error(_)) => return,
        }
    }
}

/// The process that used sled first. sled shares its threads between all databases of a process and never starts them
/// again, so in a forked child they are missing even if every database was closed.
static USED_BY: OnceLock<Opener> = OnceLock::new();

/// Opens the database and the tree of the records.
pub(crate) fn open(config: &SledConfig) -> Result<(Database, Tree)> {
    config.check()?;
    if !USED_BY.get_or_init(Opener::this_process).is_here() {
        let error = StoreError::new(StoreErrorKind::Misconfigured, Operation::Open);
        return Err(
            error.with_detail("sled was used before the fork, and its threads do not exist in the child")
        );
    }
    let (database, own) = match &config.source {
        Source::Database(database) => (database.clone(), None),
        Source::Path(path) => {
            if config.create {
                // sled creates its files by the umask of the process. Where the path is not a directory, it fails.
                create_directory(path)?;
            } else if !path.join("db").exists() {
                let detail = format!("{}: no database, and create is off", path.display());
                return Err(StoreError::new(StoreErrorKind::Missing, Operation::Open).with_detail(detail));
            }
            let options = sled::Config::new().path(path).cache_capacity(config.cache_bytes);
            let opened = contain(Operation::Open, || options.open().map_err(refused));
            (opened.map_err(|error| describe(path, error))?, Some(path.clone()))
        }
    };
    if !config.create && !database.tree_names().iter().any(|name| *name == config.tree.as_bytes()) {
        let detail = format!("the tree {} is missing, and create is off", config.tree);
        return Err(StoreError::new(StoreErrorKind::Missing, Operation::Open).with_detail(detail));
    }
    let tree = contain(Operation::Open, || {
        database.open_tree(&config.tree).map_err(|cause| from_sled(cause, Operation::Open))
    })?;
    Ok((Database { database, own }, tree))
}

fn refused(cause: sled::Error) -> StoreError {
    use std::io::ErrorKind as Io;

    // sled has no error kind for a lock that another opener holds.
    let locked =
        matches!(&cause, sled::Error::Io(io) if io.to_string().starts_with("could not acquire lock"));
    let short = matches!(&cause, sled::Error::Io(io)
        if StoreErrorKind::from_io(io) == StoreErrorKind::Unavailable);
    let wrong = matches!(&cause, sled::Error::Io(io) if matches!(
        io.kind(),
        Io::NotFound | Io::NotADirectory | Io::IsADirectory | Io::AlreadyExists
    ));
    let error = from_sled(cause, Operation::Open);
    let kind = match () {
        () if locked || short => StoreErrorKind::Unavailable,
        () if wrong => StoreErrorKind::Misconfigured,
        () => return error,
    };
    StoreError::new(kind, Operation::Open).with_source(error)
}

fn describe(path: &Path, error: StoreError) -> StoreError {
    let path = path.display();
    let detail = match error.kind() {
        StoreErrorKind::Unavailable => format!("database {path} is open elsewhere, or resources are short"),
        StoreErrorKind::Corrupt => format!("database {path} is damaged"),
        _ => format!("database directory {path}"),
    };
    error.with_detail(detail)
}
