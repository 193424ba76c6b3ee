//! The driver.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use session_core::{
    Capabilities, Change, Clock, Condition, Cursor, Driver, ExpiryMode, Key, Operation, Page, Prefix, Purged,
    Record, Result, Revision, RollsBack, Shared, StoreError, StoreErrorKind, Survives, Timestamp, Touch,
};

use crate::change::{Answer, ChangeRequest, Tried};
use crate::config::{Durability, FileConfig};
use crate::error::Fault;
use crate::place::{Place, TEMPORARY};
use crate::pool::{self, Pool};
use crate::purge::{self, Lap};
use crate::read::{self, On};
use crate::root::Root;
use crate::shard::{Locked, Shards};
use crate::traverse::{self, Position};

/// How often a lock that somebody holds is tried in place. Whoever holds it needs microseconds as a rule.
const TRIES_IN_PLACE: usize = 8;
/// How long a thread of the driver that may wait for a lock does so before it tries again.
const PAUSE: Duration = Duration::from_micros(200);
/// How many threads look through directories, synchronise and close.
const SCANNERS: usize = 2;

/// A session store in the files of a directory. Cloning it is cheap, and every clone is the same store.
///
/// Dropping the last clone closes the held directories and lets the driver's threads end; nobody waits for it.
///
/// Dropping the future of a call leaves the old record or the new one: what a thread of the driver has begun is brought
/// to its end, what it has not begun is not done, and no lock is kept.
#[derive(Clone)]
pub struct FileStore(Arc<Handle>);

struct Handle {
    inner: Arc<Inner>,
    /// For changes that may wait, and for reads where `offload_reads` is on.
    workers: Arc<Pool>,
    /// For what takes long: pages, purges, flushes.
    scanners: Arc<Pool>,
}

/// What every operation needs, on whatever thread it runs.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: FileConfig,
    pub(crate) root: Root,
    pub(crate) lap: Lap,
    /// Whether to try renaming with flags, for exchanging and for not replacing; tests turn it off.
    pub(crate) flags: bool,
    /// Who has opened the store: a child that was forked from it shares its locks and has none of its threads.
    pub(crate) process: u32,
    shards: Shards,
    closed: AtomicBool,
    /// Temporary names are unique, although the lock already sees to it that there is one writer: should a file
    /// system fail to exclude another host, an update may be lost, but no two are mixed.
    unique: Revision,
    count: AtomicU64,
}

impl Inner {
    pub(crate) fn open(config: FileConfig) -> Result<Self> {
        config.check()?;
        let root = Root::open(&config)?;
        let unique = Revision::random().map_err(|error| error.during(Operation::Open))?;
        Ok(Self {
            config,
            root,
            lap: Lap::default(),
            flags: true,
            process: std::process::id(),
            shards: Shards::new(),
            closed: AtomicBool::new(false),
            unique,
            count: AtomicU64::new(0),
        })
    }

    /// Locks a shard, or gives `None` where somebody else holds it just now.
    pub(crate) fn lock(&self, shard: usize) -> Result<Option<Locked<'_>>, Fault> {
        self.check_open()?;
        self.check_process()?;
        let locked = self.shards.try_lock(&self.root, shard, self.durable())?;
        // Once more, for closing waits for those who hold a lock, and for nobody who comes after.
        self.check_open()?;
        Ok(locked)
    }

    /// Locks a shard, on a thread that may wait for whoever holds it, until the deadline of the options.
    pub(crate) fn wait_lock(&self, shard: usize) -> Result<Locked<'_>, Fault> {
        let began = pool::now();
        loop {
            if let Some(locked) = self.lock(shard)? {
                return Ok(locked);
            }
            if pool::now().saturating_duration_since(began) >= self.config.busy_timeout {
                let detail = "another process or handle holds the lock of a shard";
                return Err(Fault::new(StoreErrorKind::Unavailable, detail));
            }
            pause();
        }
    }

    fn check_process(&self) -> Result<(), Fault> {
        if std::process::id() == self.process { Ok(()) } else { Err(Fault::forked()) }
    }

    pub(crate) fn check_open(&self) -> Result<(), Fault> {
        if self.closed.load(Ordering::SeqCst) { Err(Fault::closed()) } else { Ok(()) }
    }

    pub(crate) fn durable(&self) -> bool {
        self.config.durability == Durability::Power
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.config.clock.now()
    }

    pub(crate) fn temporary_name(&self) -> Vec<u8> {
        let unique = u64::from_be_bytes(self.unique.to_bytes());
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        format!("{TEMPORARY}{unique:016x}-{count:x}").into_bytes()
    }

    fn flush(&self) -> Result<(), Fault> {
        self.root.check_there()?.sync()
    }

    fn close(&self) -> Result<(), Fault> {
        self.shards.release();
        self.flush()
    }
}

