//! Opening a database, and saying what is in the way.

use std::path::Path;

use session_core::{Error, ErrorKind, Operation, Result};
use sled::{Db, Tree};

use crate::config::{Config, Place};
use crate::error::from_sled;

/// What a file or directory of ours lets others do: nothing.
const DIRECTORY_MODE: u32 = 0o700;

pub(crate) fn open(config: &Config) -> Result<(Db, Tree)> {
    let wrong = |detail: &str| Err(Error::new(ErrorKind::Misconfigured, Operation::Open).with_detail(detail));
    if config.tree.is_empty() || config.tree == "__sled__default" {
        return wrong("the tree needs a name of its own");
    }
    if config.max_value == 0 || config.max_value > 1 << 30 {
        return wrong("max_value is 1 byte to 1 GiB");
    }
    if !(1..=1_000_000).contains(&config.scan) {
        return wrong("scan is 1 to 1,000,000 records");
    }
    if config.cache_bytes < 1 << 20 {
        return wrong("cache_bytes is at least 1 MiB");
    }
    let database = match &config.place {
        Place::Database(database) => database.clone(),
        Place::Path(path) => {
            make_directory(path)?;
            let options = sled::Config::new().path(path).cache_capacity(config.cache_bytes);
            options.open().map_err(|cause| at(path, from_sled(cause, Operation::Open)))?
        }
    };
    let tree = database.open_tree(&config.tree).map_err(|cause| from_sled(cause, Operation::Open))?;
    Ok((database, tree))
}

fn make_directory(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;

    if path.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .mode(DIRECTORY_MODE)
        .create(path)
        .map_err(|cause| at(path, Error::new(ErrorKind::Misconfigured, Operation::Open).with_source(cause)))
}

fn at(path: &Path, error: Error) -> Error {
    error.with_detail(format!("the database directory {}", path.display()))
}
