//! One shard: two tables and an expiry queue that always agree.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ahash::RandomState;
use dashmap::{RwLock, RwLockReadGuard, RwLockWriteGuard, SharedValue};
use hashbrown::raw::RawTable;
use session_core::{Key, Prefix, Record, Revision, Timestamp};

use crate::block::Block;
use crate::large::Large;
use crate::packed::Packed;
use crate::queue::Queue;
use crate::row::{Data, Found, Row};
use crate::table::{Place, spread, tag_of};
use crate::usage::Amount;

/// The rows of DashMap's shard: the large records.
pub(crate) type Rows = RawTable<(Large, SharedValue<()>)>;

/// What a shard has beside DashMap's table. On cache lines of its own, as the table's lock is.
///
/// The lock of DashMap's table is the lock of the whole shard. `rest` is only locked under it, and only changed under
/// its write lock; where a record is large and its deadline does not move back, nobody asks for it.
#[repr(align(128))]
pub(crate) struct Side {
    /// No deadline of this shard is before this moment, so that a purge passes by without taking the lock.
    due: AtomicU64,
    /// Whether there ever was a small record here. Until then nobody who misses a large one need ask `rest`.
    any_small: AtomicBool,
    rest: RwLock<Rest>,
}

struct Rest {
    small: RawTable<Block>,
    /// Sessions have a queue of their own, so that an eviction need not pass by anything else.
    sessions: Queue,
    others: Queue,
}

impl Side {
    pub(crate) fn new(now: u64) -> Self {
        let (sessions, others) = (Queue::new(now), Queue::new(now));
        let rest = RwLock::new(Rest { small: RawTable::new(), sessions, others });
        Self { due: AtomicU64::new(u64::MAX), any_small: AtomicBool::new(false), rest }
    }

    /// Finds a small record for who holds the lock of the shard.
    fn with_small<T>(&self, place: Place, key: &Key, show: impl FnOnce(&Block) -> T) -> Option<T> {
        // Written under the write lock of the shard, so that it is up to date for who holds that lock.
        let any = self.any_small.load(Ordering::Relaxed);
        if any { find_small(&self.rest.read().small, place, key).map(show) } else { None }
    }

    pub(crate) fn may_be_due(&self, now: Timestamp) -> bool {
        self.due.load(Ordering::Relaxed) <= now.as_millis()
    }
}

/// A shard, locked for reading.
pub(crate) struct Reading<'a> {
    pub(crate) rows: RwLockReadGuard<'a, Rows>,
    pub(crate) side: &'a Side,
    pub(crate) hasher: &'a RandomState,
}

impl Reading<'_> {
    /// What a touch changes is read here, under the lock; the data is a handle for afterwards.
    pub(crate) fn find(&self, place: Place, key: &Key) -> Option<(Option<Timestamp>, Revision, Data)> {
        let copy = |found: Found<'_>| (found.expires(), found.revision(), found.share());
        if let Some(large) = find_large(&self.rows, place, key) {
            return Some(copy(Found::Large(large)));
        }
        self.side.with_small(place, key, |block| copy(Found::Small(block)))
    }

    /// Shows every tag of the sessions, or of all else, to `visit`.
    pub(crate) fn tags(&self, sessions: bool, visit: impl FnMut(u32)) {
        self.side.rest.read().queue(sessions).tags().for_each(visit);
    }

    /// Shows every record with this tag to `visit`: hardly ever more than one.
    pub(crate) fn each(&self, tag: u32, mut visit: impl FnMut(Found<'_>)) {
        each(&self.rows, &self.side.rest.read().small, tag, |found| {
            if has_tag(self.hasher, found, tag) {
                visit(found);
            }
            false
        });
    }
}

/// What stands under a key, for who decides about it.
#[derive(Clone, Copy)]
pub(crate) struct Standing {
    pub(crate) expires: Option<Timestamp>,
    pub(crate) revision: Revision,
    pub(crate) amount: Amount,
    large: bool,
}

/// A shard, locked for writing.
pub(crate) struct Writing<'a> {
    pub(crate) rows: RwLockWriteGuard<'a, Rows>,
    pub(crate) side: &'a Side,
    pub(crate) hasher: &'a RandomState,
}

