//! Files under the locks of the old system (`flock`).

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use session_core::{Operation, StoreError, StoreErrorKind};
use tokio::task::spawn_blocking;

use super::system::{changed, corrupt};

/// How often a lock is tried again that the old system holds.
const PAUSE: Duration = Duration::from_millis(10);

/// The bytes of a session's file, and when it was last changed, in seconds since 1970. Reads under a shared lock.
pub(super) async fn read(
    path: &Path,
    wait: Duration,
    most: u64,
) -> session_core::Result<Option<(Vec<u8>, f64)>> {
    let operation = Operation::Retrieve;
    let Some(file) = locked(path, wait, operation).await? else { return Ok(None) };
    let read = blocking(operation, move || {
        let changed = changed(&file.metadata()?)?;
        let mut data = Vec::new();
        (&file).take(most.saturating_add(1)).read_to_end(&mut data)?;
        Ok((data, changed))
    });
    let (data, changed) = read.await?;
    if data.len() as u64 > most {
        return Err(corrupt().with_detail("the file is longer than its bound"));
    }
    Ok(Some((data, changed)))
}

/// Empties and removes a session's file under an exclusive lock.
pub(super) async fn remove(path: &Path, wait: Duration) -> session_core::Result<()> {
    let operation = Operation::Remove;
    let Some(file) = locked(path, wait, operation).await? else { return Ok(()) };
    let path = path.to_owned();
    let removed = move || {
        file.set_len(0)?;
        std::fs::remove_file(path)
    };
    blocking(operation, removed).await
}

/// Takes the lock that the old system has in a file beside that of the session, for as long as the result lives. `None`: there is
/// no such file, so no request of the old system has the session open. It is not created, because the old system may not be
/// allowed to write to a file of ours.
pub(super) async fn beside(
    path: &Path,
    wait: Duration,
    operation: Operation,
) -> session_core::Result<Option<File>> {
    let of = path.to_owned();
    let Some(file) = blocking(operation, move || open(&of, false)).await? else { return Ok(None) };
    lock(&file, wait, operation).await?;
    Ok(Some(file))
}

/// The file under its lock, unless there is none or the old system removed it meanwhile.
async fn locked(path: &Path, wait: Duration, operation: Operation) -> session_core::Result<Option<File>> {
    let of = path.to_owned();
    let alone = operation == Operation::Remove;
    let Some(file) = blocking(operation, move || open(&of, alone)).await? else { return Ok(None) };
    lock(&file, wait, operation).await?;
    let path = path.to_owned();
    blocking(operation, move || Ok(is_at(&file, &path)?.then_some(file))).await
}

/// Locks a file: exclusively for a removal, else shared.
async fn lock(file: &File, wait: Duration, operation: Operation) -> session_core::Result<()> {
    let lock = async {
        loop {
            match if operation == Operation::Remove { file.try_lock() } else { file.try_lock_shared() } {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(PAUSE).await,
                Err(TryLockError::Error(error)) => return Err(failed(operation, error)),
            }
        }
    };
    match tokio::time::timeout(wait, lock).await {
        Ok(locked) => locked,
        Err(_) => {
            let error = StoreError::new(StoreErrorKind::Timeout, operation);
            Err(error.with_detail("a script has the session open"))
        }
    }
}

/// Opens a regular file, not a link: others may write to the directory.
pub(super) fn open(path: &Path, to_write: bool) -> io::Result<Option<File>> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    match OpenOptions::new().read(true).write(to_write).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the path still leads to this file. A logout in PHP leaves the content of the file that it removes.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let own = file.metadata()?;
        Ok((own.dev(), own.ino()) == (found.dev(), found.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        Ok(found.is_file())
    }
}

/// Runs a system call that may wait for the disk.
pub(super) async fn blocking<T: Send + 'static>(
    operation: Operation,
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> session_core::Result<T> {
    match spawn_blocking(call).await {
        Ok(answer) => answer.map_err(|error| failed(operation, error)),
        Err(error) => Err(StoreError::new(StoreErrorKind::Unavailable, operation).with_source(error)),
    }
}

fn failed(operation: Operation, error: io::Error) -> StoreError {
    StoreError::new(StoreErrorKind::from_io(&error), operation).with_source(error)
}
