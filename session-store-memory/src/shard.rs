//! One shard: two tables of rows, and the queues of their deadlines.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use bytes::Bytes;
use dashmap::SharedValue;
use hashbrown::raw::RawTable;
use session_core::{Key, Prefix, Record, Timestamp};

use crate::queue::Queue;
use crate::row::{Form, Large, Row, Small, due};

/// How many records a purge looks at under one lock: up to a hundred microseconds.
pub(crate) const STEP: usize = 64;
/// How many sessions an eviction compares.
const SAMPLE: usize = 16;
/// How many useless tags a shard keeps before it compares their number with that of its records.
const SPARE_TAGS: usize = 1_024;

/// The rows of DashMap's shard.
pub(crate) type Larges = RawTable<(Large, SharedValue<()>)>;

/// The rest of a shard, beside DashMap's table.
pub(crate) struct Rest {
    smalls: RawTable<Small>,
    /// Of sessions, and of other records. Evictions and traversals need one of them only.
    queues: [Queue; 2],
}

impl Rest {
    pub(crate) fn new(now: Timestamp) -> Self {
        let queue = || Queue::new(now.as_millis());
        Self { smalls: RawTable::new(), queues: [queue(), queue()] }
    }

    pub(crate) fn small(&self, tag: u32, key: &Key) -> Option<&Small> {
        self.smalls.get(spread(tag), |small| small.has_key(key))
    }
}

/// A shard under its locks, for reading or for writing.
pub(crate) struct Shard<'a, L, R> {
    pub(crate) larges: L,
    pub(crate) rest: R,
    pub(crate) due: &'a AtomicU64,
    pub(crate) hasher: &'a RandomState,
}

impl<L: Deref<Target = Larges>, R: Deref<Target = Rest>> Shard<'_, L, R> {
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.larges.len() + self.rest.smalls.len()
    }

    /// The queue of sessions, or of all else.
    pub(crate) fn queue(&self, sessions: bool) -> &Queue {
        &self.rest.queues[kind(sessions)]
    }

    /// Passes every row with this tag to `visit`: hardly ever more than one.
    pub(crate) fn each(&self, tag: u32, visit: impl FnMut(&dyn Row)) {
        each(&self.larges, &self.rest.smalls, self.hasher, tag, visit);
    }
}

