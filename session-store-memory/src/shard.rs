//! One shard: two tables of rows, and the queues of their deadlines.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use dashmap::SharedValue;
use hashbrown::raw::RawTable;
use session_core::{Key, Prefix, Record, Timestamp};

use crate::queue::Queue;
use crate::row::{COPIED, Large, NEVER, Row, Small, Text, due};

/// How many records a purge looks at under one lock: up to a hundred microseconds.
pub(crate) const STEP: usize = 64;
/// How many sessions an eviction compares.
const SAMPLE: usize = 16;
/// How many useless tags a shard keeps before it compares their number with that of its records.
const SPARE_TAGS: usize = 1_024;

/// The rows of DashMap's shard.
pub(crate) type Larges = RawTable<Large>;

/// The rest of a shard, beside DashMap's table.
pub(crate) struct Rest {
    smalls: RawTable<Small>,
    /// Of sessions, and of other records. Evictions and traversals need one of them only.
    queues: [Queue; 2],
}

impl Rest {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self { smalls: RawTable::new(), queues: [now.as_millis(); 2].map(Queue::new) }
    }

    pub(crate) fn small(&self, tag: u32, key: &Key) -> Option<&Small> {
        self.smalls.get(spread(tag), |small| small.has_key(key))
    }
}

/// A row that was taken out of its table. Callers free it after the lock.
pub(crate) enum Taken {
    Small(Small),
    Large(Large),
}

impl Deref for Taken {
    type Target = dyn Row;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Small(small) => small,
            Self::Large(large) => large,
        }
    }
}

/// A shard under its locks, for reading or for writing.
pub(crate) struct Shard<'a, L, R> {
    pub(crate) larges: L,
    pub(crate) rest: R,
    pub(crate) due: &'a AtomicU64,
    pub(crate) hasher: &'a RandomState,
}

impl<L: Deref<Target = Larges>, R: Deref<Target: Deref<Target = Rest>>> Shard<'_, L, R> {
    pub(crate) fn len(&self) -> usize {
        self.larges.len() + self.rest.smalls.len()
    }

    /// The queue of sessions, or of all else.
    pub(crate) fn queue(&self, sessions: bool) -> &Queue {
        &self.rest.queues[usize::from(!sessions)]
    }

    /// Passes every row with this tag to `visit`: hardly ever more than one.
    pub(crate) fn each(&self, tag: u32, mut visit: impl FnMut(&dyn Row)) {
        // Says no to every row, so that the tables show all that may have the tag.
        let mut show = |row: &dyn Row| {
            if tag_of_row(self.hasher, row) == tag {
                visit(row);
            }
            false
        };
        self.larges.get(spread(tag), |large| show(large));
        self.rest.smalls.get(spread(tag), |small| show(small));
    }
}

