//! The handle, and how its calls run: in place, or on a worker thread where they would have to wait.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use session_core::offload::{Caller, FileWatch, Order, Workers, WorkersConfig};
use session_core::{
    Capabilities, Change, Clock, Condition, Cursor, Driver, Durability, Gate, Key, KnownFile, OnFull,
    Operation, Page, Prefix, Purged, Record, Result, Touch, check_record_bytes, yield_now,
};

use crate::config::MmapConfig;
use crate::error::{Fault, LOCKED};
use crate::file::SessionFile;
use crate::layout::superblock;
use crate::open;
use crate::protocol::Words;
use crate::record::LARGE;

/// How many worker threads there may be. Most of their work is waiting.
const THREADS: usize = 4;
/// How many calls may wait for a lock or for the disk before further ones fail with `Unavailable`.
const MAX_QUEUE: usize = 4096;

/// A session store in a mapped file. Clones are cheap, and all clones are the same store.
///
/// The file is closed when the last clone is dropped, which waits for nothing.
///
/// # Cancellation
/// A call in place is complete after its first poll. A call that has to wait for a lock, for room or for the disk
/// continues on a worker thread. Dropping its future before the thread holds the lock cancels it; after that it
/// completes unseen.
#[derive(Clone)]
pub struct MmapStore(Arc<Inner>);

struct Inner {
    /// For calls in place.
    file: SessionFile,
    /// The same file for calls on worker threads.
    patient: Arc<SessionFile>,
    config: MmapConfig,
    record_limit: u64,
    /// The file at its path. Other processes use what is there.
    files: FileWatch,
    gate: Gate,
    workers: Workers,
    /// The shard that the next purge begins with.
    next_purge: AtomicU32,
}

/// How often a file was repaired since it was created, by any process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Repairs {
    /// How often a shard was repaired, because its last owner was killed within a change or because it was damaged.
    pub shards: u64,
    /// How many records were lost. A process that is killed loses none.
    pub lost: u64,
}

impl MmapStore {
    /// Opens the store at a path or with a [`MmapConfig`], and creates a missing file.
    ///
    /// Blocks while another process opens the same file. The only opener of a file that was not closed checks every
    /// record, at about 1 us each. After a reboot, or where records are missing, it reads the whole file.
    ///
    /// # Errors
    /// `Misconfigured` for options, paths and permissions that cannot work, and for a file of another program, version
    /// or geometry; `Corrupt` for a truncated file or a damaged superblock. Such files are not changed. `Unavailable`,
    /// `Full`, `Entropy`, `Backend`.
    pub fn open(config: impl Into<MmapConfig>) -> Result<Self> {
        let config = config.into();
        let patient = open::open(&config)?;
        let files = FileWatch::start(vec![KnownFile::at(&config.path)?])?;
        let workers = Workers::new(WorkersConfig {
            name: "session-mmap",
            threads: THREADS,
            max_queue: MAX_QUEUE,
            busy_timeout: config.busy_timeout,
            busy_detail: LOCKED,
        });
        Ok(Self(Arc::new(Inner {
            file: SessionFile { in_place: true, ..patient.clone() },
            record_limit: config.record_limit(&patient.geometry)?,
            patient: Arc::new(patient),
            files,
            config,
            gate: Gate::new(),
            workers,
            next_purge: AtomicU32::new(0),
        })))
    }

    /// The repairs since the file was created, by any process. Costs two memory reads, so it may be polled as a
    /// metric.
    #[must_use]
    pub fn repairs(&self) -> Repairs {
        let head = self.0.file.superblock();
        Repairs { shards: head.get(superblock::REPAIRED), lost: head.get(superblock::LOST) }
    }

    /// The answer of a call in place, or of the same call on a worker thread where it would have to wait.
    #[inline]
    async fn settle<T, W>(
        &self,
        operation: Operation,
        tried: Result<T, Fault>,
        again: impl FnOnce() -> W,
    ) -> Result<T>
    where
        T: Send + 'static,
        W: FnMut(&SessionFile, Option<Caller<'_>>) -> Result<T, Fault> + Send + 'static,
    {
        match tried {
            Ok(answer) => Ok(answer),
            Err(Fault::Busy | Fault::NeedsThread) => self.offload(operation, again()).await,
            Err(fault) => Err(fault.during(operation)),
        }
    }

    #[cold]
    fn offload<T, W>(
        &self,
        operation: Operation,
        mut work: W,
    ) -> impl Future<Output = Result<T>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: FnMut(&SessionFile, Option<Caller<'_>>) -> Result<T, Fault> + Send + 'static,
    {
        let file = Arc::clone(&self.0.patient);
        // Boxed to keep the future of a call in place small.
        Box::pin(self.0.workers.run(operation, Order::Free, move |caller| match work(&file, Some(caller)) {
            Err(Fault::Busy) => Ok(None),
            done => done.map(Some).map_err(|fault| fault.during(operation)),
        }))
    }
}

impl Driver for MmapStore {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        self.0.check(Operation::Retrieve)?;
        let again = || {
            let key = key.clone();
            move |file: &SessionFile, _: Option<Caller<'_>>| file.retrieve(&key)
        };
        self.settle(Operation::Retrieve, self.0.file.retrieve(key), again).await
    }

    async fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        self.0.check(Operation::Store)?;
        let length = record.data.len();
        check_record_bytes(length, self.0.record_limit)?;
        let tried = if length > LARGE {
            Err(Fault::NeedsThread)
        } else {
            self.0.file.store(key, &record, condition, None)
        };
        let again = || {
            let key = key.clone();
            move |file: &SessionFile, caller: Option<Caller<'_>>| file.store(&key, &record, condition, caller)
        };
        self.settle(Operation::Store, tried, again).await
    }