impl FileStore {
    /// Opens the store, making an empty directory one, with a path or a whole [`FileConfig`].
    ///
    /// It blocks for a moment: call it while the application starts.
    ///
    /// # Errors
    /// `Misconfigured` for options, paths and permissions that cannot work, for a directory with other things in it and
    /// for a layout of another version, none of which is changed; `Unavailable`, `Full`, `Backend`.
    pub fn open(config: impl Into<FileConfig>) -> Result<Self> {
        Ok(Self::with(Inner::open(config.into())?))
    }

    pub(crate) fn with(inner: Inner) -> Self {
        let config = &inner.config;
        let (queue, patience) = (config.max_queue, config.busy_timeout);
        let workers = Pool::new("session-file-w", config.threads, queue, patience);
        let scanners = Pool::new("session-file-s", SCANNERS, queue, patience);
        Self(Arc::new(Handle { inner: Arc::new(inner), workers, scanners }))
    }

    /// Makes a change in place, or on a thread of the driver where it may have to wait.
    async fn change(&self, key: &Key, change: ChangeRequest) -> Result<Answer> {
        let place = Place::of(key);
        let operation = change.operation();
        let inner = &self.0.inner;
        if !inner.durable() {
            for _ in 0..TRIES_IN_PLACE {
                match change
                    .apply(inner, key, &place, On::Callers, None)
                    .map_err(|fault| fault.during(operation))?
                {
                    Tried::Done(answer) => return Ok(answer),
                    Tried::Busy => std::thread::yield_now(),
                    Tried::Large => break,
                }
            }
        }
        let (inner, key) = (Arc::clone(inner), key.clone());
        let work = move |gone: &AtomicBool| change.apply(&inner, &key, &place, On::Own, Some(gone));
        self.run_change(operation, work).await
    }

    /// Runs a change on a thread of the driver, which is told whether the caller has gone.
    async fn run_change<W>(&self, operation: Operation, mut work: W) -> Result<Answer>
    where
        W: FnMut(&AtomicBool) -> Result<Tried, Fault> + Send + 'static,
    {
        let gone = Arc::new(AtomicBool::new(false));
        let _leaving = Leaving(Arc::clone(&gone));
        self.run(&self.0.workers, operation, move || work(&gone).map(Tried::done)).await
    }

