//! The driver.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use session_core::{
    Capabilities, Change, Clock, Condition, Cursor, Driver, Entry, EntryDeadline, Key, Operation, Page,
    Prefix, Purged, Record, Result, StoreError, StoreErrorKind, Timestamp, Touch,
};

use crate::config::DelegateConfig;
use crate::error::{Moment, Trouble, from_model, from_trouble};
use crate::mapping::{Fields, Place};
use crate::model::{Flushed, Model};
use crate::unit::{self, ChangeRequest, Step};

/// How often a unit of work is begun again because another writer came between. Each time one of them has got on, so
/// that this many in a row tell of a model that cannot compare.
const TRIES: usize = 1_000;
/// A page holds at most this much.
const LONGEST_PAGE: usize = 256;
/// The first byte of a cursor; the last key seen follows.
const CURSOR_VERSION: u8 = 1;
const UNASKED: &str = "the model listed what it was not asked for";

/// A session store in the objects of a [`Model`]. Clones are handles on the same one.
///
/// It has no state but the model, and no lock: a call that panics or is dropped spoils nothing for others.
pub struct DelegateStore<M>(Arc<Inner<M>>);

struct Inner<M> {
    config: DelegateConfig<M>,
    closed: AtomicBool,
}

impl<M: Model> DelegateStore<M> {
    /// A store in the objects of an asynchronous model. See [`in_place`](Self::in_place) for those that block.
    #[must_use]
    pub fn new(config: DelegateConfig<M>) -> Self {
        Self(Arc::new(Inner { config, closed: AtomicBool::new(false) }))
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &M {
        &self.0.config.model
    }
}

impl<M> Clone for DelegateStore<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> fmt::Debug for DelegateStore<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DelegateStore").field("closed", &self.0.closed).finish_non_exhaustive()
    }
}

impl<M: Model> Driver for DelegateStore<M> {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        let inner = self.0.open_for(Operation::Retrieve)?;
        let look = |delegate: &M::Delegate, fields: &Fields, now| unit::retrieve(delegate, fields, now);
        inner.look(key, Operation::Retrieve, look).await
    }

    async fn store(&self, key: &Key, record: Record, when: Condition) -> Result<Change> {
        let inner = self.0.open_for(Operation::Store)?;
        let bound = inner.config.model.capabilities().max_record_bytes;
        if bound.is_some_and(|bound| record.data.len() as u64 > bound) {
            return Err(StoreError::new(StoreErrorKind::TooLarge, Operation::Store));
        }
        inner.change(key, ChangeRequest::Store(record, when), when, Operation::Store).await
    }

    async fn remove(&self, key: &Key, when: Condition) -> Result<Change> {
        let inner = self.0.open_for(Operation::Remove)?;
        inner.change(key, ChangeRequest::Remove(when), when, Operation::Remove).await
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        let Touch { from, to, deadline } = touch;
        let inner = self.0.open_for(Operation::Touch)?;
        inner.compares(Operation::Touch)?;
        let touch = |delegate: &mut M::Delegate, fields: &Fields, now| {
            unit::touch(delegate, fields, now, from, to, deadline)
        };
        inner.work(key, Operation::Touch, touch).await
    }

    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        let inner = self.0.open_for(Operation::Traverse)?;
        let after = read_cursor(&from, prefix)?;
        inner.page(prefix, after.as_ref(), limit.clamp(1, LONGEST_PAGE)).await
    }

    async fn purge(&self, limit: usize) -> Result<Purged> {
        let inner = self.0.open_for(Operation::Purge)?;
        inner.compares(Operation::Purge)?;
        inner.purge(limit).await
    }

    async fn flush(&self) -> Result<()> {
        self.0.open_for(Operation::Flush)?.sync(Operation::Flush).await
    }

    async fn close(&self) -> Result<()> {
        self.0.closed.store(true, Ordering::Release);
        self.0.sync(Operation::Close).await
    }

    fn capabilities(&self) -> Capabilities {
        self.0.config.model.capabilities()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.0.config.clock)
    }
}

