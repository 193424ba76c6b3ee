//! The readers of `session-handover`, and live sessions in the files of a PHP application.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use http::HeaderMap;
use http::header::COOKIE;
use session_core::{Clock as _, Operation, StoreError, StoreErrorKind, SystemClock};
use session_handover::php::session::{self, Handler};
use session_manager::{HandoverSource, OldId};
use tokio::task::spawn_blocking;

pub use session_handover::*;

/// How often a lock is tried again that PHP holds.
const PAUSE: Duration = Duration::from_millis(10);

/// The live sessions of a PHP application in the files of `session.save_path`, for
/// [`SessionsBuilder::handover`](crate::SessionsBuilder::handover).
///
/// PHP locks a session's file as long as a script has the session open. A read waits for a shared lock, and an end for an
/// exclusive one, so neither meets a script in between. PHP refuses the files of other users, so this process runs as the user
/// of the PHP application. An end empties the file before it removes it: a script that waits for the lock of the removed file
/// finds an empty session.
///
/// ```no_run
/// use session_kit::handover::{PhpFiles, Value};
/// use session_kit::{EndOld, Session};
///
/// # fn built<D: session_kit::Driver>(builder: session_kit::SessionsBuilder<D>) -> session_kit::SessionsBuilder<D> {
/// builder
///     .handover(PhpFiles::new("/var/lib/php/sessions", "PHPSESSID"), |old: Value, session: &Session| {
///         let Some(user) = old.get("user").and_then(Value::as_text) else { return Ok(false) };
///         session.login(user)?;
///         Ok(true)
///     })
///     .end_old(EndOld::AtLogout)
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct PhpFiles(Arc<Options>);

#[derive(Clone, Debug)]
struct Options {
    directory: PathBuf,
    cookie: String,
    handler: Handler,
    levels: usize,
    lifetime: Duration,
    lock_timeout: Duration,
    max_file_bytes: u64,
}

impl PhpFiles {
    /// The sessions in the directory `session.save_path`, with the cookie `session.name`.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>, cookie: impl Into<String>) -> Self {
        Self(Arc::new(Options {
            directory: directory.into(),
            cookie: cookie.into(),
            handler: Handler::default(),
            levels: 0,
            lifetime: Duration::from_secs(1_440),
            lock_timeout: Duration::from_secs(5),
            max_file_bytes: 4 << 20,
        }))
    }

    /// The setting `session.serialize_handler`; `php` by default.
    #[must_use]
    pub fn handler(self, handler: Handler) -> Self {
        self.with(|options| options.handler = handler)
    }

    /// How many levels of directories `session.save_path` names: 2 for `2;/path`. 0 by default.
    #[must_use]
    pub fn levels(self, levels: usize) -> Self {
        self.with(|options| options.levels = levels)
    }

    /// The setting `session.gc_maxlifetime`, counted from the last change of the file; 24 minutes by default.
    #[must_use]
    pub fn max_lifetime(self, time: Duration) -> Self {
        self.with(|options| options.lifetime = time)
    }

    /// How long a request waits for a script that has the session open; 5 seconds by default. Then the call fails with
    /// `Timeout`.
    #[must_use]
    pub fn lock_timeout(self, time: Duration) -> Self {
        self.with(|options| options.lock_timeout = time)
    }

    /// The longest file that is read; 4 MiB by default. A longer one is `Corrupt`.
    #[must_use]
    pub fn max_file_bytes(self, most: u64) -> Self {
        self.with(|options| options.max_file_bytes = most)
    }

    fn with(mut self, set: impl FnOnce(&mut Options)) -> Self {
        set(Arc::make_mut(&mut self.0));
        self
    }

    /// The file of a session. An id has no characters that a path gives a meaning.
    fn path(&self, id: &OldId) -> Option<PathBuf> {
        let id = id.as_str().filter(|id| session::is_id(id) && id.len() > self.0.levels)?;
        let mut path = self.0.directory.clone();
        path.extend((0..self.0.levels).map(|at| &id[at..=at]));
        path.push(format!("sess_{id}"));
        Some(path)
    }

    /// The file under its lock, unless there is none or a script removed it meanwhile.
    async fn locked(&self, path: &Path, operation: Operation) -> session_core::Result<Option<File>> {
        let alone = operation == Operation::Remove;
        let of = path.to_owned();
        let Some(file) = blocking(operation, move || open(&of, alone)).await? else { return Ok(None) };
        let lock = async {
            loop {
                match if alone { file.try_lock() } else { file.try_lock_shared() } {
                    Ok(()) => return Ok(()),
                    Err(TryLockError::WouldBlock) => tokio::time::sleep(PAUSE).await,
                    Err(TryLockError::Error(error)) => return Err(failed(operation, error)),
                }
            }
        };
        match tokio::time::timeout(self.0.lock_timeout, lock).await {
            Ok(locked) => locked?,
            Err(_) => {
                let error = StoreError::new(StoreErrorKind::Timeout, operation);
                return Err(error.with_detail("a script has the session open"));
            }
        }
        let path = path.to_owned();
        blocking(operation, move || Ok(is_at(&file, &path)?.then_some(file))).await
    }
}

impl HandoverSource for PhpFiles {
    type Old = Value;

    fn find(&self, headers: &HeaderMap) -> Option<OldId> {
        let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        // PHP uses the first one, and encodes the comma of an id.
        let (_, value) = pairs.find(|(name, _)| *name == self.0.cookie)?;
        let id = value.replace("%2C", ",").replace("%2c", ",");
        session::is_id(&id).then(|| OldId::new(id))
    }

    async fn read(&self, id: &OldId) -> session_core::Result<Option<Value>> {
        let operation = Operation::Retrieve;
        let Some(path) = self.path(id) else { return Ok(None) };
        let Some(file) = self.locked(&path, operation).await? else { return Ok(None) };
        let most = self.0.max_file_bytes;
        let lifetime = self.0.lifetime;
        let data = blocking(operation, move || {
            let changed = file.metadata()?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
            let now = Duration::from_millis(SystemClock.now().as_millis());
            if now.saturating_sub(changed) > lifetime {
                return Ok(None);
            }
            let mut data = Vec::new();
            (&file).take(most.saturating_add(1)).read_to_end(&mut data)?;
            Ok(Some(data))
        });
        let Some(data) = data.await? else { return Ok(None) };
        let corrupt = || StoreError::new(StoreErrorKind::Corrupt, operation);
        if data.len() as u64 > most {
            return Err(corrupt().with_detail("the file is longer than max_file_bytes"));
        }
        let value = session::read(self.0.handler, &data, &Bounds::default());
        value.map(Some).map_err(|error| corrupt().with_source(error))
    }

    async fn end(&self, id: &OldId) -> session_core::Result<()> {
        let operation = Operation::Remove;
        let Some(path) = self.path(id) else { return Ok(()) };
        let Some(file) = self.locked(&path, operation).await? else { return Ok(()) };
        let removed = move || {
            file.set_len(0)?;
            std::fs::remove_file(path)
        };
        blocking(operation, removed).await
    }
}

/// Opens a regular file, not a link: others may write to the directory.
fn open(path: &Path, to_write: bool) -> io::Result<Option<File>> {
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
async fn blocking<T: Send + 'static>(
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
