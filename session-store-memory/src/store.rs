//! The driver: what each operation does under which lock.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use session_core::{
    Capabilities, Clock, Condition, Cursor, Decision, Driver, Error, ErrorKind, Expiry, Key, Operation, Page,
    Prefix, Purged, Record, Result, Revision, RollsBack, Shared, Stored, Survives, Timestamp, is_live,
};

use crate::config::{MemoryOptions, WhenFull};
use crate::page;
use crate::pause::Pause;
use crate::row::Row;
use crate::shard::STEP;
use crate::table::{Place, Round, Table};
use crate::usage::{Amount, Held, Usage, amount};

/// A session store in the memory of this process. Clones are handles on the same store.
#[derive(Clone)]
pub struct Memory(Arc<Inner>);

struct Inner {
    table: Table,
    usage: Usage,
    when_full: WhenFull,
    max_value: Option<u64>,
    clock: Arc<dyn Clock>,
    closed: AtomicBool,
    capabilities: Capabilities,
}

impl Memory {
    /// A store without bounds, on the wall clock.
    ///
    /// # Errors
    /// `Unavailable` where the operating system gives no random numbers.
    pub fn new() -> Result<Self> {
        MemoryOptions::new().open()
    }

    pub(crate) fn with(options: MemoryOptions) -> Result<Self> {
        let clock = options.clock_or_system();
        let when_full = options.when_full.unwrap_or_default();
        let largest = options.max_bytes.map(|bytes| bytes.saturating_sub(crate::OVERHEAD));
        let capabilities = Capabilities::none()
            .conditional(true)
            .survives(Survives::Nothing)
            .rolls_back(RollsBack::Never)
            .shared(Shared::Process)
            .expiry(Expiry::Caller)
            .max_value(options.max_value.or(largest))
            .evicts(when_full == WhenFull::Evict)
            .exactly_once(true);
        Ok(Self(Arc::new(Inner {
            table: Table::new(options.shard_count(), clock.now())?,
            usage: Usage::new(options.max_entries, options.max_bytes),
            when_full,
            max_value: options.max_value,
            clock,
            closed: AtomicBool::new(false),
            capabilities,
        })))
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        f.debug_struct("Memory")
            .field("shards", &inner.table.shards())
            .field("usage", &inner.usage)
            .field("when_full", &inner.when_full)
            .field("max_value", &inner.max_value)
            .field("clock", &inner.clock)
            .field("closed", &inner.closed)
            .finish_non_exhaustive()
    }
}

