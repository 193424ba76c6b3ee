//! One file per session.

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderMap;
use session_handover::Value;
use session_manager::{HandoverSource, OldId};

use super::listed::{self, Listed, ListedSource};
use super::locked;
use super::system::{System, name_of, now, readable};

/// The live sessions of an application in one file each, for
/// [`SessionsBuilder::handover`](crate::SessionsBuilder::handover). For PHP use [`PhpFiles`](super::PhpFiles).
///
/// A read takes a shared `flock`, and an end an exclusive one, as Laravel and CGI::Session do; systems that replace their files by
/// renames need none. An end empties the file before it removes it. A name with `/`, a leading dot or a control never reaches a path, and links are
/// not followed.
#[derive(Clone, Debug)]
pub struct Files {
    system: System,
    directory: PathBuf,
    prefix: String,
    suffix: String,
    lifetime: Option<Duration>,
    lock_timeout: Duration,
}

impl Files {
    /// The files of `directory` that have the session's name between `prefix` and `suffix`.
    pub fn new(
        directory: impl Into<PathBuf>,
        prefix: impl Into<String>,
        suffix: impl Into<String>,
        system: System,
    ) -> Self {
        Self {
            system,
            directory: directory.into(),
            prefix: prefix.into(),
            suffix: suffix.into(),
            lifetime: None,
            lock_timeout: Duration::from_secs(5),
        }
    }

    /// A session has ended this long after the last change of its file. Without it the content alone says when.
    #[must_use]
    pub fn lifetime(mut self, time: Duration) -> Self {
        self.lifetime = Some(time);
        self
    }

    /// How long a request waits for the lock of a file; 5 seconds by default. Then the call fails with `Timeout`.
    #[must_use]
    pub fn lock_timeout(mut self, time: Duration) -> Self {
        self.lock_timeout = time;
        self
    }

    /// Only how a request presents the session: the source after an [`Import`](super::Import).
    #[must_use]
    pub fn into_system(self) -> System {
        self.system
    }

    /// Replaces how a request presents the session, and how it is read.
    #[must_use]
    pub fn system(mut self, change: impl FnOnce(System) -> System) -> Self {
        self.system = change(self.system);
        self
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        let is_plain = !name.contains(['/', '\\']) && !name.starts_with('.');
        is_plain.then(|| self.directory.join(format!("{}{name}{}", self.prefix, self.suffix)))
    }
}

impl HandoverSource for Files {
    type Old = Value;

    fn find(&self, headers: &HeaderMap) -> Option<OldId> {
        self.system.presented(headers)
    }

    async fn read(&self, id: &OldId) -> session_core::Result<Option<Value>> {
        Ok(self.read_until(id).await?.map(|(value, _)| value))
    }

    async fn end(&self, id: &OldId) -> session_core::Result<()> {
        match name_of(id).and_then(|name| self.path(name)) {
            Some(path) => locked::remove(&path, self.lock_timeout).await,
            None => Ok(()),
        }
    }
}

impl ListedSource for Files {
    async fn list(&self, _: Option<&str>) -> session_core::Result<Listed> {
        listed::files(&self.directory, 0, self.prefix.clone(), self.suffix.clone()).await
    }

    async fn read_until(&self, id: &OldId) -> session_core::Result<Option<(Value, Option<f64>)>> {
        let Some((name, path)) = readable(id)?.and_then(|name| Some((name, self.path(name)?))) else {
            return Ok(None);
        };
        let most = self.system.bounds.size as u64;
        let Some((data, changed)) = locked::read(&path, self.lock_timeout, most).await? else {
            return Ok(None);
        };
        let end = self.lifetime.map(|time| changed + time.as_secs_f64());
        if end.is_some_and(|end| now() > end) {
            return Ok(None);
        }
        Ok(self.system.decode(name, data, Some(changed)).await?.map(|value| (value, end)))
    }
}
