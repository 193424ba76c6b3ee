//! The shards: each a hash table and an expiry queue that always agree.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use ahash::RandomState;
use dashmap::{DashMap, RwLock, RwLockReadGuard, RwLockWriteGuard, SharedValue};
use hashbrown::raw::RawTable;
use session_core::{Error, ErrorKind, Operation, Result, Timestamp};

use crate::block::Block;
use crate::packed::Packed;
use crate::queue::Queue;

/// All records.
///
/// This is DashMap's sharded table through its `raw-api`: the map's own methods offer neither a traversal that can be
/// resumed nor a second structure under the same lock.
///
/// The hash is keyed with random numbers of this store. Session keys are random already, but the text of `user:` keys
/// comes from people, who must not be able to choose keys that meet in one place. ahash is built for that, which
/// faster unkeyed hashes (fxhash) are not, and its cost, a few nanoseconds, is less than half of SipHash's.
pub(crate) struct Table {
    map: DashMap<Block, (), RandomState>,
    sides: Box<[Side]>,
    next: AtomicUsize,
}

/// What a shard has beside DashMap's table. On cache lines of its own, as the table's lock is.
#[repr(align(128))]
struct Side {
    /// No deadline of this shard is before this moment, so that a purge passes by without taking the lock.
    due: AtomicU64,
    /// Changed only under the write lock of the shard, so that it agrees with the table for whoever holds a read lock.
    queues: RwLock<Queues>,
}

/// Sessions have a queue of their own, so that an eviction need not pass by anything else.
pub(crate) struct Queues {
    sessions: Queue,
    others: Queue,
}

impl Queues {
    pub(crate) fn of(&self, sessions: bool) -> &Queue {
        if sessions { &self.sessions } else { &self.others }
    }

    fn of_mut(&mut self, sessions: bool) -> &mut Queue {
        if sessions { &mut self.sessions } else { &mut self.others }
    }
}

/// Where a key is: its shard, and 32 bits of its hash. The two come from different halves of the hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) shard: usize,
    pub(crate) tag: u32,
}

type Rows = RawTable<(Block, SharedValue<()>)>;

impl Table {
    pub(crate) fn new(shards: usize, now: Timestamp) -> Result<Self> {
        let hasher = RandomState::with_seeds(random()?, random()?, random()?, random()?);
        let now = now.as_millis();
        let side = || Side {
            due: AtomicU64::new(u64::MAX),
            queues: RwLock::new(Queues { sessions: Queue::new(now), others: Queue::new(now) }),
        };
        Ok(Self {
            map: DashMap::with_capacity_and_hasher_and_shard_amount(0, hasher, shards),
            sides: std::iter::repeat_with(side).take(shards).collect(),
            next: AtomicUsize::new(0),
        })
    }

    pub(crate) fn shards(&self) -> usize {
        self.sides.len()
    }

    pub(crate) fn hasher(&self) -> &RandomState {
        self.map.hasher()
    }

    pub(crate) fn place(&self, key: &Packed<'_>) -> Place {
        let hash = self.hasher().hash_one(key);
        // The number of shards is a power of two.
        Place { shard: hash as u32 as usize & (self.sides.len() - 1), tag: tag_of(hash) }
    }

    /// Shard numbers, each once, beginning with another one each time, so that those who look for something do not
    /// all begin at the same lock.
    pub(crate) fn round(&self) -> Round {
        let shards = self.sides.len();
        Round { next: self.turn(), left: shards, mask: shards - 1 }
    }

    /// A number that nobody can foresee.
    pub(crate) fn draw(&self) -> u64 {
        self.hasher().hash_one(("draw", self.turn()))
    }

    fn turn(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether anything in this shard can have expired.
    pub(crate) fn may_be_due(&self, shard: usize, now: Timestamp) -> bool {
        self.sides[shard].due.load(Ordering::Relaxed) <= now.as_millis()
    }

    pub(crate) fn read(&self, shard: usize) -> Reading<'_> {
        Reading { rows: self.map.shards()[shard].read(), side: &self.sides[shard], hasher: self.hasher() }
    }

    pub(crate) fn write(&self, shard: usize) -> Writing<'_> {
        Writing { rows: self.map.shards()[shard].write(), side: &self.sides[shard], hasher: self.hasher() }
    }
}

/// See [`Table::round`].
pub(crate) struct Round {
    next: usize,
    left: usize,
    mask: usize,
}

impl Iterator for Round {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let shard = self.next & self.mask;
        self.next = self.next.wrapping_add(1);
        Some(shard)
    }
}

/// A shard, locked for reading.
pub(crate) struct Reading<'a> {
    rows: RwLockReadGuard<'a, Rows>,
    side: &'a Side,
    hasher: &'a RandomState,
}

