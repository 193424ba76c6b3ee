//! The handle of a store.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use session_core::offload::FileWatch;
use session_core::{
    Applied, Capabilities, Change, ChangeRequest, Clock, Condition, Cursor, Driver, ExpiryMode, Key,
    KnownFile, Operation, Page, Prefix, Purged, Record, Result, RollsBack, Shared, StoreError,
    StoreErrorKind, Survives, Touch, yield_now,
};
use sled::Tree;

use crate::change;
use crate::config::{SledConfig, Source};
use crate::error::{contain, from_sled};
use crate::flusher::{Flusher, Lent, Log, Wait};
use crate::pending::Pending;
use crate::purge::Round;
use crate::read;
use crate::traverse::Walk;

/// How many records a traversal or a purge examines between two yields: about 50 microseconds.
const STRETCH: usize = 8;

/// A session store in a tree of a sled 0.34 database. Clones share the store.
///
/// Each record is a frame of `session_core::frame` under its key, and each change is a `compare_and_swap` of the frame.
///
/// [`close`](Driver::close) closes a database of the store's own, so that another process can open it at once. Dropping
/// the last handle does the same in the background.
#[derive(Clone)]
pub struct SledStore(Arc<Inner>);

struct Inner {
    /// `None` once closed. Operations clone the tree out of the lock, because sled may wait forever and `close` must not
    /// wait for the lock that long.
    tree: RwLock<Option<Arc<Lent<Tree>>>>,
    config: SledConfig,
    flusher: Flusher,
    /// Only with `flush_each_change`.
    pending: Option<Arc<Pending>>,
    round: Round,
    /// The file of a database of the store's own.
    files: Option<FileWatch>,
}

impl SledStore {
    /// Opens the store. Takes a path or a [`SledConfig`]. Blocks while sled recovers the database.
    ///
    /// # Errors
    /// `Misconfigured` for an invalid option, or a directory that cannot be created, read or written; `Unavailable` for
    /// a database that is open elsewhere; `Corrupt` for a damaged one; `Full` and `Backend`.
    pub fn open(config: impl Into<SledConfig>) -> Result<Self> {
        let config = config.into();
        let (database, tree) = crate::open::open(&config)?;
        let files = match &config.source {
            Source::Path(path) => Some(FileWatch::start(vec![KnownFile::at(&path.join("db"))?])?),
            Source::Database(_) => None,
        };
        let mut store = Self::over(tree, database, config)?;
        if let Some(inner) = Arc::get_mut(&mut store.0) {
            inner.files = files;
        }
        Ok(store)
    }

    /// A store over a tree, and over what flushes and closes its database.
    pub(crate) fn over(tree: Tree, log: impl Log, config: SledConfig) -> Result<Self> {
        let pending = config.flush_each_change.then(|| Arc::new(Pending::new()));
        let flusher = Flusher::start(log, pending.clone(), config.flush_timeout)?;
        let tree = RwLock::new(Some(Arc::new(flusher.lend(tree))));
        Ok(Self(Arc::new(Inner { tree, config, flusher, pending, round: Round::default(), files: None })))
    }
}

impl fmt::Debug for SledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledStore").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl Driver for SledStore {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        let (record, wait) = self.0.read(Operation::Retrieve, |tree| {
            let found = tree.get(key.as_bytes()).map_err(|cause| from_sled(cause, Operation::Retrieve))?;
            let record = found.map(|frame| read::record(frame, key, Operation::Retrieve)).transpose();
            Ok((record, self.0.flushed(key)))
        })?;
        wait.end(Operation::Retrieve, false).await?;
        let now = self.0.config.clock.now();
        Ok(record?.filter(|record| record.is_live(now)))
    }

    async fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        let (len, limit) = (record.data.len(), self.0.config.max_record_bytes);
        if len as u64 > limit {
            self.0.read(Operation::Store, |_| Ok(()))?;
            return Err(StoreError::too_large(len, limit));
        }
        self.0.change(key, ChangeRequest::Store { record, condition }).await
    }

    async fn remove(&self, key: &Key, condition: Condition) -> Result<Change> {
        self.0.change(key, ChangeRequest::Remove { condition }).await
    }

    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        let inner = &self.0;
        let now = inner.config.clock.now();
        let begin = |_: &Tree| Walk::new(prefix, &from, limit, inner.config.scan);
        let mut walk = inner.read(Operation::Traverse, begin)?;
        while !inner.read(Operation::Traverse, |tree| walk.advance(tree, now, STRETCH))? {
            yield_now().await;
        }
        let wait = inner.read(Operation::Traverse, |_| Ok(inner.all_flushed()))?;
        wait.end(Operation::Traverse, false).await?;
        let page = walk.page();
        if page.next.is_some() {
            yield_now().await;
        }
        Ok(page)
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        Ok(self.0.change(key, ChangeRequest::Touch(touch)).await?.is_applied())
    }

    async fn purge(&self, limit: usize) -> Result<Purged> {
        let inner = &self.0;
        let (now, limit) = (inner.config.clock.now(), limit as u64);
        inner.look(Operation::Purge)?;
        inner.write(Operation::Purge, |_| Ok(()))?;
        if limit == 0 {
            // This call examines nothing; `more` is what earlier calls know.
            return Ok(Purged { removed: 0, more: inner.round.has_more(now) });
        }
        let mut removed = 0;
        let mut looks = inner.config.scan;
        while looks > 0 && removed < limit {
            let stretch = looks.min(STRETCH);
            looks -= stretch;
            // Not flushed: a record that a kill brings back is still expired.
            let purge = |tree: &Tree| inner.round.advance(tree, now, limit - removed, stretch);
            let done = inner.write(Operation::Purge, purge)?;
            removed += done.removed;
            if let Some(more) = done.more {
                return Ok(Purged { removed, more });
            }
            yield_now().await;
        }
        Ok(Purged { removed, more: true })
    }

    async fn flush(&self) -> Result<()> {
        // Also where the last look missed the files: they may be back.
        self.0.look(Operation::Flush)?;
        let wait = self.0.write(Operation::Flush, |_| Ok(self.0.flusher.flush(None)))?;
        wait.end(Operation::Flush, true).await?;
        self.0.look(Operation::Flush)
    }

    async fn close(&self) -> Result<()> {
        self.0.flusher.opener().check(Operation::Close)?;
        self.0.release();
        if let Some(files) = &self.0.files {
            files.stop();
        }
        self.0.flusher.close().end(Operation::Close, true).await?;
        self.0.look(Operation::Close)
    }

    fn capabilities(&self) -> Capabilities {
        let kill = self.0.config.flush_each_change;
        Capabilities::none()
            .conditional(true)
            .survives(if kill { Survives::Kill } else { Survives::Close })
            .rolls_back(RollsBack::PowerLoss)
            .shared(Shared::Process)
            .expiry(ExpiryMode::Caller)
            .max_record_bytes(Some(self.0.config.max_record_bytes))
            .exactly_once(true)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.0.config.clock)
    }
}

