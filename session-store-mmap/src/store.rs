//! The driver.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Poll;

use session_core::{
    Capabilities, Change, Clock, Condition, Cursor, Driver, ExpiryMode, Key, Operation, Page, Prefix, Purged,
    Record, Result, RollsBack, Shared, StoreError, StoreErrorKind, Survives, Touch,
};

use crate::area::Area;
use crate::aside::Aside;
use crate::config::{MmapConfig, OnFull};
use crate::error::Fault;
use crate::layout::superblock;
use crate::open;
use crate::ops::Ops;
use crate::page::BATCH;
use crate::protocol::Words;

/// Storing more than this takes a good part of a millisecond, and does so on a thread of its own.
const LARGE: u64 = 256 << 10;

/// A session store in a mapped file. Cloning it is cheap, and every clone is the same store.
///
/// The file is closed when the last clone is gone, which waits for nothing.
///
/// # Cancellation
/// Operations run in place and come to their end when they are polled first. What has to wait (for a lock, for room,
/// for the disk) goes on on a thread of the driver: dropping its future before it has begun stops it, and afterwards
/// it comes to its end unseen.
#[derive(Clone)]
pub struct MmapStore(Arc<Inner>);

struct Inner {
    ops: Ops,
    config: MmapConfig,
    max_record_bytes: u64,
    closed: AtomicBool,
    /// With which shard the next purge begins.
    turn: AtomicU32,
    aside: Arc<Aside>,
}

/// What was repaired of a file since it was made, by anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Repairs {
    /// How often a shard was repaired: its last owner had died within a change, or it was damaged.
    pub shards: u64,
    /// How many records could not be kept. A process that is killed loses none.
    pub lost: u64,
}

impl MmapStore {
    /// Opens the store, making the file if it is missing, with a path or a whole [`MmapConfig`].
    ///
    /// It blocks: while another process opens the same file, and, for who is alone with it, for a look at every
    /// record, about a microsecond each. After a restart of the machine, or where records are missing, it reads all of
    /// the file.
    ///
    /// # Errors
    /// `Misconfigured` for options, paths and permissions that cannot work, for a file that is not ours, of another
    /// version or made with another geometry; `Corrupt` for one that is cut short or whose superblock is damaged. None
    /// of these is changed. `Unavailable`, `Full`, `Backend`.
    pub fn open(config: impl Into<MmapConfig>) -> Result<Self> {
        let config = config.into();
        let area = open::open(&config)?;
        let max_record_bytes = config.largest_value(&area.geometry)?;
        let ops = Ops::new(&area, config.on_full, Arc::clone(&config.clock));
        Ok(Self(Arc::new(Inner {
            ops,
            config,
            max_record_bytes,
            closed: AtomicBool::new(false),
            turn: AtomicU32::new(0),
            aside: Arc::default(),
        })))
    }

    /// What was repaired since the file was made, by any process. It costs two reads of memory, so that an application
    /// may look at it whenever it likes: after opening, to know what that has cost, or as a metric.
    #[must_use]
    pub fn repairs(&self) -> Repairs {
        let head = self.0.area().superblock();
        Repairs { shards: head.get(superblock::REPAIRED), lost: head.get(superblock::LOST) }
    }

    /// The answer of what was tried in place or, where that would have had to wait, of the same on a thread of the
    /// driver.
    #[inline]
    async fn settle<T, W>(
        &self,
        operation: Operation,
        tried: Result<T, Fault>,
        again: impl FnOnce() -> W,
    ) -> Result<T>
    where
        T: Send + 'static,
        W: Fn(&Ops) -> Result<T, Fault> + Send + 'static,
    {
        match tried {
            Ok(answer) => Ok(answer),
            Err(Fault::Busy | Fault::Long) => self.aside(operation, again()).await,
            Err(fault) => Err(fault.during(operation)),
        }
    }

    #[cold]
    fn aside<T, W>(&self, operation: Operation, work: W) -> impl Future<Output = Result<T>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: Fn(&Ops) -> Result<T, Fault> + Send + 'static,
    {
        let inner = Arc::clone(&self.0);
        let (aside, patience) = (Arc::clone(&inner.aside), inner.config.busy_timeout);
        let gone = Arc::new(AtomicBool::new(false));
        let ops = inner.ops.patient().until(Arc::clone(&gone));
        // Only who comes to the slow way pays for the size of its future.
        Box::pin(async move {
            let _leaving = Leaving(gone);
            aside.run(operation, patience, move || work(&ops)).await
        })
    }
}

