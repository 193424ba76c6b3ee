//! Opening a database, and saying what is in the way.

use std::path::Path;

use session_core::{Error, ErrorKind, Operation, Result};
use sled::{Db, Tree};

use crate::config::{Config, Place};
use crate::error::{contain, from_sled};

/// What the directory of ours lets others do: nothing. sled makes its files by the process's umask.
const DIRECTORY_MODE: u32 = 0o700;

/// Opens the database, or takes the one it was given, and the tree of the records in it.
pub(crate) fn open(config: &Config) -> Result<(Db, Tree)> {
    config.check()?;
    let database = match &config.place {
        Place::Database(database) => database.clone(),
        Place::Path(path) => {
            make_directory(path)?;
            let options = sled::Config::new().path(path).cache_capacity(config.cache_bytes);
            contain(Operation::Open, || options.open().map_err(refused)).map_err(|error| at(path, error))?
        }
    };
    let tree = contain(Operation::Open, || {
        database.open_tree(&config.options.tree).map_err(|cause| from_sled(cause, Operation::Open))
    })?;
    Ok((database, tree))
}

fn make_directory(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;

    match std::fs::DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(at(path, Error::new(ErrorKind::Misconfigured, Operation::Open).with_source(cause)))
        }
        // Whatever else stands there, sled says so.
        _ => Ok(()),
    }
}

fn refused(cause: sled::Error) -> Error {
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
        return Error::new(ErrorKind::Unavailable, Operation::Open).with_source(error);
    }
    if wrong { Error::new(ErrorKind::Misconfigured, Operation::Open).with_source(error) } else { error }
}

fn at(path: &Path, error: Error) -> Error {
    let place = path.display();
    let detail = match error.kind() {
        ErrorKind::Unavailable => {
            format!("the database {place} is open elsewhere, in this process or another")
        }
        ErrorKind::Corrupt => format!("the database {place} is damaged"),
        _ => format!("the database directory {place}"),
    };
    error.with_detail(detail)
}