impl Writing<'_> {
    pub(crate) fn standing(&self, place: Place, key: &Key) -> Option<Standing> {
        let standing = |found: Found<'_>, large| Standing {
            expires: found.expires(),
            revision: found.revision(),
            amount: crate::usage::amount(key.as_bytes().len(), found.data_len()),
            large,
        };
        if let Some(large) = find_large(&self.rows, place, key) {
            return Some(standing(Found::Large(large), true));
        }
        self.side.with_small(place, key, |block| standing(Found::Small(block), false))
    }

    /// The record of this key.
    pub(crate) fn record(&self, place: Place, key: &Key) -> Option<Record> {
        let record = |found: Found<'_>| Record {
            data: found.share().into_bytes(),
            expires: found.expires(),
            revision: found.revision(),
        };
        if let Some(large) = find_large(&self.rows, place, key) {
            return Some(record(Found::Large(large)));
        }
        self.side.with_small(place, key, |block| record(Found::Small(block)))
    }

    /// Puts a row under its key, in the place of what stands there. What is left over is to be dropped after the lock.
    pub(crate) fn put(
        &mut self,
        place: Place,
        key: &Key,
        standing: Option<Standing>,
        row: Row,
    ) -> Option<Row> {
        let Some(standing) = standing else {
            self.both().insert(place.tag, row);
            return None;
        };
        let is_sooner = sooner(row.get().expires(), standing.expires);
        let old = match row {
            Row::Large(mut new) if standing.large => {
                let (old, _) =
                    self.rows.get_mut(spread(place.tag), |(row, _)| row.text() == key.as_bytes())?;
                old.replace(&mut new);
                Row::Large(new)
            }
            Row::Small(new) if !standing.large => {
                let packed = Packed::new(key);
                let mut rest = self.side.rest.write();
                let old = rest.small.get_mut(spread(place.tag), |block| block.has_key(&packed))?;
                new.set_filed(old.filed());
                Row::Small(std::mem::replace(old, new))
            }
            row => {
                // It changes its form with its size, and is taken out and put in under one lock.
                let old = self.remove(place, key, standing);
                self.both().insert(place.tag, row);
                return old;
            }
        };
        if is_sooner {
            self.both().refile(place, key, standing);
        }
        Some(old)
    }

    /// Takes what stands under this key out.
    pub(crate) fn remove(&mut self, place: Place, key: &Key, standing: Standing) -> Option<Row> {
        let hash = spread(place.tag);
        let mut both = self.both();
        let row = if standing.large {
            let removed = both.rows.remove_entry(hash, |(row, _)| row.text() == key.as_bytes());
            removed.map(|(large, _)| Row::Large(large))
        } else {
            let packed = Packed::new(key);
            both.rest.small.remove_entry(hash, |block| block.has_key(&packed)).map(Row::Small)
        }?;
        both.unfile(row.get());
        Some(row)
    }

    /// Moves the deadline of what stands under this key, and gives it its new revision.
    pub(crate) fn touch(
        &mut self,
        place: Place,
        key: &Key,
        standing: Standing,
        deadline: Option<Timestamp>,
        revision: Revision,
    ) {
        if standing.large {
            let found = self.rows.get_mut(spread(place.tag), |(row, _)| row.text() == key.as_bytes());
            if let Some((large, _)) = found {
                large.touch(deadline, revision);
            }
        } else {
            self.side.with_small(place, key, |block| block.touch(deadline, revision));
        }
        if sooner(deadline, standing.expires) {
            self.both().refile(place, key, standing);
        }
    }

    /// Removes what has expired, into `dead`: one step of a purge, which looks at [`STEP`] records at the most.
    /// Returns how many it looked at.
    pub(crate) fn purge(&mut self, now: Timestamp, limit: usize, dead: &mut Vec<Row>) -> usize {
        let mut both = self.both();
        let mut visits = 0;
        let wanted = dead.len().saturating_add(limit);
        for sessions in [true, false] {
            if both.rest.queue(sessions).is_behind(now.as_millis()) {
                visits += both.refile_all(sessions, now);
            }
            while visits < STEP
                && dead.len() < wanted
                && let Some((tag, filed)) = both.rest.queue_mut(sessions).due(now.as_millis())
            {
                visits += 1;
                let live = both.at_place(tag, sessions, filed).map(|found| found.is_live(now));
                debug_assert!(live.is_some(), "the queue holds a tag without its record");
                if live == Some(true) {
                    both.file_anew(tag, sessions, filed);
                } else {
                    // The last of its bucket: no other moves into its place.
                    both.rest.queue_mut(sessions).take(filed);
                    dead.extend(both.remove_at(tag, sessions, filed));
                }
            }
        }
        let earliest = both.rest.sessions.earliest().min(both.rest.others.earliest());
        both.side.due.store(earliest, Ordering::Relaxed);
        visits
    }

    /// Takes out a session near its deadline: the nearest of [`SAMPLE`] that were picked at random from the first
    /// bucket in time. Never one with the tag `spare`; `None` where there is no other.
    pub(crate) fn evict(&mut self, spare: Option<u32>, mut random: u64) -> Option<Row> {
        let mut both = self.both();
        let mut best: Option<(u32, Option<Timestamp>)> = None;
        let mut seen = 0;
        for _ in 0..STEP {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let Some((tag, filed)) = both.rest.sessions.pick((random >> 33) as usize) else { break };
            let Some(found) = both.at_place(tag, true, filed).filter(|_| spare != Some(tag)) else {
                continue;
            };
            let expires = found.expires();
            if both.rest.sessions.bucket_of(expires.map(Timestamp::as_millis)) > filed.0 {
                // It was touched since it was filed: a bucket of such would make a bad sample for ever.
                both.file_anew(tag, true, filed);
                continue;
            }
            if best.is_none_or(|(_, nearest)| sooner(expires, nearest)) {
                best = Some((tag, expires));
            }
            seen += 1;
            if seen == SAMPLE {
                break;
            }
        }
        // Chance may have met the spared one only, or touched ones only: then any.
        let tag =
            best.map(|(tag, _)| tag).or_else(|| both.rest.sessions.tags().find(|tag| spare != Some(*tag)))?;
        let mut filed = None;
        each(both.rows, &both.rest.small, tag, |found| {
            let is_it = found.is_session() && has_tag(both.hasher, found, tag);
            if is_it {
                filed = Some(found.filed());
            }
            is_it
        });
        let row = both.remove_at(tag, true, filed?)?;
        both.unfile(row.get());
        Some(row)
    }

    fn both(&mut self) -> Both<'_> {
        Both { rows: &mut self.rows, rest: self.side.rest.write(), side: self.side, hasher: self.hasher }
    }
}