impl Driver for MmapStore {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        self.0.open_for(Operation::Retrieve)?;
        let again = || {
            let key = key.clone();
            move |ops: &Ops| ops.retrieve(&key)
        };
        self.settle(Operation::Retrieve, self.0.ops.retrieve(key), again).await
    }

    async fn store(&self, key: &Key, record: Record, when: Condition) -> Result<Change> {
        self.0.open_for(Operation::Store)?;
        let length = record.data.len() as u64;
        if length > self.0.max_record_bytes {
            let detail =
                format!("{length} bytes of data, and max_record_bytes is {}", self.0.max_record_bytes);
            return Err(StoreError::new(StoreErrorKind::TooLarge, Operation::Store).with_detail(detail));
        }
        let tried = if length > LARGE { Err(Fault::Long) } else { self.0.ops.store(key, &record, when) };
        let again = || {
            let key = key.clone();
            move |ops: &Ops| ops.store(&key, &record, when)
        };
        self.settle(Operation::Store, tried, again).await
    }

    async fn remove(&self, key: &Key, when: Condition) -> Result<Change> {
        self.0.open_for(Operation::Remove)?;
        let again = || {
            let key = key.clone();
            move |ops: &Ops| ops.remove(&key, when)
        };
        self.settle(Operation::Remove, self.0.ops.remove(key, when), again).await
    }

    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        self.0.open_for(Operation::Traverse)?;
        let tried = self.0.ops.page(prefix, &from, limit);
        let again = || {
            let prefix = prefix.clone();
            move |ops: &Ops| ops.page(&prefix, &from, limit)
        };
        let page = self.settle(Operation::Traverse, tried, again).await?;
        if page.next.is_some() {
            yield_now().await;
        }
        Ok(page)
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        self.0.open_for(Operation::Touch)?;
        let again = || {
            let key = key.clone();
            move |ops: &Ops| ops.touch(&key, touch)
        };
        self.settle(Operation::Touch, self.0.ops.touch(key, touch), again).await
    }

    async fn purge(&self, limit: usize) -> Result<Purged> {
        let shards = self.0.area().geometry.shards;
        let limit = limit as u64;
        let mut removed = 0;
        // Elsewhere than the last time, so that a small limit comes to every shard.
        let first = self.0.turn.fetch_add(1, Ordering::Relaxed);
        for step in 0..shards {
            let number = first.wrapping_add(step) & (shards - 1);
            let mut under_way = None;
            let mut steps = 0;
            while removed < limit {
                self.0.open_for(Operation::Purge)?;
                let (from, most) = (under_way, limit - removed);
                let tried = self.0.ops.purge_step(number, from, most);
                let again = || move |ops: &Ops| ops.purge_step(number, from, most);
                let (gone, rest) = self.settle(Operation::Purge, tried, again).await?;
                removed += gone;
                under_way = rest;
                if under_way.is_none() {
                    break;
                }
                steps += 1;
                if steps % BATCH == 0 {
                    yield_now().await;
                }
            }
        }
        self.0.open_for(Operation::Purge)?;
        let now = self.0.config.clock.now();
        let more = removed >= limit && (0..shards).any(|number| self.0.area().shard(number).is_due(now));
        Ok(Purged { removed, more })
    }

    /// Synchronises the file, on a thread of the driver: a disk may take its time.
    async fn flush(&self) -> Result<()> {
        self.0.open_for(Operation::Flush)?;
        self.aside(Operation::Flush, |ops: &Ops| ops.area.sync()).await
    }

    async fn close(&self) -> Result<()> {
        self.0.closed.store(true, Ordering::Release);
        // Whoever closes once more may do so because the first time was given up, or failed.
        self.aside(Operation::Close, |ops: &Ops| ops.area.sync()).await
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::none()
            .conditional(true)
            .survives(Survives::Kill)
            .rolls_back(RollsBack::PowerLoss)
            .shared(Shared::Host)
            .expiry(ExpiryMode::Caller)
            .max_record_bytes(Some(self.0.max_record_bytes))
            .evicts(self.0.config.on_full == OnFull::Evict)
            .exactly_once(true)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.0.config.clock)
    }
}

impl fmt::Debug for MmapStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MmapStore").field("config", &self.0.config).finish_non_exhaustive()
    }
}

/// Says that a caller waits no longer, when it is dropped.
struct Leaving(Arc<AtomicBool>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Inner {
    fn open_for(&self, operation: Operation) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(StoreError::closed(operation)) } else { Ok(()) }
    }

    fn area(&self) -> &Area {
        &self.ops.area
    }
}

async fn yield_now() {
    let mut yielded = false;
    let once = std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    });
    pin!(once).await;
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Waker};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn whoever_closes_once_more_is_told_whether_everything_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let store =
            MmapStore::open(MmapConfig::new(directory.path().join("map")).max_bytes(256 << 10)).unwrap();
        // Nothing more can be done on the threads of the driver.
        let mut stuck: Vec<Pin<Box<dyn Future<Output = Result<()>>>>> = Vec::new();
        for _ in 0..4096 {
            let wait = || {
                std::thread::yield_now();
                Err(Fault::Busy)
            };
            let long = Duration::from_secs(3600);
            let aside = Arc::clone(&store.0.aside);
            stuck.push(Box::pin(async move { aside.run(Operation::Store, long, wait).await }));
            let mut context = Context::from_waker(Waker::noop());
            assert!(stuck.last_mut().unwrap().as_mut().poll(&mut context).is_pending());
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