impl<L: DerefMut<Target = Larges>, R: DerefMut<Target: DerefMut<Target = Rest>>> Shard<'_, L, R> {
    pub(crate) fn get_mut(&mut self, tag: u32, key: &Key) -> Option<&mut dyn Row> {
        if let Some(large) = self.larges.get_mut(spread(tag), |large| large.has_key(key)) {
            return Some(large);
        }
        let small = self.rest.smalls.get_mut(spread(tag), |small| small.has_key(key));
        small.map(|small| small as &mut dyn Row)
    }

    /// Puts a record under a key, in the place of the row whose deadline is `was`. Returns the old row, or leaves its
    /// record in `record`.
    pub(crate) fn put(
        &mut self,
        tag: u32,
        key: &Key,
        was: Option<u64>,
        record: &mut Record,
    ) -> Option<Taken> {
        let (hash, hasher, due) = (spread(tag), self.hasher, due(record.expires));
        let rehash = |row: &dyn Row| spread(tag_of_row(hasher, row));
        let is_large = record.data.len() > COPIED;
        let mut old = None;
        if is_large && let Some(row) = self.larges.get_mut(hash, |large| was.is_some() && large.has_key(key))
        {
            std::mem::swap(row.1.get_mut(), record);
        } else {
            old = was.and_then(|_| self.take(tag, |row| row.has_key(key)));
            if is_large {
                let data = std::mem::take(&mut record.data);
                let content = Record::new(data, record.expires, record.revision);
                let row = (Text::from_slice(key.as_bytes()), SharedValue::new(content));
                self.larges.insert(hash, row, |large| rehash(large));
            } else {
                self.rest.smalls.insert(hash, Small::new(key, record), |small| rehash(small));
            }
        }
        self.file(tag, key, was.unwrap_or(u64::MAX), due);
        old
    }

    pub(crate) fn remove(&mut self, tag: u32, key: &Key) -> Option<Taken> {
        let old = self.take(tag, |row| row.has_key(key))?;
        self.rest.queues[kind(key)].forget(old.head().due, tag);
        Some(old)
    }

    /// Files a key's tag again if its deadline moved to an earlier moment.
    #[inline]
    pub(crate) fn file(&mut self, tag: u32, key: &Key, was: u64, due: u64) {
        if due >= was {
            return;
        }
        // Only ever written under the lock of the shard.
        self.due.fetch_min(due, Ordering::Relaxed);
        self.rest.queues[kind(key)].push(due, tag);
        let [sessions, others] = &self.rest.queues;
        if sessions.len() + others.len() > 2 * self.len() + SPARE_TAGS {
            self.rebuild(sessions.last());
        }
    }

    /// Files the tags of all rows again, each once, in queues that begin at `now`. Returns how many.
    fn rebuild(&mut self, now: u64) -> usize {
        let mut tags: Vec<u32> = self.rest.queues.iter().flat_map(Queue::tags).collect();
        tags.sort_unstable();
        tags.dedup();
        let mut queues = [now; 2].map(Queue::new);
        for tag in &tags {
            self.each(*tag, |row| {
                queues[usize::from(!row.is_in(&Prefix::SESSION))].push(row.head().due, *tag)
            });
        }
        self.rest.queues = queues;
        tags.len()
    }

    /// Moves expired rows into `dead`, at most `limit` of them: one step of a purge. Returns how many tags it looked at.
    pub(crate) fn purge(&mut self, now: Timestamp, limit: usize, dead: &mut Vec<Taken>) -> usize {
        let mut visits = 0;
        if self.rest.queues.iter().any(|queue| now.as_millis() < queue.last()) {
            visits += self.rebuild(now.as_millis());
        }
        for kind in [0, 1] {
            while visits < STEP
                && dead.len() < limit
                && let Some(tag) = self.rest.queues[kind].pop_due(now.as_millis())
            {
                visits += 1;
                while dead.len() < limit
                    && let Some(row) = self.take(tag, |row| !row.is_live(now))
                {
                    dead.push(row);
                }
                let mut next = u64::MAX;
                self.each(tag, |row| next = next.min(row.head().due));
                if next <= NEVER {
                    self.rest.queues[kind].push(next, tag);
                }
            }
        }
        let earliest = self.rest.queues.iter().map(Queue::earliest).min();
        self.due.store(earliest.unwrap_or(u64::MAX), Ordering::Relaxed);
        visits
    }

    /// Takes out the session nearest to its deadline of [`SAMPLE`] from all over the queue; `turn` varies the sample.
    /// Never takes one with the tag `spared`; `None` where the shard has no other.
    pub(crate) fn evict(&mut self, spared: Option<u32>, turn: usize) -> Option<Taken> {
        let queue = self.queue(true);
        let nearest = |stride: usize| {
            let mut nearest = (u64::MAX, 0);
            for tag in queue.tags().skip(turn % stride).step_by(stride).filter(|tag| spared != Some(*tag)) {
                self.each(tag, |row| {
                    if row.is_in(&Prefix::SESSION) {
                        nearest = nearest.min((row.head().due, tag));
                    }
                });
            }
            Some(nearest).filter(|(due, _)| *due <= NEVER)
        };
        // The tags of the sample may all be useless.
        let (due, tag) = nearest(queue.len() / SAMPLE + 1).or_else(|| nearest(1))?;
        let hasher = self.hasher;
        self.take(tag, |row| {
            row.head().due == due && row.is_in(&Prefix::SESSION) && tag_of_row(hasher, row) == tag
        })
    }

    /// Takes out a row that may have this tag.
    fn take(&mut self, tag: u32, wanted: impl Fn(&dyn Row) -> bool) -> Option<Taken> {
        if let Some(large) = self.larges.remove_entry(spread(tag), |large| wanted(large)) {
            return Some(Taken::Large(large));
        }
        self.rest.smalls.remove_entry(spread(tag), |small| wanted(small)).map(Taken::Small)
    }
}

pub(crate) fn tag_of(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// The hash under which a shard's table has a tag. The table takes places from the low bits and its filter from the
/// highest seven, so both must depend on all of the tag. Equal tags of different keys do no harm, because keys are compared.
pub(crate) fn spread(tag: u32) -> u64 {
    u64::from(tag).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn tag_of_row(hasher: &RandomState, row: &dyn Row) -> u32 {
    tag_of(hasher.hash_one(row.text()))
}

fn kind(key: &Key) -> usize {
    usize::from(!key.is_in(&Prefix::SESSION))
}
