//! One file per session.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderMap;
use session_core::Operation;
use session_handover::{Bounds, Error, Value};
use session_manager::{HandoverSource, OldId};

use super::listed::{self, Listed, ListedSource};
use super::locked;
use super::system::{LONG, System, corrupt, decoding, name_of, now, readable, with_system};

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
    folders: Option<Folders>,
    end_file: Option<EndFile>,
    lock_file: Option<LockFile>,
    lifetime: Option<Duration>,
    lock_timeout: Duration,
}

/// The directories between that of all sessions and the file of one, which its name begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Folders {
    /// One of each of the first letters: `a/b/ab12`.
    Letters(usize),
    /// The first letter, the first two letters, and so on: `a/ab/ab12`.
    Beginnings(usize),
}

/// A file beside that of the session has the end of its life.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndFile {
    /// The name of this file, by the bytes of the session's file.
    pub(super) name: fn(&[u8], &Bounds) -> Result<String, Error>,
    /// The end that it holds, in seconds since 1970.
    pub(super) end: fn(&[u8], &Bounds) -> Result<f64, Error>,
}

/// The old system locks a file of its own instead of the session's.
#[derive(Clone, Debug)]
pub(super) struct LockFile {
    pub(super) directory: PathBuf,
    /// What stands before and after the name of the session.
    pub(super) prefix: &'static str,
    pub(super) suffix: &'static str,
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
            folders: None,
            end_file: None,
            lock_file: None,
            lifetime: None,
            lock_timeout: Duration::from_secs(5),
        }
    }

    /// The files are not in the directory itself, but in directories within it.
    #[must_use]
    pub fn folders(mut self, folders: Folders) -> Self {
        self.folders = Some(folders);
        self
    }

    /// A session without the other file has ended.
    #[cfg_attr(not(feature = "handover-perl"), allow(dead_code, reason = "Catalyst has such a file"))]
    pub(super) fn ends_in(mut self, file: EndFile) -> Self {
        self.end_file = Some(file);
        self
    }

    /// The lock of a session is another file.
    #[cfg_attr(not(feature = "handover-perl"), allow(dead_code, reason = "Apache::Session has such a file"))]
    pub(super) fn locked_by(mut self, file: LockFile) -> Self {
        self.lock_file = Some(file);
        self
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

    with_system!();

    fn path(&self, name: &str) -> Option<PathBuf> {
        let is_plain = !name.contains(['/', '\\']) && !name.starts_with('.');
        let mut path = is_plain.then(|| self.directory.clone())?;
        for level in 0..self.folders.map_or(0, Folders::levels) {
            let from = if matches!(self.folders, Some(Folders::Letters(_))) { level } else { 0 };
            // A dot would lead elsewhere. A name that is too short has no file.
            path.push(name.get(from..=level).filter(|folder| !folder.contains('.'))?);
        }
        path.push(format!("{}{name}{}", self.prefix, self.suffix));
        Some(path)
    }

    /// Takes the lock that is another file, until the result is dropped.
    async fn lock(&self, name: &str, operation: Operation) -> session_core::Result<Option<File>> {
        let Some(LockFile { directory, prefix, suffix }) = &self.lock_file else { return Ok(None) };
        let path = directory.join(format!("{prefix}{name}{suffix}"));
        locked::beside(&path, self.lock_timeout, operation).await
    }

    /// The end of a session, where another file has it, and the session.
    async fn end_beside(&self, file: EndFile, session: Vec<u8>) -> session_core::Result<(f64, Vec<u8>)> {
        let bounds = self.system.bounds;
        let name = decoding(session.len() > LONG, move || {
            let name = (file.name)(&session, &bounds).map_err(|error| corrupt().with_source(error))?;
            Ok((name, session))
        });
        let (name, session) = name.await?;
        let Some(path) = self.path(&name) else { return Ok((f64::NEG_INFINITY, session)) };
        let end = match locked::read(&path, self.lock_timeout, LONG as u64).await? {
            Some((data, _)) => (file.end)(&data, &bounds).map_err(|error| corrupt().with_source(error))?,
            None => f64::NEG_INFINITY,
        };
        Ok((end, session))
    }
}

impl Folders {
    fn levels(self) -> usize {
        let (Self::Letters(levels) | Self::Beginnings(levels)) = self;
        levels
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
        let Some((name, path)) = name_of(id).and_then(|name| Some((name, self.path(name)?))) else {
            return Ok(());
        };
        let _lock = self.lock(name, Operation::Remove).await?;
        locked::remove(&path, self.lock_timeout).await
    }
}

impl ListedSource for Files {
    async fn list(&self, _: Option<&str>) -> session_core::Result<Listed> {
        let levels = self.folders.map_or(0, Folders::levels);
        listed::files(&self.directory, levels, self.prefix.clone(), self.suffix.clone()).await
    }

    async fn read_until(&self, id: &OldId) -> session_core::Result<Option<(Value, Option<f64>)>> {
        let Some((name, path)) = readable(id)?.and_then(|name| Some((name, self.path(name)?))) else {
            return Ok(None);
        };
        let most = self.system.bounds.size as u64;
        let lock = self.lock(name, Operation::Retrieve).await?;
        let Some((mut data, changed)) = locked::read(&path, self.lock_timeout, most).await? else {
            return Ok(None);
        };
        drop(lock);
        let mut end = self.lifetime.map(|time| changed + time.as_secs_f64());
        if let Some(file) = self.end_file {
            let beside;
            (beside, data) = self.end_beside(file, data).await?;
            end = Some(end.map_or(beside, |end| end.min(beside)));
        }
        if end.is_some_and(|end| now() > end) {
            return Ok(None);
        }
        Ok(self.system.decode(name, data, Some(changed)).await?.map(|value| (value, end)))
    }
}
