//! The handle of a store.

use std::fmt;
use std::sync::Arc;

use session_core::offload::{Caller, Order, Workers, WorkersConfig};
use session_core::{
    Capabilities, Change, ChangeRequest, Clock, Condition, Cursor, Driver, Key, Operation, Page, Prefix,
    Purged, Record, Result, Touch, check_record_bytes,
};

use crate::change::{Attempt, Tried};
use crate::config::FileConfig;
use crate::error::Fault;
use crate::open::{BUSY, Opened};
use crate::path::RecordPath;
use crate::purge::{self, Lap};
use crate::read::{self, Thread};
use crate::traverse::{self, Position};

/// How often a change tries a taken lock on the caller's thread. Locks are usually held for microseconds.
const TRIES_IN_PLACE: usize = 8;
/// How many threads run pages, purges, flushes and `close`.
const SCANNERS: usize = 2;

/// A session store in the files of a directory. Clones are cheap and share the store.
///
/// Dropping the last clone closes the directories and lets the worker threads end, without waiting for them.
///
/// # Cancellation
/// Dropping the future of a call leaves the old record or the new one, and releases all locks. A change that has begun
/// on a worker thread is completed; a change that has not begun is not made.
#[derive(Clone)]
pub struct FileStore(pub(crate) Arc<Handle>);

pub(crate) struct Handle {
    opened: Arc<Opened>,
    lap: Arc<Lap>,
    /// For changes that may wait, and for offloaded reads.
    pub(crate) workers: Workers,
    /// For calls that take long.
    pub(crate) scanners: Workers,
}

impl FileStore {
    /// Opens the store in a directory, and makes an empty directory a store. Takes a path or a [`FileConfig`].
    ///
    /// Blocks for a moment: call it while the application starts.
    ///
    /// # Errors
    /// `Misconfigured` if options, path or permissions are invalid, or if the directory holds other files or another
    /// layout version; the directory is then unchanged. `Unavailable`, `Full`, `Backend`.
    pub fn open(config: impl Into<FileConfig>) -> Result<Self> {
        Ok(Self::new(Opened::open(config.into())?))
    }

    pub(crate) fn new(opened: Opened) -> Self {
        let workers = |name, threads| {
            let (max_queue, busy_timeout) = (opened.config.max_queue, opened.config.busy_timeout);
            Workers::new(WorkersConfig { name, threads, max_queue, busy_timeout, busy_detail: BUSY })
        };
        Self(Arc::new(Handle {
            workers: workers("session-file-w", opened.config.threads),
            scanners: workers("session-file-s", SCANNERS),
            opened: Arc::new(opened),
            lap: Arc::default(),
        }))
    }

    /// Makes a change on the caller's thread, or on a worker thread where it may have to wait or takes long.
    async fn change(&self, key: &Key, request: ChangeRequest) -> Result<Change> {
        let opened = &self.0.opened;
        let (operation, path) = (request.operation(), RecordPath::of(key));
        let in_place = !opened.is_durable() && request.data_len() < opened.config.offload_threshold;
        let mut attempt = Attempt::new(request);
        if in_place {
            self.0.workers.check_process(operation)?;
            for _ in 0..TRIES_IN_PLACE {
                let tried = attempt.run(opened, key, &path, None);
                match tried.map_err(|fault| fault.during(operation))? {
                    Tried::Done(change) => return Ok(change),
                    Tried::Busy => std::thread::yield_now(),
                    Tried::Large => break,
                }
            }
        }
        let key = key.clone();
        self.run(&self.0.workers, operation, move |opened, caller| {
            Ok(match attempt.run(opened, &key, &path, Some(caller))? {
                Tried::Done(change) => Some(change),
                Tried::Busy | Tried::Large => None,
            })
        })
        .await
    }

    /// Runs `work` on a worker thread.
    async fn run<T, W>(&self, workers: &Workers, operation: Operation, mut work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnMut(&Opened, Caller<'_>) -> Result<Option<T>, Fault> + Send + 'static,
    {
        let opened = Arc::clone(&self.0.opened);
        let work = move |caller: Caller<'_>| work(&opened, caller).map_err(|fault| fault.during(operation));
        workers.run(operation, Order::Free, work).await
    }
}

impl Driver for FileStore {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        let operation = Operation::Retrieve;
        let path = RecordPath::of(key);
        let opened = &self.0.opened;
        if !opened.config.offload_reads {
            let found = read::retrieve(opened, key, &path, Thread::Caller);
            if let Some(record) = found.map_err(|fault| fault.during(operation))? {
                return Ok(record);
            }
        }
        let key = key.clone();
        self.run(&self.0.workers, operation, move |opened, _| {
            read::retrieve(opened, &key, &path, Thread::Worker)
        })
        .await
    }

    async fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        self.0.opened.gate.check(Operation::Store)?;
        check_record_bytes(record.data.len(), self.0.opened.config.max_record_bytes)?;
        self.change(key, ChangeRequest::Store { record, condition }).await
    }

    async fn remove(&self, key: &Key, condition: Condition) -> Result<Change> {
        self.change(key, ChangeRequest::Remove { condition }).await
    }

    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        self.0.opened.gate.check(Operation::Traverse)?;
        let (position, prefix) = (Position::from_cursor(&from)?, prefix.clone());
        self.run(&self.0.scanners, Operation::Traverse, move |opened, _| {
            traverse::page(opened, &prefix, position, limit).map(Some)
        })
        .await
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        Ok(self.change(key, ChangeRequest::Touch(touch)).await?.is_applied())
    }

    /// Examines at most 32,768 files and the rest of one folder, and continues there with the next call. `more` is
    /// `false` once all folders were examined. Also removes temporary and torn files older than an hour.
    ///
    /// Files that cannot be read or removed are skipped with an event, and so is the rest of a shard whose lock is
    /// taken. A call that removes nothing returns the first of these failures. Dropping the future does not stop a purge
    /// that has begun.
    async fn purge(&self, limit: usize) -> Result<Purged> {
        self.0.opened.gate.check(Operation::Purge)?;
        let lap = Arc::clone(&self.0.lap);
        self.run(&self.0.scanners, Operation::Purge, move |opened, _| {
            purge::purge(opened, &lap, limit).map(Some)
        })
        .await
    }

    async fn flush(&self) -> Result<()> {
        self.0.opened.gate.check(Operation::Flush)?;
        self.run(&self.0.scanners, Operation::Flush, |opened, _| opened.flush().map(Some)).await
    }

    /// Waits for running changes, flushes, and closes all directories. The store is closed even if the flush fails.
    async fn close(&self) -> Result<()> {
        self.0.opened.gate.close();
        self.run(&self.0.scanners, Operation::Close, |opened, _| opened.close().map(Some)).await
    }

    fn capabilities(&self) -> Capabilities {
        let config = &self.0.opened.config;
        Capabilities::in_files(config.durability, config.max_record_bytes)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.0.opened.config.clock)
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").field("config", &self.0.opened.config).finish_non_exhaustive()
    }
}