impl Reading<'_> {
    pub(crate) fn find(&self, place: Place, key: &Packed<'_>) -> Option<&Block> {
        find(&self.rows, place.tag, |block| block.has_key(key))
    }

    /// Shows every tag of the sessions, or of all else, to `visit`. Records with the same key prefix are not together.
    pub(crate) fn tags(&self, sessions: bool, visit: impl FnMut(u32)) {
        self.side.queues.read().of(sessions).tags().for_each(visit);
    }

    /// Shows every record with this tag to `visit`: hardly ever more than one.
    pub(crate) fn each(&self, tag: u32, mut visit: impl FnMut(&Block)) {
        find(&self.rows, tag, |block| {
            if tag_of(self.hasher.hash_one(block)) == tag {
                visit(block);
            }
            false
        });
    }
}

#[cfg(test)]
impl Reading<'_> {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether the queue has this block where the block says.
    pub(crate) fn is_filed(&self, tag: u32, block: &Block) -> bool {
        self.side.queues.read().of(block.is_session()).at(block.filed()) == Some(tag)
    }

    pub(crate) fn due_is_a_lower_bound(&self) -> bool {
        let queues = self.side.queues.read();
        let tags = queues.sessions.tags().chain(queues.others.tags());
        let due = self.side.due.load(Ordering::Relaxed);
        tags.into_iter().all(|tag| {
            let mut holds = true;
            self.each(tag, |block| {
                holds &= block.expires().is_none_or(|deadline| due <= deadline.as_millis())
            });
            holds
        })
    }
}

/// A shard, locked for writing.
pub(crate) struct Writing<'a> {
    rows: RwLockWriteGuard<'a, Rows>,
    side: &'a Side,
    hasher: &'a RandomState,
}

impl Writing<'_> {
    pub(crate) fn find(&self, place: Place, key: &Packed<'_>) -> Option<&Block> {
        find(&self.rows, place.tag, |block| block.has_key(key))
    }

    /// The place in the table of this key's block, for [`replace`].
    pub(crate) fn find_mut(&mut self, place: Place, key: &Packed<'_>) -> Option<&mut Block> {
        self.rows.get_mut(spread(place.tag), |(block, _)| block.has_key(key)).map(|(block, _)| block)
    }

    /// Puts a block where there is none with its key.
    pub(crate) fn insert(&mut self, place: Place, block: Block) {
        let mut queues = self.side.queues.write();
        self.side.file(&mut queues, place.tag, &block);
        let hasher = self.hasher;
        self.rows.insert(spread(place.tag), (block, SharedValue::new(())), |(block, _)| {
            spread(tag_of(hasher.hash_one(block)))
        });
    }

    /// Takes the block of this key out.
    pub(crate) fn remove(&mut self, place: Place, key: &Packed<'_>) -> Option<Block> {
        let (block, _) = self.rows.remove_entry(spread(place.tag), |(block, _)| block.has_key(key))?;
        self.unfile(&mut self.side.queues.write(), &block);
        Some(block)
    }

    /// Files the block of this key anew. To be called where its deadline has become [`sooner`], for the queue must not
    /// find it too late; a deadline that moves later costs nothing here.
    pub(crate) fn refile(&self, place: Place, key: &Packed<'_>) {
        if let Some(block) = self.find(place, key) {
            let mut queues = self.side.queues.write();
            self.unfile(&mut queues, block);
            self.side.file(&mut queues, place.tag, block);
        }
    }

    /// Removes what has expired, into `dead`: one step of a purge, which looks at [`STEP`] records at the most.
    /// Returns how many it looked at.
    pub(crate) fn purge(&mut self, now: Timestamp, limit: usize, dead: &mut Vec<Block>) -> usize {
        let side = self.side;
        let mut queues = side.queues.write();
        let mut visits = 0;
        let wanted = dead.len().saturating_add(limit);
        for sessions in [true, false] {
            if queues.of(sessions).is_behind(now.as_millis()) {
                visits += self.refile_all(&mut queues, sessions, now);
            }
            while visits < STEP
                && dead.len() < wanted
                && let Some((tag, filed)) = queues.of_mut(sessions).due(now.as_millis())
            {
                visits += 1;
                match self.at_place(tag, sessions, filed).cloned() {
                    Some(block) => {
                        queues.of_mut(sessions).take(filed);
                        if block.is_live(now) {
                            side.file(&mut queues, tag, &block);
                        } else {
                            self.rows.remove_entry(spread(tag), |(other, _)| is_at(other, sessions, filed));
                            dead.push(block);
                        }
                    }
                    None => {
                        debug_assert!(false, "the queue holds a tag without its record");
                        queues.of_mut(sessions).take(filed);
                    }
                }
            }
        }
        let earliest = queues.sessions.earliest().min(queues.others.earliest());
        side.due.store(earliest, Ordering::Relaxed);
        visits
    }

    /// Takes out a session near its deadline: the nearest of [`SAMPLE`] that were picked at random from the first
    /// bucket in time. Never the one at `spare`; `None` where there is no other.
    pub(crate) fn evict(&mut self, spare: Place, mut random: u64) -> Option<Block> {
        let side = self.side;
        let mut queues = side.queues.write();
        let mut best: Option<Block> = None;
        let mut seen = 0;
        for _ in 0..STEP {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let Some((tag, filed)) = queues.sessions.pick((random >> 33) as usize) else { break };
            let Some(block) = self.at_place(tag, true, filed).filter(|_| tag != spare.tag).cloned() else {
                continue;
            };
            if queues.sessions.bucket_of(block.expires().map(Timestamp::as_millis)) > filed.0 {
                // It was touched since it was filed: a bucket of such would make a bad sample for ever.
                self.unfile(&mut queues, &block);
                side.file(&mut queues, tag, &block);
                continue;
            }
            if best.as_ref().is_none_or(|best| sooner(block.expires(), best.expires())) {
                best = Some(block);
            }
            seen += 1;
            if seen == SAMPLE {
                break;
            }
        }
        let block = match best {
            Some(block) => block,
            // Chance met the spared one only, or touched ones only: then any.
            None => {
                let tag = queues.sessions.tags().find(|tag| *tag != spare.tag)?;
                find(&self.rows, tag, |block| {
                    block.is_session() && tag_of(self.hasher.hash_one(block)) == tag
                })?
                .clone()
            }
        };
        let tag = tag_of(self.hasher.hash_one(&block));
        self.rows.remove_entry(spread(tag), |(other, _)| is_at(other, true, block.filed()));
        self.unfile(&mut queues, &block);
        Some(block)
    }

    fn refile_all(&self, queues: &mut Queues, sessions: bool, now: Timestamp) -> usize {
        let all = queues.of_mut(sessions).reset(now.as_millis());
        // All are found before any is filed: a new place may equal the old place of another.
        let find = |(tag, filed)| self.at_place(tag, sessions, filed).map(|block| (tag, block));
        let blocks: Vec<_> = all.into_iter().filter_map(find).collect();
        for (tag, block) in &blocks {
            self.side.file(queues, *tag, block);
        }
        blocks.len()
    }

    /// Takes a block that is about to leave, or to be filed anew, out of its queue.
    fn unfile(&self, queues: &mut Queues, block: &Block) {
        let sessions = block.is_session();
        let place = block.filed();
        if let Some((tag, from)) = queues.of_mut(sessions).take(place) {
            match self.at_place(tag, sessions, from) {
                Some(moved) => moved.set_filed(place),
                None => debug_assert!(false, "the queue holds a tag without its record"),
            }
        }
    }

    fn at_place(&self, tag: u32, sessions: bool, filed: (u8, u32)) -> Option<&Block> {
        find(&self.rows, tag, |block| is_at(block, sessions, filed))
    }
}

