//! The driver.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use session_core::frame::{self, FrameError};
use session_core::{
    Applied, Capabilities, Change, Clock, Condition, Cursor, Driver, ExpiryMode, Key, Operation, Page,
    Prefix, Purged, Record, Result, Revision, RollsBack, Shared, StoreError, StoreErrorKind, Survives,
    Timestamp, Touch,
};
use sled::{IVec, Tree};

use crate::change::{ChangeRequest, Done, corrupt};
use crate::config::{Durability, Options, SledConfig};
use crate::error::{contain, from_sled};
use crate::flusher::{Flusher, Lent, Log, Wait};
use crate::pause::pause;
use crate::pending::Pending;
use crate::purge::Round;
use crate::traverse::Walk;

/// How many records a traversal or a purge looks at before it gives the worker back: about a tenth of a millisecond.
const STRETCH: usize = 128;

/// A session store in a tree of a sled 0.34 database. Clones are handles on the same store.
///
/// Every record is one frame of `session_core::frame` under its key; a change is a `compare_and_swap` of the whole.
///
/// A database of its own is let go of by [`close`](Driver::close), and is free for another process when that returns;
/// where the last handle is dropped instead, a thread of the store's own does it soon afterwards.
#[derive(Clone)]
pub struct SledStore(Arc<Inner>);

struct Inner {
    /// `None` once it is closed. Whoever works on the tree takes a share out of the lock, for sled may wait for ever and
    /// nobody is to wait for the lock that long.
    tree: RwLock<Option<Arc<Lent<Tree>>>>,
    options: Options,
    flusher: Flusher,
    /// Under [`Durability::Process`] alone.
    pending: Option<Arc<Pending>>,
    round: Round,
}

impl SledStore {
    /// Opens the store. It blocks while sled recovers what an earlier process left.
    ///
    /// # Errors
    /// `Misconfigured` for an option out of range, or a directory that cannot be made, read or written; `Unavailable`
    /// for a database that is open elsewhere; `Corrupt` for one that sled finds damaged; `Full` and `Backend`.
    pub fn open(config: SledConfig) -> Result<Self> {
        let (database, tree) = crate::open::open(&config)?;
        Self::over(tree, database, config.options)
    }

    /// A store over a tree, and what flushes and keeps its database.
    pub(crate) fn over(tree: Tree, log: impl Log, options: Options) -> Result<Self> {
        let pending = (options.durability == Durability::Process).then(|| Arc::new(Pending::new()));
        let flusher = Flusher::start(log, pending.clone(), options.flush_timeout)?;
        let tree = RwLock::new(Some(Arc::new(flusher.lend(tree))));
        Ok(Self(Arc::new(Inner { tree, options, flusher, pending, round: Round::default() })))
    }
}

impl fmt::Debug for SledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledStore").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl Driver for SledStore {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        let (record, wait) = self.0.read(Operation::Retrieve, |tree| {
            let found = tree.get(key.as_bytes()).map_err(|cause| from_sled(cause, Operation::Retrieve))?;
            let record = found.map(|frame| read(frame, key, Operation::Retrieve)).transpose();
            Ok((record, self.0.settled(key)))
        })?;
        wait.end(Operation::Retrieve, false).await?;
        let now = self.0.options.clock.now();
        Ok(record?.filter(|record| record.is_live(now)))
    }

    async fn store(&self, key: &Key, record: Record, when: Condition) -> Result<Change> {
        if record.data.len() as u64 > self.0.options.max_record_bytes {
            self.0.read(Operation::Store, |_| Ok(()))?;
            return Err(StoreError::new(StoreErrorKind::TooLarge, Operation::Store));
        }
        let change = ChangeRequest { key, when, record: Some(&record), now: self.0.options.clock.now() };
        let (answer, wait) = self.0.change(key, Operation::Store, |tree| change.make(tree))?;
        self.0.round.wrote(record.expires);
        wait.end(Operation::Store, answer.is_applied()).await?;
        Ok(answer)
    }

    async fn remove(&self, key: &Key, when: Condition) -> Result<Change> {
        let change = ChangeRequest { key, when, record: None, now: self.0.options.clock.now() };
        let (answer, wait) = self.0.change(key, Operation::Remove, |tree| change.make(tree))?;
        wait.end(Operation::Remove, answer.is_applied()).await?;
        Ok(answer)
    }

    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        let inner = &self.0;
        let now = inner.options.clock.now();
        let begin = |_: &Tree| Walk::new(prefix, &from, limit, inner.options.scan);
        let mut walk = inner.read(Operation::Traverse, begin)?;
        while !inner.read(Operation::Traverse, |tree| walk.go_on(tree, now, STRETCH))? {
            pause().await;
        }
        let wait = inner.read(Operation::Traverse, |_| Ok(inner.settled_everywhere()))?;
        wait.end(Operation::Traverse, false).await?;
        Ok(walk.page())
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        let Touch { from, to, deadline } = touch;
        let now = self.0.options.clock.now();
        let touch = |tree: &Tree| crate::change::touch(tree, key, (from, to), deadline, now);
        let (touched, wait) = self.0.change(key, Operation::Touch, touch)?;
        self.0.round.wrote(deadline);
        wait.end(Operation::Touch, touched).await?;
        Ok(touched)
    }

    async fn purge(&self, limit: usize) -> Result<Purged> {
        let inner = &self.0;
        let (now, limit) = (inner.options.clock.now(), limit as u64);
        inner.write(Operation::Purge, |_| Ok(()))?;
        if limit == 0 {
            // It looks at nothing, so only what earlier calls have seen can tell.
            return Ok(Purged { removed: 0, more: inner.round.has_more(now) });
        }
        let mut removed = 0;
        let mut looks = inner.options.scan;
        while looks > 0 && removed < limit {
            let stretch = looks.min(STRETCH);
            looks -= stretch;
            // What a kill brings back has still expired: nobody waits for a flush here.
            let purge = |tree: &Tree| inner.round.go_on(tree, now, limit - removed, stretch);
            let done = inner.write(Operation::Purge, purge)?;
            removed += done.removed;
            if let Some(more) = done.more {
                return Ok(Purged { removed, more });
            }
            pause().await;
        }
        Ok(Purged { removed, more: true })
    }

    async fn flush(&self) -> Result<()> {
        let wait = self.0.write(Operation::Flush, |_| Ok(self.0.flusher.flush(None)))?;
        wait.end(Operation::Flush, true).await
    }

    async fn close(&self) -> Result<()> {
        self.0.let_go();
        self.0.flusher.close().end(Operation::Close, true).await
    }

    fn capabilities(&self) -> Capabilities {
        let survives = match self.0.options.durability {
            Durability::Relaxed => Survives::Close,
            Durability::Process => Survives::Kill,
        };
        Capabilities::none()
            .conditional(true)
            .survives(survives)
            .rolls_back(RollsBack::PowerLoss)
            .shared(Shared::Process)
            .expiry(ExpiryMode::Caller)
            .max_record_bytes(Some(self.0.options.max_record_bytes))
            .exactly_once(true)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.0.options.clock)
    }
}