/// How many records one step of a purge looks at under one lock: up to a hundred microseconds.
pub(crate) const STEP: usize = 64;
/// How many sessions are compared for each that is evicted.
const SAMPLE: usize = 16;

/// The bucket, which no queue has, of a record between two places.
const BETWEEN: u8 = 254;

/// Both tables and the queues, locked for writing.
struct Both<'a> {
    rows: &'a mut Rows,
    rest: RwLockWriteGuard<'a, Rest>,
    side: &'a Side,
    hasher: &'a RandomState,
}

impl Both<'_> {
    fn insert(&mut self, tag: u32, row: Row) {
        self.file(tag, row.get());
        let hasher = self.hasher;
        let rehash = |found: Found<'_>| spread(found.with_text(|text| tag_of(hasher.hash_one(text))));
        match row {
            Row::Large(large) => {
                let value = (large, SharedValue::new(()));
                self.rows.insert(spread(tag), value, |(large, _)| rehash(Found::Large(large)));
            }
            Row::Small(block) => {
                self.side.any_small.store(true, Ordering::Relaxed);
                self.rest.small.insert(spread(tag), block, |block| rehash(Found::Small(block)));
            }
        }
    }

    fn refile(&mut self, place: Place, key: &Key, standing: Standing) {
        let filed = if standing.large {
            find_large(self.rows, place, key).map(|large| large.filed())
        } else {
            find_small(&self.rest.small, place, key).map(|block| block.filed())
        };
        if let Some(filed) = filed {
            self.file_anew(place.tag, key.is_in(&Prefix::SESSION), filed);
        }
    }

    /// Takes a tag out of its place and puts it where the deadline of its record belongs.
    fn file_anew(&mut self, tag: u32, sessions: bool, filed: (u8, u32)) {
        let between = (BETWEEN, 0);
        let Some(found) = self.at_place(tag, sessions, filed) else { return };
        let deadline = found.expires();
        found.set_filed(between);
        self.close_gap(sessions, filed);
        self.file_from(tag, sessions, between, deadline);
    }

    fn file_from(&mut self, tag: u32, sessions: bool, between: (u8, u32), deadline: Option<Timestamp>) {
        let filed = self.push(tag, sessions, deadline);
        if let Some(found) = self.at_place(tag, sessions, between) {
            found.set_filed(filed);
        }
    }

    /// Starts a queue anew, after the clock was set back. Returns how many records that took.
    fn refile_all(&mut self, sessions: bool, now: Timestamp) -> usize {
        let all = self.rest.queue_mut(sessions).reset(now.as_millis());
        let mut deadlines = Vec::with_capacity(all.len());
        // All leave their places before any gets a new one, which may be the old place of another.
        for ((tag, filed), number) in all.into_iter().zip(0..) {
            if let Some(found) = self.at_place(tag, sessions, filed) {
                found.set_filed((BETWEEN, number));
                deadlines.push((tag, number, found.expires()));
            }
        }
        for (tag, number, deadline) in &deadlines {
            self.file_from(*tag, sessions, (BETWEEN, *number), *deadline);
        }
        deadlines.len()
    }

    fn file(&mut self, tag: u32, found: Found<'_>) {
        found.set_filed(self.push(tag, found.is_session(), found.expires()));
    }

    fn push(&mut self, tag: u32, sessions: bool, deadline: Option<Timestamp>) -> (u8, u32) {
        let deadline = deadline.map(Timestamp::as_millis);
        if let Some(deadline) = deadline
            && deadline < self.side.due.load(Ordering::Relaxed)
        {
            // Only ever written under the lock of the shard.
            self.side.due.store(deadline, Ordering::Relaxed);
        }
        self.rest.queue_mut(sessions).push(deadline, tag)
    }

    /// Takes the tag of a row that is out of the table out of its queue.
    fn unfile(&mut self, found: Found<'_>) {
        self.close_gap(found.is_session(), found.filed());
    }

    fn close_gap(&mut self, sessions: bool, filed: (u8, u32)) {
        if let Some((tag, from)) = self.rest.queue_mut(sessions).take(filed) {
            match self.at_place(tag, sessions, from) {
                Some(moved) => moved.set_filed(filed),
                None => debug_assert!(false, "the queue holds a tag without its record"),
            }
        }
    }

    fn at_place(&self, tag: u32, sessions: bool, filed: (u8, u32)) -> Option<Found<'_>> {
        let hash = spread(tag);
        let large = self.rows.get(hash, |(large, _)| is_at(Found::Large(large), sessions, filed));
        if let Some((large, _)) = large {
            return Some(Found::Large(large));
        }
        self.rest.small.get(hash, |block| is_at(Found::Small(block), sessions, filed)).map(Found::Small)
    }

    fn remove_at(&mut self, tag: u32, sessions: bool, filed: (u8, u32)) -> Option<Row> {
        let hash = spread(tag);
        let large = self.rows.remove_entry(hash, |(large, _)| is_at(Found::Large(large), sessions, filed));
        if let Some((large, _)) = large {
            return Some(Row::Large(large));
        }
        let small = self.rest.small.remove_entry(hash, |block| is_at(Found::Small(block), sessions, filed));
        small.map(Row::Small)
    }
}

