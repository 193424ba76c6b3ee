//! The file of Cache::FastMmap, which the processes of the old application share.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use rustix::fs::{FlockOperation, fcntl_lock};
use session_core::{Operation, StoreError, StoreErrorKind};
use session_handover::perl::{catalyst, fastmmap, storable};
use session_handover::{Bounds, Error, Value};
use session_manager::{HandoverSource, OldId};

use super::listed::{Listed, ListedSource};
use super::locked::{blocking, open};
use super::system::{System, corrupt, name_of, now, readable, with_system};

/// How often a lock is tried again that the old application holds.
const PAUSE: Duration = Duration::from_millis(2);

/// The live sessions of a Catalyst application with Catalyst::Plugin::Session::Store::FastMmap, for
/// [`SessionsBuilder::handover`](crate::SessionsBuilder::handover).
///
/// The old application maps the file into memory and locks each page with `fcntl` while it uses it. A read or an end here waits
/// until no page is locked, and holds the file for as long as it copies or changes one page. Such a lock belongs to the process:
/// use one source, or clones of it, per file, and do not open the file elsewhere in the process.
///
/// The process that created the file removes it at its exit unless `unlink_on_exit` is off. A file that is missing has no
/// sessions. Values that a `compressor` or another `serializer` wrote are damage.
#[derive(Clone, Debug)]
pub struct FastMmap {
    system: System,
    path: PathBuf,
    lock_timeout: Duration,
    /// Closing any descriptor of the file drops the locks of this process, so one is open at a time.
    alone: Arc<Mutex<()>>,
}

/// The bytes of a session and of its end.
type Entries = (Option<Vec<u8>>, Option<Vec<u8>>);

impl FastMmap {
    /// The file `path`, which is `storage` of the application's configuration. `cookie` is `cookie_name`, by default the
    /// application's name in lower case and `_session`.
    pub fn catalyst(path: impl Into<PathBuf>, cookie: impl Into<String>) -> Self {
        Self {
            system: super::systems::catalyst_values(cookie),
            path: path.into(),
            lock_timeout: Duration::from_secs(5),
            alone: Arc::default(),
        }
    }

    /// How long a request waits while the old application locks pages; 5 seconds by default. Then the call fails with `Timeout`.
    #[must_use]
    pub fn lock_timeout(mut self, time: Duration) -> Self {
        self.lock_timeout = time;
        self
    }

    with_system!();