    /// Runs `work` on threads of the driver, of which a child that was forked from this process has none.
    async fn run<T, W>(&self, pool: &Arc<Pool>, operation: Operation, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnMut() -> Result<Option<T>, Fault> + Send + 'static,
    {
        self.0.inner.check_process().map_err(|fault| fault.during(operation))?;
        pool.run(operation, work).await
    }

    /// Stores data so large that even its checksum takes too long for a runtime worker.
    async fn store_large(&self, key: &Key, record: Record, when: Condition) -> Result<Answer> {
        let (inner, key, place) = (Arc::clone(&self.0.inner), key.clone(), Place::of(key));
        let mut change = None;
        let store = move |gone: &AtomicBool| {
            let change = change.get_or_insert_with(|| ChangeRequest::store(&key, &record, when));
            change.apply(&inner, &key, &place, On::Own, Some(gone))
        };
        self.run_change(Operation::Store, store).await
    }

    fn check_open(&self, operation: Operation) -> Result<()> {
        self.0.inner.check_open().map_err(|fault| fault.during(operation))
    }
}

/// Says that a caller waits no longer, when it is dropped.
struct Leaving(Arc<AtomicBool>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Driver for FileStore {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        let operation = Operation::Retrieve;
        let place = Place::of(key);
        let inner = &self.0.inner;
        if !inner.config.offload_reads {
            let found = read::retrieve(inner, key, &place, On::Callers);
            let found = found.map_err(|fault| fault.during(operation))?;
            if let Some(record) = found {
                return Ok(record);
            }
        }
        let (inner, key) = (Arc::clone(inner), key.clone());
        let work = move || read::retrieve(&inner, &key, &place, On::Own);
        self.run(&self.0.workers, operation, work).await
    }

    async fn store(&self, key: &Key, record: Record, when: Condition) -> Result<Change> {
        self.check_open(Operation::Store)?;
        let config = &self.0.inner.config;
        if record.data.len() as u64 > config.max_record_bytes {
            let detail = format!(
                "{} bytes of data, and max_record_bytes is {}",
                record.data.len(),
                config.max_record_bytes
            );
            return Err(StoreError::new(StoreErrorKind::TooLarge, Operation::Store).with_detail(detail));
        }
        let answer = if record.data.len() >= config.offload_from {
            self.store_large(key, record, when).await?
        } else {
            self.change(key, ChangeRequest::store(key, &record, when)).await?
        };
        match answer {
            Answer::Stored(stored) => Ok(stored),
            Answer::Touched(_) => Err(unexpected(Operation::Store)),
        }
    }

    async fn remove(&self, key: &Key, when: Condition) -> Result<Change> {
        match self.change(key, ChangeRequest::Remove { when }).await? {
            Answer::Stored(stored) => Ok(stored),
            Answer::Touched(_) => Err(unexpected(Operation::Remove)),
        }
    }

    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        let operation = Operation::Traverse;
        self.check_open(operation)?;
        let Some(position) = Position::parse(&from) else {
            let error = StoreError::new(StoreErrorKind::InvalidCursor, operation);
            return Err(error.with_detail("not a cursor of this driver"));
        };
        let (inner, prefix) = (Arc::clone(&self.0.inner), prefix.clone());
        let page = move || traverse::page(&inner, &prefix, position, limit).map(Some);
        self.run(&self.0.scanners, operation, page).await
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        let Touch { from, to, deadline } = touch;
        match self.change(key, ChangeRequest::Touch { from, to, deadline }).await? {
            Answer::Touched(touched) => Ok(touched),
            Answer::Stored(_) => Err(unexpected(Operation::Touch)),
        }
    }

    /// Looks at 32,768 files at most, and those of one subdirectory more, and goes on from there with the next call:
    /// `more` is false once all subdirectories have had their turn. A call that gets to the end also looks at those that
    /// had theirs in earlier calls. It removes temporary and torn files that are older than an hour, too.
    ///
    /// What cannot be read or removed is passed by with an event, and so is the rest of a shard whose lock is kept; a
    /// call that removes nothing then gives that as its error. Dropping the future does not stop a purge that has begun.
    async fn purge(&self, limit: usize) -> Result<Purged> {
        self.check_open(Operation::Purge)?;
        let inner = Arc::clone(&self.0.inner);
        self.run(&self.0.scanners, Operation::Purge, move || purge::purge(&inner, limit).map(Some)).await
    }

    async fn flush(&self) -> Result<()> {
        self.check_open(Operation::Flush)?;
        let inner = Arc::clone(&self.0.inner);
        self.run(&self.0.scanners, Operation::Flush, move || inner.flush().map(Some)).await
    }

    /// Waits for the changes that are being made, flushes, and lets go of all directories. Should the flush fail, the
    /// store is closed all the same.
    async fn close(&self) -> Result<()> {
        let inner = Arc::clone(&self.0.inner);
        inner.closed.store(true, Ordering::SeqCst);
        self.run(&self.0.scanners, Operation::Close, move || inner.close().map(Some)).await
    }

    fn capabilities(&self) -> Capabilities {
        let config = &self.0.inner.config;
        let (survives, rolls_back) = match config.durability {
            Durability::Process => (Survives::Kill, RollsBack::PowerLoss),
            Durability::Power => (Survives::PowerLoss, RollsBack::Never),
        };
        Capabilities::none()
            .conditional(true)
            .survives(survives)
            .rolls_back(rolls_back)
            .shared(Shared::Host)
            .expiry(ExpiryMode::Caller)
            .max_record_bytes(Some(config.max_record_bytes))
            .exactly_once(true)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.0.inner.config.clock)
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").field("config", &self.0.inner.config).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // In a forked child a thread that is not there may hold the queues' locks for ever.
        if self.inner.check_process().is_ok() {
            self.workers.stop();
            self.scanners.stop();
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a thread of the driver waits for another process, not for a moment"
)]
fn pause() {
    std::thread::sleep(PAUSE);
}

/// Only if a change was answered with the answer to another one.
fn unexpected(operation: Operation) -> StoreError {
    StoreError::new(StoreErrorKind::Backend, operation).applied_unknown()
}
