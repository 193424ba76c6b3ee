//! Creating and checking the file.

use std::fs;
use std::io;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use session_core::{KnownFile, OpenFile, Operation, Result, StoreError, StoreErrorKind, create_directory};

use crate::config::SqliteConfig;
use crate::connection::{connect, retry};
use crate::error::Cause;
use crate::schema::{self, FileKind};

/// Creates the file if it is missing, checks that it belongs to this driver, and updates its schema.
///
/// A foreign file, or one of a newer version, stays unchanged. The returned configuration has the path of the file
/// itself, so a change of the working directory has no effect later. The registration has to be
/// kept until the last connection is closed.
pub(crate) fn prepare(mut config: SqliteConfig) -> Result<(SqliteConfig, OpenFile)> {
    prepare_directory(&config)?;
    let created = create_file(&config)?;
    // SQLite resolves links too and puts the log beside the file it finds. `-wal` appended to the unresolved path would
    // name another file.
    config.path = fs::canonicalize(&config.path).map_err(|cause| unreachable(&config.path, cause))?;
    let path = &config.path;
    // Before SQLite looks at the file: in a forked child its state of an inherited connection is wrong.
    let file = OpenFile::register(path)?;
    let mut connection = connect(path).map_err(|cause| cause.at_open(path))?;
    let checked = retry(config.busy_timeout, || check(&mut connection, path, config.create));
    checked.map_err(|cause| cause.at_open(path))??;
    if created {
        sync_directory(path).map_err(|cause| unreachable(path, cause))?;
    }
    Ok((config, file))
}

/// The database, its write-ahead log and the index of the log, which exist while a connection is open. `given` is the path
/// in the options: a symbolic link in it may be switched to another file, which other processes then open.
pub(crate) fn files(path: &Path, given: &Path) -> Result<Vec<KnownFile>> {
    let beside = |suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        KnownFile::at(Path::new(&name))
    };
    let link = (given != path).then(|| KnownFile::at(given));
    ["", "-wal", "-shm"].into_iter().map(beside).chain(link).collect()
}

/// The outer error is SQLite's, and the inner one refuses the file.
fn check(connection: &mut Connection, path: &Path, create: bool) -> Result<Result<()>, Cause> {
    let newest = i32::try_from(schema::STEPS.len()).unwrap_or(i32::MAX);
    // Before the file is known to be ours nothing is written to it, not even by a checkpoint on close.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    let kind = schema::inspect(&connection.transaction()?, newest)?;
    if let Err(refusal) = accept(&kind, path) {
        return Ok(Err(refusal));
    }
    if kind == FileKind::Empty && !create {
        return Ok(Err(missing(path, "file has no tables, and create is off")));
    }
    if connection.is_readonly("main")? {
        return Ok(Err(refuse(path, "file cannot be written")));
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Ok(Err(refuse(path, "file system does not support a write-ahead log")));
    }
    if kind == FileKind::Version(newest) {
        return Ok(Ok(()));
    }
    Ok(accept(&schema::migrate(connection, schema::STEPS)?, path))
}

fn accept(kind: &FileKind, path: &Path) -> Result<()> {
    match kind {
        FileKind::Empty | FileKind::Version(_) => Ok(()),
        FileKind::Future(version) => {
            let newest = schema::STEPS.len();
            Err(refuse(
                path,
                &format!("file has schema version {version}, and this driver supports {newest}"),
            ))
        }
        FileKind::Foreign => Err(refuse(path, "file is another application's database")),
    }
}

fn prepare_directory(config: &SqliteConfig) -> Result<()> {
    let Some(directory) = directory_of(&config.path) else { return Ok(()) };
    if fs::exists(directory).unwrap_or(false) {
        return Ok(());
    }
    if !config.create_directory {
        let detail = "directory does not exist, and create_directory is off";
        return Err(if config.create { refuse(&config.path, detail) } else { missing(&config.path, detail) });
    }
    create_directory(directory)?;
    sync_directory(directory).map_err(|cause| unreachable(&config.path, cause))
}

/// Returns whether it created the file. It never opens an existing one: closing that again would drop the locks that
/// other connections of this process hold on it, because POSIX locks belong to the process and the file.
fn create_file(config: &SqliteConfig) -> Result<bool> {
    if !config.create {
        return match fs::exists(&config.path) {
            Ok(true) => Ok(false),
            Ok(false) => Err(missing(&config.path, "file does not exist, and create is off")),
            Err(cause) => Err(unreachable(&config.path, cause)),
        };
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(&config.path) {
        Ok(_) => Ok(true),
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(cause) => Err(unreachable(&config.path, cause)),
    }
}

/// Makes the names in the file's directory durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) { fs::File::open(directory_of(path).unwrap_or(Path::new(".")))?.sync_all() } else { Ok(()) }
}

fn directory_of(path: &Path) -> Option<&Path> {
    path.parent().filter(|directory| !directory.as_os_str().is_empty())
}

/// The error of a system call.
fn unreachable(path: &Path, cause: io::Error) -> StoreError {
    StoreError::new(StoreErrorKind::from_io(&cause), Operation::Open)
        .with_detail(path.display().to_string())
        .with_source(cause)
}

fn refuse(path: &Path, detail: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Misconfigured, Operation::Open)
        .with_detail(format!("{}: {detail}", path.display()))
}

fn missing(path: &Path, detail: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Missing, Operation::Open)
        .with_detail(format!("{}: {detail}", path.display()))
}