    /// Runs `job` on the locked file. `None` if the file is missing.
    async fn locked<T: Send + 'static>(
        &self,
        operation: Operation,
        job: impl Fn(&File) -> io::Result<T> + Clone + Send + 'static,
    ) -> session_core::Result<Option<T>> {
        let attempts = async {
            loop {
                let (source, job) = (self.clone(), job.clone());
                if let Some(done) = blocking(operation, move || source.attempt(operation, job)).await? {
                    return done.transpose();
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        match tokio::time::timeout(self.lock_timeout, attempts).await {
            Ok(done) => done,
            Err(_) => {
                let error = StoreError::new(StoreErrorKind::Timeout, operation);
                Err(error.with_detail("the old application locks a page"))
            }
        }
    }

    /// `None` where the old application holds a lock.
    fn attempt<T>(
        &self,
        operation: Operation,
        job: impl Fn(&File) -> io::Result<T>,
    ) -> io::Result<Option<Option<session_core::Result<T>>>> {
        let changes = operation == Operation::Remove;
        let lock = if changes {
            FlockOperation::NonBlockingLockExclusive
        } else {
            FlockOperation::NonBlockingLockShared
        };
        let _alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = open(&self.path, changes)? else { return Ok(Some(None)) };
        match fcntl_lock(&file, lock).map_err(io::Error::from) {
            // The end of `file` unlocks it.
            Ok(()) => match job(&file) {
                Ok(done) => Ok(Some(Some(Ok(done)))),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    Ok(Some(Some(Err(corrupt().with_source(error)))))
                }
                Err(error) => Err(error),
            },
            Err(error)
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::PermissionDenied) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl HandoverSource for FastMmap {
    type Old = Value;

    fn find(&self, headers: &HeaderMap) -> Option<OldId> {
        self.system.presented(headers)
    }

    async fn read(&self, id: &OldId) -> session_core::Result<Option<Value>> {
        Ok(self.read_until(id).await?.map(|(value, _)| value))
    }

    async fn end(&self, id: &OldId) -> session_core::Result<()> {
        let Some(keys) = name_of(id).map(keys) else { return Ok(()) };
        let remove = move |file: &File| {
            let pages = Pages::of(file)?;
            for key in &keys {
                let (page, at) = pages.of_key(key)?;
                if let Some(patch) = fastmmap::removal(&page, pages.count, key.as_bytes()).map_err(damage)? {
                    file.write_all_at(&patch.bytes, at + patch.offset as u64)?;
                }
            }
            Ok(())
        };
        self.locked(Operation::Remove, remove).await.map(|_| ())
    }
}

impl ListedSource for FastMmap {
    async fn list(&self, from: Option<&str>) -> session_core::Result<Listed> {
        let number = from.and_then(|from| from.parse().ok()).unwrap_or(0);
        let read = move |file: &File| {
            let pages = Pages::of(file)?;
            Ok((pages.page(number)?, pages.count))
        };
        let Some((page, count)) = self.locked(Operation::Traverse, read).await? else {
            let error = StoreError::new(StoreErrorKind::Unavailable, Operation::Traverse);
            return Err(error.with_detail("the file does not exist"));
        };
        // The page is not decoded further, so its own size bounds what is copied.
        let mut bounds = Bounds::default();
        bounds.size = page.len();
        let entries = fastmmap::read(&page, Some(page.len()), fastmmap::Serializer::Raw, &bounds);
        let mut ids = Vec::new();
        for entry in entries.map_err(|error| corrupt().with_source(error))? {
            entry.value.map_err(|error| corrupt().with_source(error))?;
            ids.extend(entry.key.as_text().and_then(|key| key.strip_prefix("session:")).map(OldId::new));
        }
        let next = Some(number + 1).filter(|next| *next < count);
        Ok(Listed { ids, next: next.map(|next| next.to_string()) })
    }

    async fn read_until(&self, id: &OldId) -> session_core::Result<Option<(Value, Option<f64>)>> {
        let Some(name) = readable(id)? else { return Ok(None) };
        let [session, expires, _] = keys(name);
        let read = move |file: &File| -> io::Result<Entries> {
            let pages = Pages::of(file)?;
            Ok((pages.value(&session)?, pages.value(&expires)?))
        };
        let Some((Some(session), Some(end))) = self.locked(Operation::Retrieve, read).await? else {
            return Ok(None);
        };
        let bounds = &self.system.bounds;
        let end = storable::read(&end, bounds).and_then(|end| catalyst::end_of(&end));
        let end = end.map_err(|error| corrupt().with_source(error))?;
        if now() > end {
            return Ok(None);
        }
        Ok(self.system.decode(name, session, None).await?.map(|value| (value, Some(end))))
    }
}

/// The keys of a session: its values, its end, and its flash before Catalyst::Plugin::Session 0.20.
fn keys(id: &str) -> [String; 3] {
    ["session", "expires", "flash"].map(|kind| format!("{kind}:{id}"))
}

/// The pages of an open file.
struct Pages<'f> {
    file: &'f File,
    size: usize,
    count: u32,
}

impl<'f> Pages<'f> {
    fn of(file: &'f File) -> io::Result<Self> {
        let mut header = [0; fastmmap::HEADER];
        file.read_exact_at(&mut header, 0)?;
        let size = fastmmap::page_size(&header).map_err(damage)?;
        let bytes = file.metadata()?.len();
        match u32::try_from(bytes / size as u64) {
            Ok(count) if count > 0 && bytes.is_multiple_of(size as u64) => Ok(Self { file, size, count }),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "file is not a multiple of its pages")),
        }
    }

    fn page(&self, number: u32) -> io::Result<Vec<u8>> {
        let mut page = vec![0; self.size];
        self.file.read_exact_at(&mut page, self.offset(number))?;
        Ok(page)
    }

    fn offset(&self, number: u32) -> u64 {
        u64::from(number) * self.size as u64
    }

    /// The page of a key, and its offset in the file.
    fn of_key(&self, key: &str) -> io::Result<(Vec<u8>, u64)> {
        let number = fastmmap::page_of(key.as_bytes(), self.count);
        Ok((self.page(number)?, self.offset(number)))
    }

    /// The bytes of a key's value, unless the cache itself has ended it.
    fn value(&self, key: &str) -> io::Result<Option<Vec<u8>>> {
        let (page, _) = self.of_key(key)?;
        let found = fastmmap::find(&page, self.count, key.as_bytes()).map_err(damage)?;
        let live = found.filter(|found| found.expires.is_none_or(|end| now() < f64::from(end)));
        Ok(live.map(|found| found.value.to_vec()))
    }
}

fn damage(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