impl<L: DerefMut<Target = Larges>, R: DerefMut<Target = Rest>> Shard<'_, L, R> {
    pub(crate) fn get_mut(&mut self, tag: u32, key: &Key) -> Option<&mut dyn Row> {
        if let Some((large, _)) = self.larges.get_mut(spread(tag), |(large, _)| large.has_key(key)) {
            return Some(large);
        }
        let small = self.rest.smalls.get_mut(spread(tag), |small| small.has_key(key));
        small.map(|small| small as &mut dyn Row)
    }

    /// Puts a record under a key, in the place of the row whose deadline is `was`. Returns the old memory, to be freed
    /// after the lock.
    pub(crate) fn put(
        &mut self,
        tag: u32,
        key: &Key,
        was: Option<u64>,
        record: Record,
    ) -> (Option<Form>, Bytes) {
        let deadline = record.expires;
        let old = match (was, Form::new(key, record)) {
            (Some(_), Form::Large(new)) => {
                if let Some((large, _)) = self.larges.get_mut(spread(tag), |(large, _)| large.has_key(key)) {
                    (None, large.replace(new))
                } else {
                    let old = self.take(tag, key);
                    self.insert(tag, Form::Large(new));
                    (old, Bytes::new())
                }
            }
            (_, form) => {
                let old = if was.is_some() { self.take(tag, key) } else { None };
                self.insert(tag, form);
                (old, Bytes::new())
            }
        };
        self.refile(tag, key, was.unwrap_or(u64::MAX), deadline);
        old
    }

    pub(crate) fn remove(&mut self, tag: u32, key: &Key, was: u64) -> Option<Form> {
        self.rest.queues[kind(key.is_in(&Prefix::SESSION))].forget(was, tag);
        self.take(tag, key)
    }

    /// Files a key's tag again if its deadline moved to an earlier moment.
    pub(crate) fn refile(&mut self, tag: u32, key: &Key, was: u64, deadline: Option<Timestamp>) {
        let due = due(deadline);
        if due >= was {
            return;
        }
        // Only ever written under the lock of the shard.
        self.due.fetch_min(due, Ordering::Relaxed);
        let rest = &mut *self.rest;
        rest.queues[kind(key.is_in(&Prefix::SESSION))].push(due, tag);
        let [sessions, others] = &rest.queues;
        if sessions.len() + others.len() > 2 * (self.larges.len() + rest.smalls.len()) + SPARE_TAGS {
            let last = sessions.last();
            rebuild(&mut rest.queues, &self.larges, &rest.smalls, self.hasher, last);
        }
    }

    /// Moves expired rows into `dead`, at most `limit` of them: one step of a purge. Returns how many tags it looked at.
    pub(crate) fn purge(&mut self, now: Timestamp, limit: usize, dead: &mut Vec<Form>) -> usize {
        let (larges, Rest { smalls, queues }) = (&mut *self.larges, &mut *self.rest);
        let mut visits = 0;
        if queues.iter().any(|queue| queue.is_behind(now.as_millis())) {
            visits += rebuild(queues, larges, smalls, self.hasher, now.as_millis());
        }
        for queue in queues.iter_mut() {
            while visits < STEP
                && dead.len() < limit
                && let Some(tag) = queue.pop_due(now.as_millis())
            {
                visits += 1;
                while dead.len() < limit
                    && let Some(row) = take(larges, smalls, tag, |row| !row.is_live(now))
                {
                    dead.push(row);
                }
                each(larges, smalls, self.hasher, tag, |row| queue.push(row.due(), tag));
            }
        }
        let earliest = queues.iter().map(Queue::earliest).min();
        self.due.store(earliest.unwrap_or(u64::MAX), Ordering::Relaxed);
        visits
    }

    /// Takes out the session nearest to its deadline of [`SAMPLE`] from all over the queue; `turn` varies the sample.
    /// Never takes one with the tag `spared`; `None` where the shard has no other.
    pub(crate) fn evict(&mut self, spared: Option<u32>, turn: usize) -> Option<Form> {
        let queue = self.queue(true);
        let nearest = |stride: usize| {
            let mut nearest = None;
            for tag in queue.tags().skip(turn % stride).step_by(stride).filter(|tag| spared != Some(*tag)) {
                self.each(tag, |row| {
                    let found = (row.due(), tag);
                    if row.is_in(&Prefix::SESSION) && nearest.is_none_or(|nearest| found < nearest) {
                        nearest = Some(found);
                    }
                });
            }
            nearest
        };
        // The tags of the sample may all be useless.
        let (due, tag) = nearest(queue.len() / SAMPLE + 1).or_else(|| nearest(1))?;
        let hasher = self.hasher;
        take(&mut self.larges, &mut self.rest.smalls, tag, |row| {
            row.due() == due && row.is_in(&Prefix::SESSION) && tag_of_row(hasher, row) == tag
        })
    }

    fn insert(&mut self, tag: u32, form: Form) {
        let hasher = self.hasher;
        let rehash = |row: &dyn Row| spread(tag_of_row(hasher, row));
        match form {
            Form::Large(large) => {
                self.larges.insert(spread(tag), (large, SharedValue::new(())), |(large, _)| rehash(large));
            }
            Form::Small(small) => drop(self.rest.smalls.insert(spread(tag), small, |small| rehash(small))),
        }
    }

    fn take(&mut self, tag: u32, key: &Key) -> Option<Form> {
        take(&mut self.larges, &mut self.rest.smalls, tag, |row| row.has_key(key))
    }
}

/// Takes out a row that may have this tag.
fn take(
    larges: &mut Larges,
    smalls: &mut RawTable<Small>,
    tag: u32,
    wanted: impl Fn(&dyn Row) -> bool,
) -> Option<Form> {
    let large = larges.remove_entry(spread(tag), |(large, _)| wanted(large));
    let large = large.map(|(large, _)| Form::Large(large));
    large.or_else(|| smalls.remove_entry(spread(tag), |small| wanted(small)).map(Form::Small))
}

fn each(
    larges: &Larges,
    smalls: &RawTable<Small>,
    hasher: &RandomState,
    tag: u32,
    mut visit: impl FnMut(&dyn Row),
) {
    // Says no to every row, so that the tables show all that may have the tag.
    let mut show = |row: &dyn Row| {
        if tag_of_row(hasher, row) == tag {
            visit(row);
        }
        false
    };
    larges.get(spread(tag), |(large, _)| show(large));
    smalls.get(spread(tag), |small| show(small));
}

/// Files the tags of all rows again, each once, in queues that begin at `now`. Returns how many.
fn rebuild(
    queues: &mut [Queue; 2],
    larges: &Larges,
    smalls: &RawTable<Small>,
    hasher: &RandomState,
    now: u64,
) -> usize {
    let mut tags: Vec<u32> = queues.iter().flat_map(Queue::tags).collect();
    tags.sort_unstable();
    tags.dedup();
    *queues = [Queue::new(now), Queue::new(now)];
    for tag in &tags {
        each(larges, smalls, hasher, *tag, |row| {
            queues[kind(row.is_in(&Prefix::SESSION))].push(row.due(), *tag);
        });
    }
    tags.len()
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
    tag_of(hasher.hash_one(row.text().as_slice()))
}

const fn kind(sessions: bool) -> usize {
    if sessions { 0 } else { 1 }
}