impl Driver for Memory {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        self.0.open_for(Operation::Retrieve)?;
        Ok(self.0.retrieve(key))
    }

    async fn store(&self, key: &Key, record: Record, when: Condition) -> Result<Stored> {
        self.0.open_for(Operation::Store)?;
        self.0.store(key, record, when)
    }

    async fn remove(&self, key: &Key, when: Condition) -> Result<Stored> {
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

    async fn touch(
        &self,
        key: &Key,
        from: Revision,
        to: Revision,
        deadline: Option<Timestamp>,
    ) -> Result<bool> {
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
        if self.closed.load(Ordering::Acquire) { Err(Error::closed(operation)) } else { Ok(()) }
    }

    fn retrieve(&self, key: &Key) -> Option<Record> {
        let place = self.table.place(key);
        let shard = self.table.read(place.shard);
        let (expires, revision, data) = shard.find(place, key)?;
        drop(shard);
        if expires.is_some() && !is_live(expires, self.clock.now()) {
            return None;
        }
        Some(Record { data: data.into_bytes(), expires, revision })
    }

    fn store(&self, key: &Key, record: Record, when: Condition) -> Result<Stored> {
        let now = self.clock.now();
        if !record.is_live(now) {
            return Ok(self.remove(key, when, Some(record.revision)));
        }
        let whole = amount(key.as_bytes().len(), record.data.len());
        if self.max_value.is_some_and(|most| record.data.len() as u64 > most) || !self.usage.could_hold(whole)
        {
            return Err(Error::new(ErrorKind::TooLarge, Operation::Store));
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
                Decision::AlreadyApplied => return Ok(Stored::Yes),
                Decision::Conflict => {
                    return Ok(Stored::Conflict(live.and_then(|_| shard.record(place, key))));
                }
                Decision::Apply => {}
            }
            let before = standing.map(|standing| standing.amount).unwrap_or_default();
            let need = whole.beyond(before);
            if !held.grow_to(need) {
                drop(shard);
                // What was found there may change meanwhile; it is looked at anew.
                self.make_room(&mut held, need, place)?;
                continue;
            }
            let old = shard.put(place, key, standing, row);
            drop(shard);
            held.spend(need);
            self.usage.release(before.beyond(whole));
            drop(old);
            return Ok(Stored::Yes);
        }
    }

    /// Removes; `offered` is the revision of the dead record whose store acts as this removal.
    fn remove(&self, key: &Key, when: Condition, offered: Option<Revision>) -> Stored {
        let now = self.clock.now();
        let place = self.table.place(key);
        let mut shard = self.table.write(place.shard);
        let standing = shard.standing(place, key);
        let live = standing.filter(|standing| is_live(standing.expires, now));
        match when.decide(live.map(|live| live.revision), offered) {
            Decision::AlreadyApplied => return Stored::Yes,
            Decision::Conflict => return Stored::Conflict(live.and_then(|_| shard.record(place, key))),
            Decision::Apply => {}
        }
        let old = standing.and_then(|standing| shard.remove(place, key, standing));
        drop(shard);
        if let Some(old) = old {
            self.usage.release(old.get().amount());
        }
        let answers = live.is_some() || offered.is_some() || when == Condition::Absent;
        if answers { Stored::Yes } else { Stored::Conflict(None) }
    }

    fn touch(&self, key: &Key, from: Revision, to: Revision, deadline: Option<Timestamp>) -> bool {
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
    fn make_room(&self, held: &mut Held<'_>, need: Amount, spare: Place) -> Result<()> {
        while !held.grow_to(need) {
            let mut purge = Purge::new(self, FEW);
            while !purge.batch(BATCH) {}
            if purge.removed > 0 {
                continue;
            }
            if self.when_full != WhenFull::Evict || !self.evict(spare) {
                return Err(Error::new(ErrorKind::Full, Operation::Store));
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

/// A purge under way: shard after shard, at most [`STEP`] records under one lock.
struct Purge<'a> {
    inner: &'a Inner,
    limit: usize,
    removed: usize,
    visits: usize,
    round: Round,
    shard: Option<usize>,
}

impl<'a> Purge<'a> {
    fn new(inner: &'a Inner, limit: usize) -> Self {
        let mut round = inner.table.round();
        let shard = round.next();
        Self { inner, limit, removed: 0, visits: 0, round, shard }
    }

    /// Goes on until about `most` more records were looked at; `true` once it is done.
    fn batch(&mut self, most: usize) -> bool {
        let now = self.inner.clock.now();
        let until = self.visits + most;
        while let Some(shard) = self.shard {
            if self.removed >= self.limit {
                return true;
            }
            if !self.inner.table.may_be_due(shard, now) {
                self.shard = self.round.next();
                continue;
            }
            if self.visits >= until {
                return false;
            }
            let mut dead = Vec::new();
            let limit = self.limit - self.removed;
            self.visits += self.inner.table.write(shard).purge(now, limit, &mut dead);
            self.removed += dead.len();
            // Memory is given back after the lock.
            for row in dead {
                self.inner.usage.release(row.get().amount());
            }
        }
        true
    }

    fn answer(&self) -> Purged {
        let now = self.inner.clock.now();
        let table = &self.inner.table;
        let more =
            self.removed >= self.limit && (0..table.shards()).any(|shard| table.may_be_due(shard, now));
        Purged { removed: self.removed as u64, more }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use session_core::TestClock;

    use super::*;

    const PREFIXES: [&str; 3] = ["session", "user", "flash"];

    fn revision(n: u64) -> Revision {
        Revision::from_bytes(n.to_le_bytes())
    }

    fn next(seed: &mut u64) -> u64 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *seed >> 33
    }

    impl Inner {
        /// What is there, counted anew. Table, queues and counters must agree on it.
        fn recount(&self) -> Amount {
            let mut total = Amount::default();
            for shard in 0..self.table.shards() {
                let reading = self.table.read(shard);
                let mut tags = Vec::new();
                reading.tags(true, |tag| tags.push(tag));
                reading.tags(false, |tag| tags.push(tag));
                assert_eq!(tags.len(), reading.len());
                tags.sort_unstable();
                tags.dedup();
                for tag in tags {
                    reading.each(tag, |found| {
                        assert!(reading.is_filed(tag, found));
                        total.entries += 1;
                        total.bytes += found.amount().bytes;
                    });
                }
                assert!(reading.due_is_a_lower_bound());
            }
            total
        }
    }

    /// Ten thousand random operations against a map in plain sight.
    #[test]
    fn it_answers_as_a_plain_map_would_and_counters_never_drift() {
        for (seed, bytes) in [(1, None), (2, Some(64_000)), (3, Some(9_000))] {
            let clock = TestClock::new(Timestamp::from_millis(1_000_000));
            let mut options = MemoryOptions::new().max_entries(300).shards(2).clock(Arc::new(clock.clone()));
            if let Some(bytes) = bytes {
                options = options.max_bytes(bytes);
            }
            let store = options.open().unwrap().0;
            let mut model: HashMap<Key, Record> = HashMap::new();
            let mut seed: u64 = seed;
            let mut refused = 0;
            for step in 0..10_000 {
                let now = clock.now();
                let pick = next(&mut seed);
                let key =
                    Key::parse(&format!("{}:{:0>40}", PREFIXES[pick as usize % 3], pick % 457)).unwrap();
                let live = model.get(&key).filter(|record| record.is_live(now)).cloned();
                let known = live.as_ref().map_or(revision(0), |record| record.revision);
                let when = match next(&mut seed) % 4 {
                    0 => Condition::Any,
                    1 => Condition::Absent,
                    _ => Condition::Revision(known),
                };
                let deadline = match next(&mut seed) % 5 {
                    0 => None,
                    1 => Some(now),
                    _ => Some(now.saturating_add(Duration::from_millis(next(&mut seed) % 100_000))),
                };
                let conflict = Stored::Conflict(live.clone());
                match next(&mut seed) % 10 {
                    0..=4 => {
                        let data =
                            vec![step as u8; next(&mut seed) as usize % [300, 700][step as usize / 64 % 2]];
                        let record = Record::new(data, deadline, revision(step + 1));
                        let holds = when.decide(live.map(|record| record.revision), Some(record.revision))
                            == Decision::Apply;
                        match store.store(&key, record.clone(), when) {
                            Ok(answer) if holds => {
                                assert_eq!(answer, Stored::Yes);
                                model.insert(key, record);
                            }
                            Ok(answer) => assert_eq!(answer, conflict),
                            Err(error) => {
                                assert!(holds);
                                assert_eq!(error.kind(), ErrorKind::Full);
                                refused += 1;
                            }
                        }
                    }
                    5..=6 => {
                        let answer = store.remove(&key, when, None);
                        let holds = when.decide(live.as_ref().map(|record| record.revision), None);
                        match (holds, live) {
                            (Decision::Apply, Some(_)) => {
                                assert_eq!(answer, Stored::Yes);
                                model.remove(&key);
                            }
                            (Decision::Apply, None) if when == Condition::Absent => {
                                assert_eq!(answer, Stored::Yes)
                            }
                            _ => assert_eq!(answer, conflict),
                        }
                    }
                    7 => {
                        let moved = store.touch(&key, known, revision(step + 1), deadline);
                        assert_eq!(moved, live.is_some());
                        if let Some(record) = live {
                            model.insert(
                                key,
                                Record { expires: deadline, revision: revision(step + 1), ..record },
                            );
                        }
                    }
                    8 if step % 7 == 0 => {
                        clock.set(now.saturating_sub(Duration::from_millis(pick % 9_000)));
                        // What had expired lives again, unless it was removed meanwhile.
                        model.retain(|key, record| record.is_live(now) || store.retrieve(key).is_some());
                    }
                    8 => clock.advance(Duration::from_millis(pick % 900)),
                    _ => {
                        let mut purge = Purge::new(&store, 5);
                        while !purge.batch(1) {}
                        assert!(purge.answer().removed <= 5);
                    }
                }
                if step % 500 == 0 {
                    for (key, record) in &model {
                        let expected = record.is_live(now).then(|| record.clone());
                        assert_eq!(store.retrieve(key), expected);
                    }
                    assert_eq!(store.recount(), store.usage.used());
                    assert!(store.usage.used().entries <= 300);
                    assert!(bytes.is_none_or(|most| store.usage.used().bytes <= most));
                }
            }
            assert_eq!(store.recount(), store.usage.used());
            assert!(bytes.is_none() || refused > 0);
        }
    }

    #[test]
    fn a_purge_looks_at_what_it_removes_and_not_at_the_rest() {
        let clock = TestClock::new(Timestamp::from_millis(1_000_000));
        let store = MemoryOptions::new().clock(Arc::new(clock.clone())).open().unwrap().0;
        let stored = |n: u64, after: u64| {
            let key = Key::parse(&format!("session:{n}")).unwrap();
            let deadline = clock.now().saturating_add(Duration::from_secs(after));
            let record = Record::new("", Some(deadline), revision(n));
            assert!(store.store(&key, record, Condition::Any).unwrap().is_yes());
        };
        (0..50_000).for_each(|n| stored(n, 7_200 + n % 7));
        let visits = |limit: usize| {
            let mut purge = Purge::new(&store, limit);
            while !purge.batch(100) {}
            (purge.visits, purge.answer())
        };
        assert_eq!(visits(1_000), (0, Purged::default()));
        (50_000..50_500).for_each(|n| stored(n, 60 + n % 10));
        clock.advance(Duration::from_secs(100));
        let (visited, purged) = visits(400);
        assert_eq!(purged, Purged { removed: 400, more: true });
        assert!(visited <= 12 * 400, "{visited}");
        let (visited, purged) = visits(400);
        assert_eq!(purged, Purged { removed: 100, more: false });
        assert!(visited <= 12 * 100, "{visited}");
        assert_eq!(visits(400), (0, Purged::default()));
        assert_eq!(store.recount().entries, 50_000);
    }

    #[test]
    fn sessions_that_are_used_are_looked_at_once_a_lifetime_and_survive() {
        let clock = TestClock::new(Timestamp::from_millis(1_000_000));
        let store = MemoryOptions::new().clock(Arc::new(clock.clone())).open().unwrap().0;
        let keys: Vec<Key> = (0..1_000).map(|n| Key::parse(&format!("session:{n}")).unwrap()).collect();
        let idle = Duration::from_secs(1_000);
        for key in &keys {
            let record = Record::new("", Some(clock.now().saturating_add(idle)), revision(0));
            assert!(store.store(key, record, Condition::Any).unwrap().is_yes());
        }
        let mut visits = 0;
        for round in 0..100 {
            clock.advance(Duration::from_secs(100));
            for key in &keys {
                assert!(store.touch(
                    key,
                    revision(round),
                    revision(round + 1),
                    Some(clock.now().saturating_add(idle))
                ));
            }
            let mut purge = Purge::new(&store, 100);
            while !purge.batch(100) {}
            assert_eq!(purge.answer(), Purged::default());
            visits += purge.visits;
        }
        // Ten lifetimes; a few levels of the queue in each.
        assert!(visits <= 10 * 10 * keys.len(), "{visits}");
        store.recount();
    }
}