impl Inner {
    /// Runs `work` on the tree, which stays open that long.
    fn with<T>(&self, operation: Operation, work: impl FnOnce(&Tree) -> Result<T>) -> Result<T> {
        let tree = self.tree.read().unwrap_or_else(PoisonError::into_inner).clone();
        let tree = tree.ok_or_else(|| StoreError::closed(operation))?;
        contain(operation, || work(&tree))
    }

    fn read<T>(&self, operation: Operation, work: impl FnOnce(&Tree) -> Result<T>) -> Result<T> {
        let outcome = self.with(operation, |tree| {
            self.flusher.admits_reads(operation)?;
            work(tree)
        });
        // Reading writes, too: sled puts together the parts of a page that it finds in many. What it could not write
        // then is missing in its log.
        self.stop_after(&outcome, &[StoreErrorKind::Full]);
        outcome
    }

    fn write<T>(&self, operation: Operation, work: impl FnOnce(&Tree) -> Result<T>) -> Result<T> {
        let outcome = self.with(operation, |tree| {
            self.flusher.admits(operation)?;
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

    /// A change of `key`, and the flush that its answer waits for, whatever the answer is.
    fn change<T>(
        &self,
        key: &Key,
        operation: Operation,
        make: impl FnOnce(&Tree) -> Result<Done<T>>,
    ) -> Result<(T, Wait)> {
        let Some(pending) = &self.pending else {
            return Ok((self.write(operation, make)?.answer, Wait::NONE));
        };
        let slot = pending.slot(key.as_bytes());
        pending.enter(slot);
        // Asking for the flush is part of it, so that a close that comes between cannot be the last one.
        let outcome = self.write(operation, |tree| {
            let done = make(tree)?;
            if done.wrote {
                return Ok((done.answer, self.flusher.flush(Some(slot))));
            }
            pending.leave(slot);
            Ok((done.answer, self.flush_if(pending.at(slot))))
        });
        if outcome.as_ref().is_err_and(|error| error.applied() == Applied::No) {
            pending.leave(slot);
        }
        outcome
    }

    /// To be asked after reading `key`: the flush, if any, that what was read waits for.
    fn settled(&self, key: &Key) -> Wait {
        self.flush_if(self.pending.as_ref().is_some_and(|pending| pending.at(pending.slot(key.as_bytes()))))
    }

    fn settled_everywhere(&self) -> Wait {
        self.flush_if(self.pending.as_ref().is_some_and(|pending| pending.anywhere()))
    }

    fn flush_if(&self, pending: bool) -> Wait {
        if pending { self.flusher.flush(None) } else { Wait::NONE }
    }

    /// From here on nothing begins. What has begun keeps the database open until it has come to its end.
    fn let_go(&self) {
        let tree = self.tree.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(tree);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // sled flushes where the last of its handles is dropped: that is for the thread to do.
        self.let_go();
    }
}

/// Deadline and revision of a frame, without looking at the rest.
pub(crate) fn times(frame: &[u8]) -> Result<(Option<Timestamp>, Revision), FrameError> {
    frame::decode_words(frame.first_chunk().ok_or(FrameError::Short)?)
}

/// The whole record; its data shares sled's own bytes.
pub(crate) fn read(frame: IVec, key: &Key, operation: Operation) -> Result<Record> {
    let record =
        frame::decode_for(&Bytes::from_owner(frame), key).map_err(|cause| corrupt(cause, operation))?;
    record.ok_or_else(|| corrupt(FrameError::Foreign, operation))
}
