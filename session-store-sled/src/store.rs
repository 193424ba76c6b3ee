//! The driver.

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use session_core::frame::{self, FrameError, HEADER_LEN, WORDS_AT, WORDS_LEN};
use session_core::{
    Capabilities, Clock, Condition, Cursor, Decision, Driver, Entry, Error, ErrorKind, Expiry, Key,
    Operation, Page, Prefix, Purged, Record, Result, Revision, RollsBack, Shared, Stored, Survives,
    Timestamp, is_live,
};
use sled::{IVec, Tree};

use crate::config::{Config, Durability};
use crate::error::from_sled;
use crate::flusher::Flusher;
use crate::purge::Progress;

/// A session store in a tree of a sled 0.34 database. Clones are handles on the same store.
///
/// Every record is one frame of `session_core::frame` under its key; a change is a `compare_and_swap` of the whole.
#[derive(Clone)]
pub struct Sled(Arc<Inner>);

struct Inner {
    tree: Tree,
    config: Config,
    flusher: Flusher,
    progress: Progress,
    closed: AtomicBool,
}

impl Sled {
    /// Opens the store. It blocks while sled recovers what an earlier process left.
    ///
    /// # Errors
    /// `Misconfigured` for an option out of range, a directory that cannot be made or written, or a database that
    /// another process has open; `Corrupt` and `Backend` as sled finds them.
    pub fn open(config: Config) -> Result<Self> {
        let (database, tree) = crate::open::open(&config)?;
        let flusher = Flusher::start(database)?;
        let progress = Progress::default();
        Ok(Self(Arc::new(Inner { tree, config, flusher, progress, closed: AtomicBool::new(false) })))
    }
}

impl fmt::Debug for Sled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sled")
            .field("tree", &self.0.config.tree)
            .field("durability", &self.0.config.durability)
            .field("closed", &self.0.closed)
            .finish_non_exhaustive()
    }
}

impl Driver for Sled {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        let inner = self.0.open_for(Operation::Retrieve)?;
        let found = inner.tree.get(key.as_bytes()).map_err(|cause| from_sled(cause, Operation::Retrieve))?;
        let Some(frame) = found else { return Ok(None) };
        let record = read(frame, key, Operation::Retrieve)?;
        Ok(record.is_live(inner.config.clock.now()).then_some(record))
    }

    async fn store(&self, key: &Key, record: Record, when: Condition) -> Result<Stored> {
        let inner = self.0.open_for(Operation::Store)?;
        if record.data.len() as u64 > inner.config.max_value {
            return Err(Error::new(ErrorKind::TooLarge, Operation::Store));
        }
        let now = inner.config.clock.now();
        let frame = record.is_live(now).then(|| IVec::from(frame::encode(key, &record)));
        let answer = inner.change(key, when, Some(record.revision), frame, now, Operation::Store)?;
        if answer.is_yes() {
            inner.settle(Operation::Store).await?;
        }
        Ok(answer)
    }

    async fn remove(&self, key: &Key, when: Condition) -> Result<Stored> {
        let inner = self.0.open_for(Operation::Remove)?;
        let now = inner.config.clock.now();
        let answer = inner.change(key, when, None, None, now, Operation::Remove)?;
        if answer.is_yes() {
            inner.settle(Operation::Remove).await?;
        }
        Ok(answer)
    }

    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        self.0.open_for(Operation::Traverse)?.page(prefix, &from, limit)
    }

    async fn touch(
        &self,
        key: &Key,
        from: Revision,
        to: Revision,
        deadline: Option<Timestamp>,
    ) -> Result<bool> {
        let inner = self.0.open_for(Operation::Touch)?;
        let touched = inner.touch(key, from, to, deadline)?;
        if touched {
            inner.settle(Operation::Touch).await?;
        }
        Ok(touched)
    }

    async fn purge(&self, limit: usize) -> Result<Purged> {
        let inner = self.0.open_for(Operation::Purge)?;
        inner.progress.purge(&inner.tree, inner.config.clock.now(), limit, inner.config.scan)
    }

    async fn flush(&self) -> Result<()> {
        self.0.open_for(Operation::Flush)?.flusher.flush(Operation::Flush).await
    }

    async fn close(&self) -> Result<()> {
        self.0.closed.store(true, Ordering::Release);
        self.0.flusher.flush(Operation::Close).await
    }

    fn capabilities(&self) -> Capabilities {
        let survives = match self.0.config.durability {
            Durability::Relaxed => Survives::Close,
            Durability::Process => Survives::Kill,
        };
        Capabilities::none()
            .conditional(true)
            .survives(survives)
            .rolls_back(RollsBack::PowerLoss)
            .shared(Shared::Process)
            .expiry(Expiry::Caller)
            .max_value(Some(self.0.config.max_value))
            .exactly_once(true)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.0.config.clock)
    }
}

impl Inner {
    fn open_for(&self, operation: Operation) -> Result<&Self> {
        if self.closed.load(Ordering::Acquire) { Err(Error::closed(operation)) } else { Ok(self) }
    }