impl Side {
    fn file(&self, queues: &mut Queues, tag: u32, block: &Block) {
        let deadline = block.expires().map(Timestamp::as_millis);
        block.set_filed(queues.of_mut(block.is_session()).push(deadline, tag));
        if let Some(deadline) = deadline
            && deadline < self.due.load(Ordering::Relaxed)
        {
            // Only ever written under the lock of the shard.
            self.due.store(deadline, Ordering::Relaxed);
        }
    }
}

/// How many records one step of a purge looks at under one lock: some ten microseconds.
pub(crate) const STEP: usize = 64;
/// How many sessions are compared for each that is evicted.
const SAMPLE: usize = 16;

fn find(rows: &Rows, tag: u32, mut wanted: impl FnMut(&Block) -> bool) -> Option<&Block> {
    rows.get(spread(tag), |(block, _)| wanted(block)).map(|(block, _)| block)
}

/// Puts a block in the place of another with its key, which is returned.
pub(crate) fn replace(slot: &mut Block, block: Block) -> Block {
    block.set_filed(slot.filed());
    std::mem::replace(slot, block)
}

/// Whether the first deadline is before the second.
pub(crate) fn sooner(first: Option<Timestamp>, second: Option<Timestamp>) -> bool {
    at(first) < at(second)
}

fn is_at(block: &Block, sessions: bool, filed: (u8, u32)) -> bool {
    block.filed() == filed && block.is_session() == sessions
}

fn tag_of(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// The hash under which a table has a tag. 32 bits tell the records of one shard apart well enough (keys are compared
/// all the same), and are half the size in the queue; a table takes its places from the low bits and its filter from
/// the highest seven, so both must depend on all of the tag.
fn spread(tag: u32) -> u64 {
    u64::from(tag).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn at(deadline: Option<Timestamp>) -> (bool, Option<Timestamp>) {
    (deadline.is_none(), deadline)
}

fn random() -> Result<u64> {
    getrandom::u64().map_err(|cause| {
        Error::new(ErrorKind::Unavailable, Operation::Open).with_detail("no randomness").with_source(cause)
    })
}
