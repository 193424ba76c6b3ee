//! The driver: what each operation does under which lock.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use session_core::{
    Capabilities, Change, Clock, Condition, Cursor, Driver, ExpiryMode, Key, OldDecision, Operation, Page,
    Prefix, Purged, Record, Result, Revision, RollsBack, Shared, StoreError, StoreErrorKind, Survives,
    Timestamp, Touch, is_live,
};

use crate::config::{MemoryConfig, OnFull};
use crate::page;
use crate::pause::Pause;
use crate::purge::Purge;
use crate::row::Row;
use crate::shard::STEP;
use crate::table::{Place, Table};
use crate::usage::{Amount, Held, Usage, amount};

/// A session store in the memory of this process. Clones are handles on the same store.
#[derive(Clone)]
pub struct MemoryStore(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) table: Table,
    pub(crate) usage: Usage,
    on_full: OnFull,
    max_record_bytes: Option<u64>,
    pub(crate) clock: Arc<dyn Clock>,
    closed: AtomicBool,
    capabilities: Capabilities,
}

impl MemoryStore {
    /// A store without bounds, on the wall clock.
    ///
    /// # Errors
    /// `Unavailable` where the operating system gives no random numbers.
    pub fn new() -> Result<Self> {
        Self::open(MemoryConfig::new())
    }

    /// A store with options.
    ///
    /// # Errors
    /// `Misconfigured` for options that cannot be kept, with what would be right; `Unavailable` where the operating
    /// system gives no random numbers.
    pub fn open(options: MemoryConfig) -> Result<Self> {
        options.check()?;
        let clock = options.clock_or_system();
        let on_full = options.on_full.unwrap_or_default();
        let largest = options.max_bytes.map(|bytes| bytes.saturating_sub(crate::OVERHEAD));
        let capabilities = Capabilities::none()
            .conditional(true)
            .survives(Survives::Nothing)
            .rolls_back(RollsBack::Never)
            .shared(Shared::Process)
            .expiry(ExpiryMode::Caller)
            .max_record_bytes(options.max_record_bytes.or(largest))
            .evicts(on_full == OnFull::Evict)
            .exactly_once(true);
        Ok(Self(Arc::new(Inner {
            table: Table::new(options.shard_count(), clock.now())?,
            usage: Usage::new(options.max_entries, options.max_bytes),
            on_full,
            max_record_bytes: options.max_record_bytes,
            clock,
            closed: AtomicBool::new(false),
            capabilities,
        })))
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        f.debug_struct("MemoryStore")
            .field("shards", &inner.table.shards())
            .field("usage", &inner.usage)
            .field("on_full", &inner.on_full)
            .field("max_record_bytes", &inner.max_record_bytes)
            .field("clock", &inner.clock)
            .field("closed", &inner.closed)
            .finish_non_exhaustive()
    }
}

impl Driver for MemoryStore {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        self.0.open_for(Operation::Retrieve)?;
        Ok(self.0.retrieve(key))
    }

    async fn store(&self, key: &Key, record: Record, when: Condition) -> Result<Change> {
        self.0.open_for(Operation::Store)?;
        self.0.store(key, record, when)
    }

    async fn remove(&self, key: &Key, when: Condition) -> Result<Change> {
        self.0.open_for(Operation::Remove)?;
        Ok(self.0.remove(key, when, None))
    }

    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        self.0.open_for(Operation::Traverse)?;
        let page = page::page(&self.0.table, prefix, &from, limit, self.0.clock.now())?;
        if page.next.is_some() {
            Pause::default().await;
        }
        Ok(page)
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        let Touch { from, to, deadline } = touch;
        self.0.open_for(Operation::Touch)?;
        Ok(self.0.touch(key, from, to, deadline))
    }

    async fn purge(&self, limit: usize) -> Result<Purged> {
        self.0.open_for(Operation::Purge)?;
        let mut purge = Purge::new(&self.0, limit);
        while !purge.batch(BATCH) {
            Pause::default().await;
            self.0.open_for(Operation::Purge)?;
        }
        Ok(purge.answer())
    }

    async fn flush(&self) -> Result<()> {
        self.0.open_for(Operation::Flush)
    }

    async fn close(&self) -> Result<()> {
        self.0.closed.store(true, Ordering::Release);
        Ok(())
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities.clone()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.0.clock)
    }
}

/// How many records a purge looks at before it lets other tasks run.
const BATCH: usize = 8 * STEP;