impl<M: Model> Inner<M> {
    fn open_for(&self, operation: Operation) -> Result<&Self> {
        if self.closed.load(Ordering::Acquire) { Err(StoreError::closed(operation)) } else { Ok(self) }
    }

    fn compares(&self, operation: Operation) -> Result<()> {
        if self.config.model.capabilities().conditional {
            Ok(())
        } else {
            Err(StoreError::unsupported(operation))
        }
    }

    fn now(&self) -> Timestamp {
        self.config.clock.now()
    }

    /// The first step of every unit of work.
    async fn take(&self, key: &Key, operation: Operation) -> Result<(Place, M::Delegate)> {
        let place = self.config.mapping.place(key).map_err(|error| error.during(operation))?;
        let delegate = self.config.model.delegate(&place).await;
        let delegate = delegate.map_err(|cause| self.error(cause, operation, Moment::Before))?;
        Ok((place, delegate))
    }

    /// A unit of work that changes nothing.
    async fn look<T>(
        &self,
        key: &Key,
        operation: Operation,
        look: impl Fn(&M::Delegate, &Fields, Timestamp) -> Result<T, Trouble<M::Error>> + Send,
    ) -> Result<T> {
        let (place, delegate) = self.take(key, operation).await?;
        let found = look(&delegate, &place.fields, self.now());
        found.map_err(|trouble| from_trouble(&self.config.model, trouble, operation))
    }

    /// A unit of work that may change something, and new ones for as long as other writers come between.
    async fn work<T: Send>(
        &self,
        key: &Key,
        operation: Operation,
        step: impl Fn(&mut M::Delegate, &Fields, Timestamp) -> Result<Step<T>, Trouble<M::Error>> + Send,
    ) -> Result<T> {
        for _ in 0..TRIES {
            let (place, mut delegate) = self.take(key, operation).await?;
            let next = step(&mut delegate, &place.fields, self.now());
            match next.map_err(|trouble| from_trouble(&self.config.model, trouble, operation))? {
                Step::Done(answer) => return Ok(answer),
                Step::Flush { expected, yes, conflict } => {
                    let flushed = self.config.model.flush(&place, delegate, expected).await;
                    match flushed.map_err(|cause| self.error(cause, operation, Moment::Flush))? {
                        Flushed::Yes => return Ok(yes),
                        Flushed::Conflict => {
                            if let Some(answer) = conflict {
                                return Ok(answer);
                            }
                        }
                    }
                }
            }
        }
        let error = StoreError::new(StoreErrorKind::Unavailable, operation);
        Err(error.with_detail(format!("another writer came between {TRIES} times")))
    }

    async fn change(
        &self,
        key: &Key,
        change: ChangeRequest,
        when: Condition,
        operation: Operation,
    ) -> Result<Change> {
        let conditional = self.config.model.capabilities().conditional;
        if !conditional && when != Condition::Any {
            return Err(StoreError::unsupported(operation));
        }
        let step = |delegate: &mut M::Delegate, fields: &Fields, now| {
            unit::change(delegate, fields, now, conditional, &change)
        };
        self.work(key, operation, step).await
    }

    async fn page(&self, prefix: &Prefix, after: Option<&Key>, limit: usize) -> Result<Page> {
        let listed = self.config.model.list(prefix, after, limit).await;
        let listed = listed.map_err(|cause| self.error(cause, Operation::Traverse, Moment::Before))?;
        let listed = listed.ok_or_else(|| StoreError::unsupported(Operation::Traverse))?;
        let Some(last) = listed.last().map(|entry| entry.key.clone()) else {
            return Ok(Page::last(Vec::new()));
        };
        if after == Some(&last) || listed.iter().any(|entry| !entry.key.is_in(prefix)) {
            let error = StoreError::new(StoreErrorKind::Backend, Operation::Traverse);
            return Err(error.with_detail(UNASKED));
        }
        let now = self.now();
        let mut entries = Vec::with_capacity(listed.len());
        for entry in listed {
            match entry.deadline {
                EntryDeadline::At(deadline) => entries.extend((now < deadline).then_some(entry)),
                EntryDeadline::Never => entries.push(entry),
                EntryDeadline::Unknown => entries.extend(self.looked_up(entry.key).await?),
            }
        }
        let next = Cursor::from_bytes([&[CURSOR_VERSION], last.as_bytes()].concat());
        Ok(Page { entries, next: Some(next) })
    }