    async fn remove(&self, key: &Key, condition: Condition) -> Result<Change> {
        self.0.check(Operation::Remove)?;
        let again = || {
            let key = key.clone();
            move |file: &SessionFile, caller: Option<Caller<'_>>| file.remove(&key, condition, caller)
        };
        self.settle(Operation::Remove, self.0.file.remove(key, condition, None), again).await
    }

    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        self.0.check(Operation::Traverse)?;
        let tried = self.0.file.page(prefix, &from, limit);
        let again = || {
            let prefix = prefix.clone();
            move |file: &SessionFile, _: Option<Caller<'_>>| file.page(&prefix, &from, limit)
        };
        let page = self.settle(Operation::Traverse, tried, again).await?;
        if page.next.is_some() {
            yield_now().await;
        }
        Ok(page)
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        self.0.check(Operation::Touch)?;
        let again = || {
            let key = key.clone();
            move |file: &SessionFile, caller: Option<Caller<'_>>| file.touch(&key, touch, caller)
        };
        self.settle(Operation::Touch, self.0.file.touch(key, touch, None), again).await
    }

    async fn purge(&self, limit: usize) -> Result<Purged> {
        self.0.gate.check(Operation::Purge)?;
        self.0.files.look(Operation::Purge)?;
        let file = &self.0.file;
        let shards = file.geometry.shards;
        let limit = limit as u64;
        let mut removed = 0;
        // Each purge begins with another shard, so that a small limit reaches all of them.
        let first = self.0.next_purge.fetch_add(1, Ordering::Relaxed);
        for number in (0..shards).map(|step| first.wrapping_add(step) & (shards - 1)) {
            let mut under_way = None;
            while removed < limit {
                self.0.gate.check(Operation::Purge)?;
                let (from, most) = (under_way, limit - removed);
                let tried = file.purge_step(number, from, most);
                let again =
                    || move |file: &SessionFile, _: Option<Caller<'_>>| file.purge_step(number, from, most);
                let (gone, rest) = self.settle(Operation::Purge, tried, again).await?;
                removed += gone;
                under_way = rest;
                if under_way.is_none() {
                    break;
                }
                yield_now().await;
            }
        }
        self.0.gate.check(Operation::Purge)?;
        let now = self.0.config.clock.now();
        let more = removed >= limit && (0..shards).any(|number| file.shard(number).is_due(now));
        Ok(Purged { removed, more })
    }

    /// Synchronises the file, on a worker thread.
    async fn flush(&self) -> Result<()> {
        self.0.gate.check(Operation::Flush)?;
        self.offload(Operation::Flush, |file, _| file.sync()).await?;
        self.0.files.look(Operation::Flush)
    }

    async fn close(&self) -> Result<()> {
        self.0.gate.close();
        self.0.files.stop();
        // A second call synchronises again: the first may have failed, or its future may have been dropped.
        self.offload(Operation::Close, |file, _| file.sync()).await?;
        self.0.files.look(Operation::Close)?;
        let config = self.0.config.clone();
        self.offload(Operation::Close, move |file, _| {
            open::seal(file, &config);
            Ok(())
        })
        .await
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::in_files(Durability::Process, self.0.record_limit)
            .evicts(self.0.config.on_full == OnFull::Evict)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.0.config.clock)
    }
}

impl Inner {
    /// Passes while the store is open and its file is at its path.
    #[inline]
    fn check(&self, operation: Operation) -> Result<()> {
        self.gate.check(operation)?;
        self.files.check(operation)
    }
}

impl fmt::Debug for MmapStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MmapStore").field("config", &self.0.config).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use session_core::StoreErrorKind;

    use super::*;

    #[tokio::test]
    async fn a_repeated_close_synchronises_again() {
        let directory = tempfile::tempdir().unwrap();
        let config = MmapConfig::new(directory.path().join("map")).max_bytes(256 << 10);
        let store = MmapStore::open(config.busy_timeout(std::time::Duration::from_secs(3600))).unwrap();
        // The queue of the workers is full.
        let mut stuck = Vec::new();
        for _ in 0..MAX_QUEUE {
            let mut call = Box::pin(store.offload(Operation::Store, |_, _| Err::<(), _>(Fault::Busy)));
            assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            stuck.push(call);
        }
        for _ in 0..2 {
            assert_eq!(store.close().await.unwrap_err().kind(), StoreErrorKind::Unavailable);
        }
        drop(stuck);
        while store.close().await.is_err() {
            std::thread::yield_now();
        }
        assert_eq!(store.flush().await.unwrap_err().kind(), StoreErrorKind::Closed);
    }
}
