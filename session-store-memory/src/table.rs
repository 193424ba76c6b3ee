//! All records: which shard a key is in, and under which hash.

use std::cell::LazyCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use ahash::RandomState;
use dashmap::{DashMap, RwLock};
use session_core::{Key, Record, Result, Timestamp, random};

use crate::row::{NEVER, Row, Small, Text};
use crate::shard::{Larges, Rest, Shard, spread, tag_of};

/// All records: a DashMap of the large ones, and beside each of its shards what else the shard needs.
///
/// The shards are used through DashMap's `raw-api`. Its other methods offer no traversal that another call can
/// resume, and no second structure under the lock of a shard.
///
/// The hash is keyed with random numbers of this store: people choose the text of `user:` keys, and must not be able to
/// choose keys that collide. ahash is built for that, unlike fxhash, and costs less than half of SipHash.
pub(crate) struct Table {
    map: DashMap<Text, Record, RandomState>,
    sides: Box<[Side]>,
    turn: AtomicUsize,
}

/// The rest of a shard, beside DashMap's table. On cache lines of its own, as the table's lock is.
#[repr(align(128))]
struct Side {
    /// No deadline of this shard is before this moment, so that a purge passes by without a lock.
    due: AtomicU64,
    /// Only locked under the lock of DashMap's table, which is the lock of the whole shard.
    rest: RwLock<Rest>,
}

/// Where a key is: its shard, and 32 bits of its hash. They come from different halves of the hash.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) shard: usize,
    pub(crate) tag: u32,
}

/// Shows no key and no data.
impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("shards", &self.shards()).finish_non_exhaustive()
    }
}

impl Table {
    pub(crate) fn new(shards: usize, now: Timestamp) -> Result<Self> {
        let seed = || random::bytes().map(u64::from_le_bytes);
        let hasher = RandomState::with_seeds(seed()?, seed()?, seed()?, seed()?);
        let side = || Side { due: AtomicU64::new(u64::MAX), rest: RwLock::new(Rest::new(now)) };
        Ok(Self {
            map: DashMap::with_capacity_and_hasher_and_shard_amount(0, hasher, shards),
            sides: std::iter::repeat_with(side).take(shards).collect(),
            turn: AtomicUsize::new(0),
        })
    }

    pub(crate) fn shards(&self) -> usize {
        self.sides.len()
    }

    pub(crate) fn hasher(&self) -> &RandomState {
        self.map.hasher()
    }

    pub(crate) fn place(&self, key: &Key) -> Place {
        let hash = self.hasher().hash_one(key.as_bytes());
        // The number of shards is a power of two.
        Place { shard: hash as u32 as usize & (self.sides.len() - 1), tag: tag_of(hash) }
    }

    /// Each shard once, beginning with another one each time, so that calls do not queue at the same lock.
    pub(crate) fn round(&self) -> impl Iterator<Item = usize> + use<> {
        let (first, mask) = (self.turn(), self.sides.len() - 1);
        (0..=mask).map(move |offset| first.wrapping_add(offset) & mask)
    }

    /// Another number each time.
    pub(crate) fn turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether a record of this shard can have expired.
    pub(crate) fn may_be_due(&self, shard: usize, now: Timestamp) -> bool {
        let due = self.sides[shard].due.load(Ordering::Relaxed);
        due < NEVER && due <= now.as_millis()
    }

    /// The record of a key, live or not.
    pub(crate) fn record(&self, place: Place, key: &Key) -> Option<Record> {
        let larges = self.map.shards()[place.shard].read();
        if let Some(large) = larges.get(spread(place.tag), |large| large.has_key(key)) {
            return Some(large.record());
        }
        self.sides[place.shard].rest.read().small(place.tag, key).map(Small::record)
    }

    /// Locks a shard for reading.
    pub(crate) fn read(
        &self,
        shard: usize,
    ) -> Shard<'_, impl Deref<Target = Larges>, impl Deref<Target: Deref<Target = Rest>>> {
        let (larges, side) = (self.map.shards()[shard].read(), &self.sides[shard]);
        let rest = LazyCell::new(|| side.rest.read());
        Shard { larges, rest, due: &side.due, hasher: self.hasher() }
    }

    /// Locks a shard for writing, and its rest at its first use: most changes of large records do not need it.
    #[inline]
    pub(crate) fn write(
        &self,
        shard: usize,
    ) -> Shard<'_, impl DerefMut<Target = Larges>, impl DerefMut<Target: DerefMut<Target = Rest>>> {
        let (larges, side) = (self.map.shards()[shard].write(), &self.sides[shard]);
        let rest = LazyCell::new(|| side.rest.write());
        Shard { larges, rest, due: &side.due, hasher: self.hasher() }
    }
}
