//! Sessions in a table of SQLite.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _};
use session_core::{KnownFile, OpenFile, Opener, Operation, StoreError, StoreErrorKind};
use session_handover::Value;
use session_manager::{HandoverSource, OldId};
use tokio::task::spawn_blocking;

use super::listed::{Listed, ListedSource, PAGE};
use super::rows::{Dialect, Rows};
use super::system::{name_of, now, readable, too_long};

/// The live sessions of an application in a table of an SQLite database, for
/// [`SessionsBuilder::handover`](crate::SessionsBuilder::handover).
///
/// It has one connection, which it opens at its first use and uses on a thread for blocking calls. Reading creates no file and
/// waits for no writer in WAL mode. Ending deletes the row. A file that takes the place of the old one is used from the next
/// call on.
///
/// A child that a process forks after the first use of this source cannot use it: its calls are `Misconfigured`. Make the
/// source after the fork.
///
/// ```no_run
/// # #[cfg(feature = "handover-django")]
/// # fn built<D: session_kit::Driver>(builder: session_kit::SessionsBuilder<D>) -> session_kit::SessionsBuilder<D> {
/// use session_kit::Session;
/// use session_kit::handover::python::django;
/// use session_kit::handover::{Rows, SqliteRows, Value};
///
/// let rows = Rows::django(django::Sessions::new(["the application's SECRET_KEY"]), "sessionid");
/// builder.handover(SqliteRows::new("/srv/app/db.sqlite3", rows), |old: Value, session: &Session| {
///     let Some(user) = old.get("_auth_user_id").and_then(Value::as_text) else { return Ok(false) };
///     session.login(user)?;
///     Ok(true)
/// })
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SqliteRows(Arc<Options>);

#[derive(Debug)]
struct Options {
    path: PathBuf,
    rows: Rows,
    busy_timeout: Duration,
    /// The process of the first use.
    opener: OnceLock<Opener>,
    opened: Mutex<Option<Opened>>,
}

/// A connection, and the file that it is open on.
#[derive(Debug)]
struct Opened {
    /// `None` while it is dropped.
    connection: Option<Connection>,
    file: KnownFile,
    opener: Opener,
    /// Released after the connection is closed.
    _registered: OpenFile,
}

impl Drop for Opened {
    fn drop(&mut self) {
        if !self.opener.is_here() {
            // Closing an inherited connection in a forked child damages the file.
            std::mem::forget(self.connection.take());
        }
        self.connection = None;
    }
}

impl SqliteRows {
    /// The table of the database at `path`, which must exist.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, rows: Rows) -> Self {
        Self::of(path.into(), rows, Duration::from_secs(5))
    }

    fn of(path: PathBuf, rows: Rows, busy_timeout: Duration) -> Self {
        let (opener, opened) = (OnceLock::new(), Mutex::new(None));
        Self(Arc::new(Options { path, rows, busy_timeout, opener, opened }))
    }

    /// How long a call waits for the lock of another connection; 5 seconds by default. Then it fails with `Timeout`.
    #[must_use]
    pub fn busy_timeout(self, time: Duration) -> Self {
        Self::of(self.0.path.clone(), self.0.rows.clone(), time)
    }

    /// Runs `call` with the connection. A failed call opens a new one the next time.
    async fn with<T: Send + 'static>(
        &self,
        operation: Operation,
        call: impl FnOnce(&Connection, &Rows) -> rusqlite::Result<T> + Send + 'static,
    ) -> session_core::Result<T> {
        self.0.opener.get_or_init(Opener::this_process).check(operation)?;
        let options = Arc::clone(&self.0);
        let run = move || {
            let mut slot = options.opened.lock().unwrap_or_else(PoisonError::into_inner);
            // Before the new connection is opened, because closing one drops the locks of this process on its file.
            let kept = slot.take().filter(|opened| !opened.file.is_gone());
            let opened = match kept {
                Some(opened) => opened,
                None => options.open(operation)?,
            };
            let connection = opened.connection.as_ref().ok_or_else(|| opened.file.gone(operation))?;
            let answer = call(connection, &options.rows).map_err(|error| options.failed(operation, error))?;
            *slot = Some(opened);
            Ok(answer)
        };
        match spawn_blocking(run).await {
            Ok(answer) => answer,
            Err(error) => Err(StoreError::new(StoreErrorKind::Unavailable, operation).with_source(error)),
        }
    }
}