impl Inner {
    /// Fails if the files were taken away. sled keeps them open and does not notice.
    fn look(&self, operation: Operation) -> Result<()> {
        self.files.as_ref().map_or(Ok(()), |files| files.look(operation))
    }

    /// Runs `work` on the tree, which stays open meanwhile.
    fn with<T>(&self, operation: Operation, work: impl FnOnce(&Tree) -> Result<T>) -> Result<T> {
        self.flusher.opener().check(operation)?;
        let tree = self.tree.read().unwrap_or_else(PoisonError::into_inner).clone();
        let tree = tree.ok_or_else(|| StoreError::closed(operation))?;
        self.files.as_ref().map_or(Ok(()), |files| files.check(operation))?;
        contain(operation, || work(&tree))
    }

    fn read<T>(&self, operation: Operation, work: impl FnOnce(&Tree) -> Result<T>) -> Result<T> {
        let outcome = self.with(operation, |tree| {
            self.flusher.check_read(operation)?;
            work(tree)
        });
        // sled also writes while it reads, when it consolidates a page. A failure then leaves a hole in its log.
        self.stop_after(&outcome, &[StoreErrorKind::Full]);
        outcome
    }

    fn write<T>(&self, operation: Operation, work: impl FnOnce(&Tree) -> Result<T>) -> Result<T> {
        let outcome = self.with(operation, |tree| {
            self.flusher.check_change(operation)?;
            work(tree)
        });
        self.stop_after(
            &outcome,
            &[StoreErrorKind::Full, StoreErrorKind::Misconfigured, StoreErrorKind::Backend],
        );
        outcome
    }

    fn stop_after<T>(&self, outcome: &Result<T>, kinds: &[StoreErrorKind]) {
        if let Err(error) = outcome
            && kinds.contains(&error.kind())
        {
            self.flusher.failed(error);
        }
    }

    /// Makes a change and waits for the flush that its answer depends on.
    async fn change(&self, key: &Key, request: ChangeRequest) -> Result<Change> {
        let operation = request.operation();
        let (change, wait) = self.change_now(key, &request)?;
        match &request {
            ChangeRequest::Store { record, .. } => self.round.wrote(record.expires),
            ChangeRequest::Touch(touch) => self.round.wrote(touch.deadline),
            ChangeRequest::Remove { .. } => {}
        }
        wait.end(operation, change.is_applied()).await?;
        Ok(change)
    }

    fn change_now(&self, key: &Key, request: &ChangeRequest) -> Result<(Change, Wait)> {
        let (operation, now) = (request.operation(), self.config.clock.now());
        let Some(pending) = &self.pending else {
            let done = self.write(operation, |tree| change::make(tree, key, request, now))?;
            return Ok((done.change, Wait::NONE));
        };
        let slot = pending.slot(key.as_bytes());
        pending.enter(slot);
        // The flush is requested while the tree is held open, so that a concurrent close cannot flush before it.
        let outcome = self.write(operation, |tree| {
            let done = change::make(tree, key, request, now)?;
            if done.wrote {
                return Ok((done.change, self.flusher.flush(Some(slot))));
            }
            pending.leave(slot);
            Ok((done.change, self.flush_if(pending.has(slot))))
        });
        if outcome.as_ref().is_err_and(|error| error.applied() == Applied::No) {
            pending.leave(slot);
        }
        outcome
    }

    /// The flush, if any, that an answer about `key` has to wait for. Called after reading.
    fn flushed(&self, key: &Key) -> Wait {
        self.flush_if(self.pending.as_ref().is_some_and(|pending| pending.has(pending.slot(key.as_bytes()))))
    }

    fn all_flushed(&self) -> Wait {
        self.flush_if(self.pending.as_ref().is_some_and(|pending| pending.has_any()))
    }

    fn flush_if(&self, pending: bool) -> Wait {
        if pending { self.flusher.flush(None) } else { Wait::NONE }
    }

    /// Refuses new operations. Running ones keep the database open until they end.
    fn release(&self) {
        let tree = self.tree.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(tree);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // In a forked child the lock may never be free.
        if self.flusher.opener().is_here() {
            self.release();
        }
    }
}
