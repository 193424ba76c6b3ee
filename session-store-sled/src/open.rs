//! Opening a database, saying what is in the way, and letting go of it.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use session_core::{Operation, Result, StoreError, StoreErrorKind};
use sled::{Db, Tree};

use crate::config::{Place, SledConfig};
use crate::error::{contain, from_sled};
use crate::flusher::Log;

/// What the directory of ours lets others do: nothing. sled makes its files by the process's umask.
const DIRECTORY_MODE: u32 = 0o700;

/// A database, and its directory if it is the store's own.
pub(crate) struct Database {
    database: Db,
    own: Option<PathBuf>,
}

impl Log for Database {
    fn flush(&self) -> Result<()> {
        let flush = || self.database.flush().map_err(|cause| from_sled(cause, Operation::Flush));
        contain(Operation::Flush, flush).map(drop)
    }

    fn let_go(self) {
        drop(self.database);
        if let Some(path) = self.own {
            wait_until_free(&path.join("db"));
        }
    }
}

/// sled's own threads can have the file, and with it the lock, for a moment longer than the last handle. Who has it
/// after a second is somebody else, who waited for it.
fn wait_until_free(file: &Path) {
    let Ok(file) = File::open(file) else { return };
    for _ in 0..1_000 {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::park_timeout(Duration::from_millis(1)),
            // Free; closing the file gives the lock back.
            Ok(()) | Err(TryLockError::Error(_)) => return,
        }
    }
}

/// Opens the database, or takes the one it was given, and the tree of the records in it.
pub(crate) fn open(config: &SledConfig) -> Result<(Database, Tree)> {
    config.check()?;
    let (database, own) = match &config.place {
        Place::Database(database) => (database.clone(), None),
        Place::Path(path) => {
            make_directory(path)?;
            let options = sled::Config::new().path(path).cache_capacity(config.cache_bytes);
            let opened = contain(Operation::Open, || options.open().map_err(refused));
            (opened.map_err(|error| at(path, error))?, Some(path.clone()))
        }
    };
    let tree = contain(Operation::Open, || {
        database.open_tree(&config.options.tree).map_err(|cause| from_sled(cause, Operation::Open))
    })?;
    Ok((Database { database, own }, tree))
}

fn make_directory(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;

    match std::fs::DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(at(path, StoreError::new(StoreErrorKind::Misconfigured, Operation::Open).with_source(cause)))
        }
        // Whatever else stands there, sled says so.
        _ => Ok(()),
    }
}

fn refused(cause: sled::Error) -> StoreError {
    use std::io::ErrorKind as Io;

    // sled gives the lock that somebody holds no kind of its own.
    let locked =
        matches!(&cause, sled::Error::Io(io) if io.to_string().starts_with("could not acquire lock"));
    let wrong = matches!(&cause, sled::Error::Io(io) if matches!(
        io.kind(),
        Io::NotFound | Io::NotADirectory | Io::IsADirectory | Io::AlreadyExists
    ));
    let error = from_sled(cause, Operation::Open);
    if locked {
        // Its text names the path and no more.
        return StoreError::new(StoreErrorKind::Unavailable, Operation::Open).with_source(error);
    }
    if wrong {
        StoreError::new(StoreErrorKind::Misconfigured, Operation::Open).with_source(error)
    } else {
        error
    }
}

fn at(path: &Path, error: StoreError) -> StoreError {
    let place = path.display();
    let detail = match error.kind() {
        StoreErrorKind::Unavailable => {
            format!("the database {place} is open elsewhere, in this process or another")
        }
        StoreErrorKind::Corrupt => format!("the database {place} is damaged"),
        _ => format!("the database directory {place}"),
    };
    error.with_detail(detail)
}