impl Options {
    fn open(&self, operation: Operation) -> session_core::Result<Opened> {
        // Before SQLite looks at the file: in a forked child its state of an inherited connection is wrong.
        let (registered, file) = (OpenFile::register(&self.path)?, KnownFile::at(&self.path)?);
        let connection = self.connect().map_err(|error| self.failed(operation, error))?;
        // Otherwise this may be another file than the known one.
        file.check(operation)?;
        let opener = Opener::this_process();
        Ok(Opened { connection: Some(connection), file, opener, _registered: registered })
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        // The flag against other threads' use is not needed: the mutex gives the connection to one at a time.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(self.busy_timeout)?;
        Ok(connection)
    }

    fn failed(&self, operation: Operation, error: rusqlite::Error) -> StoreError {
        let kind = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreErrorKind::Timeout,
            Some(ErrorCode::DiskFull) => StoreErrorKind::Full,
            Some(ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory) => StoreErrorKind::Unavailable,
            // SQLite does not say why. Opening the file itself would release the locks of this process on it.
            Some(ErrorCode::CannotOpen) => match self.path.parent().map(File::open) {
                Some(Err(cause)) => StoreErrorKind::from_io(&cause),
                _ => StoreErrorKind::Misconfigured,
            },
            // `Unknown`: a table or a column that does not exist.
            Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly | ErrorCode::Unknown) => {
                StoreErrorKind::Misconfigured
            }
            _ => StoreErrorKind::Backend,
        };
        StoreError::new(kind, operation).with_source(error)
    }
}

impl HandoverSource for SqliteRows {
    type Old = Value;

    fn find(&self, headers: &HeaderMap) -> Option<OldId> {
        self.0.rows.system.presented(headers)
    }

    async fn read(&self, id: &OldId) -> session_core::Result<Option<Value>> {
        Ok(self.read_until(id).await?.map(|(value, _)| value))
    }

    async fn end(&self, id: &OldId) -> session_core::Result<()> {
        let Some(name) = name_of(id).map(str::to_owned) else { return Ok(()) };
        self.with(Operation::Remove, move |connection, rows| {
            connection.prepare_cached(&rows.delete(Dialect::Sqlite))?.execute([name])?;
            Ok(())
        })
        .await
    }
}

impl ListedSource for SqliteRows {
    async fn list(&self, from: Option<&str>) -> session_core::Result<Listed> {
        let from = from.unwrap_or_default().to_owned();
        let names = self.with(Operation::Traverse, move |connection, rows| {
            let mut statement = connection.prepare_cached(&rows.names(Dialect::Sqlite))?;
            let names = statement.query_map(rusqlite::params![from, PAGE], |row| row.get::<_, String>(0))?;
            names.collect::<Result<Vec<_>, _>>()
        });
        Ok(Listed::of(names.await?))
    }

    async fn read_until(&self, id: &OldId) -> session_core::Result<Option<(Value, Option<f64>)>> {
        let Some(name) = readable(id)?.map(str::to_owned) else { return Ok(None) };
        let key = name.clone();
        let found = self.with(Operation::Retrieve, move |connection, rows| {
            let most = i64::try_from(rows.system.bounds.size).unwrap_or(i64::MAX);
            let mut statement = connection.prepare_cached(&rows.select(Dialect::Sqlite))?;
            let row = |row: &rusqlite::Row<'_>| Ok((bytes(row.get_ref(0)?), number(row.get_ref(1)?)));
            statement.query_row(rusqlite::params![key, most], row).optional()
        });
        let Some((data, end)) = found.await? else { return Ok(None) };
        let rows = &self.0.rows;
        let end = rows.end_of(end)?;
        if end.is_some_and(|end| now() >= end) {
            return Ok(None);
        }
        let old = rows.system.decode(&name, data.ok_or_else(too_long)?, None).await?;
        Ok(old.map(|value| (value, end)))
    }
}

fn bytes(value: ValueRef<'_>) -> Option<Vec<u8>> {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes.to_vec()),
        _ => None,
    }
}

/// Columns of SQLite hold numbers as any type.
fn number(value: ValueRef<'_>) -> Option<f64> {
    match value {
        #[expect(clippy::cast_precision_loss, reason = "moments are far below 2^53")]
        ValueRef::Integer(number) => Some(number as f64),
        ValueRef::Real(number) => Some(number),
        ValueRef::Text(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        _ => None,
    }
}