impl Inner {
    fn open_for(&self, operation: Operation) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(StoreError::closed(operation)) } else { Ok(()) }
    }

    pub(crate) fn retrieve(&self, key: &Key) -> Option<Record> {
        let place = self.table.place(key);
        let shard = self.table.read(place.shard);
        let (expires, revision, data) = shard.find(place, key)?;
        drop(shard);
        if expires.is_some() && !is_live(expires, self.clock.now()) {
            return None;
        }
        Some(Record { data: data.into_bytes(), expires, revision })
    }

    pub(crate) fn store(&self, key: &Key, record: Record, when: Condition) -> Result<Change> {
        let now = self.clock.now();
        if !record.is_live(now) {
            return Ok(self.remove(key, when, Some(record.revision)));
        }
        let whole = amount(key.as_bytes().len(), record.data.len());
        if self.max_record_bytes.is_some_and(|most| record.data.len() as u64 > most)
            || !self.usage.could_hold(whole)
        {
            return Err(StoreError::new(StoreErrorKind::TooLarge, Operation::Store));
        }
        // Made before the lock is taken: a conflict, which wastes this, is rare.
        let offered = record.revision;
        let row = Row::new(key, record);
        let place = self.table.place(key);
        let mut held = Held::nothing(&self.usage);
        loop {
            let mut shard = self.table.write(place.shard);
            let standing = shard.standing(place, key);
            let live = standing.filter(|standing| is_live(standing.expires, now));
            match when.decide(live.map(|live| live.revision), Some(offered)) {
                OldDecision::AlreadyApplied => return Ok(Change::Applied),
                OldDecision::Conflict => {
                    return Ok(Change::Conflict(live.and_then(|_| shard.record(place, key))));
                }
                OldDecision::Apply => {}
            }
            let before = standing.map(|standing| standing.amount).unwrap_or_default();
            let need = whole.beyond(before);
            if !held.grow_to(need) {
                drop(shard);
                // What was found there may change meanwhile; it is looked at anew.
                self.free_space(&mut held, need, place)?;
                continue;
            }
            let old = shard.put(place, key, standing, row);
            drop(shard);
            held.spend(need);
            self.usage.release(before.beyond(whole));
            drop(old);
            return Ok(Change::Applied);
        }
    }

    /// Removes; `offered` is the revision of the dead record whose store acts as this removal.
    pub(crate) fn remove(&self, key: &Key, when: Condition, offered: Option<Revision>) -> Change {
        let now = self.clock.now();
        let place = self.table.place(key);
        let mut shard = self.table.write(place.shard);
        let standing = shard.standing(place, key);
        let live = standing.filter(|standing| is_live(standing.expires, now));
        match when.decide(live.map(|live| live.revision), offered) {
            OldDecision::AlreadyApplied => return Change::Applied,
            OldDecision::Conflict => return Change::Conflict(live.and_then(|_| shard.record(place, key))),
            OldDecision::Apply => {}
        }
        let old = standing.and_then(|standing| shard.remove(place, key, standing));
        drop(shard);
        if let Some(old) = old {
            self.usage.release(old.get().amount());
        }
        let answers = live.is_some() || offered.is_some() || when == Condition::Absent;
        if answers { Change::Applied } else { Change::Conflict(None) }
    }

    pub(crate) fn touch(&self, key: &Key, from: Revision, to: Revision, deadline: Option<Timestamp>) -> bool {
        let now = self.clock.now();
        let place = self.table.place(key);
        let mut shard = self.table.write(place.shard);
        let standing = shard.standing(place, key).filter(|standing| is_live(standing.expires, now));
        match standing {
            Some(standing) if standing.revision == to => true,
            Some(standing) if standing.revision == from => {
                shard.touch(place, key, standing, deadline, to);
                true
            }
            _ => false,
        }
    }

    /// Takes what is missing to `need`, at the cost of expired records, then, if the store evicts, of live sessions.
    /// No lock is held meanwhile, and what was taken stays taken, so that others cannot starve this call.
    fn free_space(&self, held: &mut Held<'_>, need: Amount, spare: Place) -> Result<()> {
        while !held.grow_to(need) {
            let mut purge = Purge::new(self, FEW);
            while !purge.batch(BATCH) {}
            if purge.removed > 0 {
                continue;
            }
            if self.on_full != OnFull::Evict || !self.evict(spare) {
                return Err(StoreError::new(StoreErrorKind::Full, Operation::Store));
            }
        }
        Ok(())
    }

    fn evict(&self, spare: Place) -> bool {
        self.table.round().any(|shard| {
            let tag = (shard == spare.shard).then_some(spare.tag);
            let evicted = self.table.write(shard).evict(tag, self.table.draw());
            evicted.is_some_and(|row| {
                self.usage.release(row.get().amount());
                true
            })
        })
    }
}

/// How many expired records a store call that found no room removes at a time.
const FEW: usize = 8;