    /// The entry of a key of which the model said nothing more, if it is live.
    async fn looked_up(&self, key: Key) -> Result<Option<Entry>> {
        let look = |delegate: &M::Delegate, fields: &Fields, now| unit::live(delegate, fields, now);
        let live = self.look(&key, Operation::Traverse, look).await?;
        Ok(live.map(|live| Entry::new(key).with_deadline(live.expires).with_revision(live.revision)))
    }

    /// Removes one record after the other. One that cannot be removed does not stand in the way of those behind it.
    async fn purge(&self, limit: usize) -> Result<Purged> {
        let mut purged = Purged::default();
        match self.purge_into(&mut purged, limit).await {
            // What was removed is to be told. Whoever asks for more meets the error then.
            Err(error) if purged.removed == 0 => Err(error),
            _ => Ok(purged),
        }
    }

    async fn purge_into(&self, purged: &mut Purged, limit: usize) -> Result<()> {
        let purge = |delegate: &mut M::Delegate, fields: &Fields, now| unit::purge(delegate, fields, now);
        let mut failed = Ok(());
        let mut after = None;
        loop {
            // One more than may be removed tells whether there is more.
            let left = usize::try_from(purged.removed).map_or(0, |removed| limit.saturating_sub(removed));
            let listed = self.config.model.expired(self.now(), after.as_ref(), left.saturating_add(1)).await;
            // An error from here on is no word on the records behind it.
            purged.more = purged.removed > 0;
            let listed = listed.map_err(|cause| self.error(cause, Operation::Purge, Moment::Before))?;
            let listed = listed.ok_or_else(|| StoreError::unsupported(Operation::Purge))?;
            let Some(last) = listed.last().cloned() else { break };
            if after.as_ref() == Some(&last) {
                return Err(StoreError::new(StoreErrorKind::Backend, Operation::Purge).with_detail(UNASKED));
            }
            for key in &listed {
                if purged.removed >= limit as u64 {
                    purged.more = true;
                    return Ok(());
                }
                match self.work(key, Operation::Purge, purge).await {
                    Ok(removed) => purged.removed += u64::from(removed),
                    // This tells of the store and not of the key: the others would only wait for the same.
                    Err(error)
                        if matches!(error.kind(), StoreErrorKind::Unavailable | StoreErrorKind::Timeout) =>
                    {
                        purged.more = true;
                        return Err(error);
                    }
                    Err(error) => failed = failed.and(Err(error)),
                }
            }
            after = Some(last);
        }
        purged.more = false;
        failed
    }

    async fn sync(&self, operation: Operation) -> Result<()> {
        let done = self.config.model.sync().await;
        done.map_err(|cause| self.error(cause, operation, Moment::Flush))
    }

    fn error(&self, cause: M::Error, operation: Operation, moment: Moment) -> StoreError {
        from_model(&self.config.model, cause, operation, moment)
    }
}

/// The key after which a traversal goes on. Cursors come from anywhere, so that nothing is taken for granted.
fn read_cursor(cursor: &Cursor, prefix: &Prefix) -> Result<Option<Key>> {
    if cursor.is_start() {
        return Ok(None);
    }
    let key = match cursor.as_bytes() {
        [CURSOR_VERSION, key @ ..] => std::str::from_utf8(key).ok().and_then(|text| Key::parse(text).ok()),
        _ => None,
    };
    key.filter(|key| key.is_in(prefix))
        .map(Some)
        .ok_or_else(|| StoreError::new(StoreErrorKind::InvalidCursor, Operation::Traverse))
}