    /// Puts `frame` in the place of what is there, or removes it, if `when` holds.
    fn change(
        &self,
        key: &Key,
        when: Condition,
        offered: Option<Revision>,
        frame: Option<IVec>,
        now: Timestamp,
        operation: Operation,
    ) -> Result<Stored> {
        let mut there = self.tree.get(key.as_bytes()).map_err(|cause| from_sled(cause, operation))?;
        loop {
            let live = match &there {
                None => None,
                // What is damaged may be replaced and removed, but nothing can be compared with it.
                Some(_) if when == Condition::Any => there.as_ref().and_then(|frame| times(frame).ok()),
                Some(frame) => Some(times(frame).map_err(|cause| corrupt(cause, operation))?),
            };
            let live = live.filter(|(expires, _)| is_live(*expires, now));
            match when.decide(live.map(|(_, revision)| revision), offered) {
                Decision::AlreadyApplied => return Ok(Stored::Yes),
                Decision::Conflict => {
                    let record = match (&there, live) {
                        (Some(frame), Some(_)) => Some(read(frame.clone(), key, operation)?),
                        _ => None,
                    };
                    return Ok(Stored::Conflict(record));
                }
                Decision::Apply => {}
            }
            let swapped = self.tree.compare_and_swap(key.as_bytes(), there.as_ref(), frame.clone());
            match swapped.map_err(|cause| from_sled(cause, operation))? {
                // A removal says whether there was anything to remove.
                Ok(()) if offered.is_none() && live.is_none() && when != Condition::Absent => {
                    return Ok(Stored::Conflict(None));
                }
                Ok(()) => return Ok(Stored::Yes),
                Err(lost) => there = lost.current,
            }
        }
    }

    fn touch(&self, key: &Key, from: Revision, to: Revision, deadline: Option<Timestamp>) -> Result<bool> {
        let now = self.config.clock.now();
        let fail = |cause| from_sled(cause, Operation::Touch);
        let mut there = self.tree.get(key.as_bytes()).map_err(fail)?;
        loop {
            let Some(frame) = &there else { return Ok(false) };
            let (expires, revision) = times(frame).map_err(|cause| corrupt(cause, Operation::Touch))?;
            if !is_live(expires, now) || (revision != from && revision != to) {
                return Ok(false);
            }
            if revision == to {
                return Ok(true);
            }
            let touched = rewrite(frame, deadline, to)?;
            match self.tree.compare_and_swap(key.as_bytes(), Some(frame), Some(touched)).map_err(fail)? {
                Ok(()) => return Ok(true),
                Err(lost) => there = lost.current,
            }
        }
    }

    fn page(&self, prefix: &Prefix, from: &Cursor, limit: usize) -> Result<Page> {
        let now = self.config.clock.now();
        let first = format!("{prefix}:");
        // Every key of the prefix is after `prefix:` and before `prefix;`.
        let end = format!("{prefix};");
        let start = if from.is_start() { first.as_bytes() } else { from.as_bytes() };
        if !start.starts_with(first.as_bytes()) {
            return Err(Error::new(ErrorKind::InvalidCursor, Operation::Traverse));
        }
        let mut entries = Vec::new();
        let mut last = None;
        let range = (Bound::Excluded(start), Bound::Excluded(end.as_bytes()));
        for (seen, item) in self.tree.range::<&[u8], _>(range).enumerate() {
            if entries.len() >= limit.max(1) || seen == self.config.scan {
                let next = last.map(|key: IVec| Cursor::from_bytes(Bytes::copy_from_slice(&key)));
                return Ok(Page { entries, next });
            }
            let (bytes, frame) = item.map_err(|cause| from_sled(cause, Operation::Traverse))?;
            let key = std::str::from_utf8(&bytes).ok().and_then(|text| Key::parse(text).ok());
            // A damaged record, or what a stranger put into the tree, ends nobody's traversal.
            if let (Some(key), Ok((expires, revision))) = (key, times(&frame))
                && is_live(expires, now)
            {
                let size = frame.len().saturating_sub(HEADER_LEN + key.as_bytes().len());
                entries.push(
                    Entry::new(key).with_expires(expires).with_revision(revision).with_size(size as u64),
                );
            }
            last = Some(bytes);
        }
        Ok(Page::last(entries))
    }

    /// Waits until a change that was made may be acknowledged.
    async fn settle(&self, operation: Operation) -> Result<()> {
        match self.config.durability {
            Durability::Relaxed => Ok(()),
            Durability::Process => self.flusher.flush(operation).await,
        }
    }
}

/// Deadline and revision of a frame, without looking at the rest.
pub(crate) fn times(frame: &[u8]) -> Result<(Option<Timestamp>, Revision), FrameError> {
    frame::decode_words(frame.first_chunk().ok_or(FrameError::Short)?)
}

/// The whole record; its data shares sled's own bytes.
fn read(frame: IVec, key: &Key, operation: Operation) -> Result<Record> {
    let frame = frame::decode(&Bytes::from_owner(frame)).map_err(|cause| corrupt(cause, operation))?;
    if frame.key == *key { Ok(frame.record) } else { Err(corrupt(FrameError::Foreign, operation)) }
}

/// The same frame with another deadline and revision.
fn rewrite(frame: &IVec, deadline: Option<Timestamp>, revision: Revision) -> Result<IVec> {
    let short = || corrupt(FrameError::Short, Operation::Touch);
    let mut touched = frame.to_vec();
    let check = *touched.get(16..24).and_then(<[u8]>::first_chunk).ok_or_else(short)?;
    let words = touched.get_mut(WORDS_AT..WORDS_AT + WORDS_LEN).ok_or_else(short)?;
    words.copy_from_slice(&frame::encode_words(check, deadline, revision));
    Ok(touched.into())
}

fn corrupt(cause: FrameError, operation: Operation) -> Error {
    Error::new(ErrorKind::Corrupt, operation).with_source(cause)
}
