//! Live sessions in the files of a PHP application.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use session_handover::php::session::{self, Handler};
use session_handover::{Bounds, Value};
use session_manager::{HandoverSource, OldId};

use super::listed::{self, Listed, ListedSource};
use super::locked;
use super::system::{System, cookie_value, now};

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

    /// The setting `session.serialize_handler`; `php` by default. Those of extensions need the feature `handover-php`.
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

    /// Only how a request presents the session: the source after an [`Import`](super::Import).
    #[must_use]
    pub fn into_system(self) -> System {
        System::new("", |_| Ok(None)).found_by(move |headers| php_id(headers, &self.0.cookie))
    }

    fn reader(&self) -> System {
        let handler = self.0.handler;
        let mut bounds = Bounds::default();
        bounds.size = bounds.size.max(usize::try_from(self.0.max_file_bytes).unwrap_or(usize::MAX));
        System::new("", move |stored| session::read(handler, stored.data, stored.bounds).map(Some))
            .bounds(bounds)
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
}

impl HandoverSource for PhpFiles {
    type Old = Value;

    fn find(&self, headers: &HeaderMap) -> Option<OldId> {
        php_id(headers, &self.0.cookie).map(OldId::new)
    }

    async fn read(&self, id: &OldId) -> session_core::Result<Option<Value>> {
        Ok(self.read_until(id).await?.map(|(value, _)| value))
    }

    async fn end(&self, id: &OldId) -> session_core::Result<()> {
        match self.path(id) {
            Some(path) => locked::remove(&path, self.0.lock_timeout).await,
            None => Ok(()),
        }
    }
}

impl ListedSource for PhpFiles {
    async fn list(&self, _: Option<&str>) -> session_core::Result<Listed> {
        let options = &self.0;
        listed::files(&options.directory, options.levels, "sess_".to_owned(), String::new()).await
    }

    async fn read_until(&self, id: &OldId) -> session_core::Result<Option<(Value, Option<f64>)>> {
        let Some(path) = self.path(id) else { return Ok(None) };
        let found = locked::read(&path, self.0.lock_timeout, self.0.max_file_bytes).await?;
        let Some((data, changed)) = found else { return Ok(None) };
        let end = changed + self.0.lifetime.as_secs_f64();
        if now() > end {
            return Ok(None);
        }
        Ok(self.reader().decode("", data, Some(changed)).await?.map(|value| (value, Some(end))))
    }
}

/// The id in the first cookie of a name: PHP uses the first one, and encodes the comma of an id.
pub(super) fn php_id(headers: &HeaderMap, cookie: &str) -> Option<String> {
    let id = cookie_value(headers, cookie)?.replace("%2C", ",").replace("%2c", ",");
    session::is_id(&id).then_some(id)
}