impl Rest {
    fn queue(&self, sessions: bool) -> &Queue {
        if sessions { &self.sessions } else { &self.others }
    }

    fn queue_mut(&mut self, sessions: bool) -> &mut Queue {
        if sessions { &mut self.sessions } else { &mut self.others }
    }
}

fn find_large<'a>(rows: &'a Rows, place: Place, key: &Key) -> Option<&'a Large> {
    rows.get(spread(place.tag), |(large, _)| large.text() == key.as_bytes()).map(|(large, _)| large)
}

/// The key is packed here, and not before: most of its cost is not needed where the record is large.
fn find_small<'a>(small: &'a RawTable<Block>, place: Place, key: &Key) -> Option<&'a Block> {
    let packed = Packed::new(key);
    small.get(spread(place.tag), |block| block.has_key(&packed))
}

/// Shows all that may have this tag, until `show` says that it is enough.
fn each(rows: &Rows, small: &RawTable<Block>, tag: u32, mut show: impl FnMut(Found<'_>) -> bool) {
    let enough = rows.get(spread(tag), |(large, _)| show(Found::Large(large))).is_some();
    if !enough {
        small.get(spread(tag), |block| show(Found::Small(block)));
    }
}

fn has_tag(hasher: &RandomState, found: Found<'_>, tag: u32) -> bool {
    found.with_text(|text| tag_of(hasher.hash_one(text))) == tag
}

fn is_at(found: Found<'_>, sessions: bool, filed: (u8, u32)) -> bool {
    found.filed() == filed && found.is_session() == sessions
}

/// Whether the first deadline is before the second.
fn sooner(first: Option<Timestamp>, second: Option<Timestamp>) -> bool {
    match (first, second) {
        (Some(first), Some(second)) => first < second,
        (first, second) => first.is_some() && second.is_none(),
    }
}

#[cfg(test)]
impl Reading<'_> {
    pub(crate) fn len(&self) -> usize {
        self.rows.len() + self.side.rest.read().small.len()
    }

    /// Whether the queue has this record where the record says.
    pub(crate) fn is_filed(&self, tag: u32, found: Found<'_>) -> bool {
        self.side.rest.read().queue(found.is_session()).at(found.filed()) == Some(tag)
    }

    pub(crate) fn due_is_a_lower_bound(&self) -> bool {
        let rest = self.side.rest.read();
        let tags = rest.sessions.tags().chain(rest.others.tags());
        let due = self.side.due.load(Ordering::Relaxed);
        tags.into_iter().all(|tag| {
            let mut holds = true;
            self.each(tag, |found| {
                holds &= found.expires().is_none_or(|deadline| due <= deadline.as_millis())
            });
            holds
        })
    }
}
