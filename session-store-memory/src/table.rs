//! All records: which shard a key is in, and under which hash.

use std::sync::atomic::{AtomicUsize, Ordering};

use ahash::RandomState;
use dashmap::DashMap;
use session_core::{Key, Operation, Result, StoreError, StoreErrorKind, Timestamp};

use crate::large::Large;
use crate::shard::{Reading, Side, Writing};

/// All records.
///
/// This is DashMap's sharded table through its `raw-api`, for the large records, and beside each of its shards a table
/// for the small ones and the expiry queue. The map's own methods offer neither a traversal that can be resumed nor
/// other structures under the same lock.
///
/// The hash is keyed with random numbers of this store. Session keys are random already, but the text of `user:` keys
/// comes from people, who must not be able to choose keys that meet in one place. ahash is built for that, which
/// faster unkeyed hashes (fxhash) are not, and its cost, a few nanoseconds, is less than half of SipHash's.
pub(crate) struct Table {
    map: DashMap<Large, (), RandomState>,
    sides: Box<[Side]>,
    next: AtomicUsize,
}

/// Where a key is: its shard, and 32 bits of its hash. The two come from different halves of the hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) shard: usize,
    pub(crate) tag: u32,
}

impl Table {
    pub(crate) fn new(shards: usize, now: Timestamp) -> Result<Self> {
        let hasher = RandomState::with_seeds(random()?, random()?, random()?, random()?);
        Ok(Self {
            map: DashMap::with_capacity_and_hasher_and_shard_amount(0, hasher, shards),
            sides: std::iter::repeat_with(|| Side::new(now.as_millis())).take(shards).collect(),
            next: AtomicUsize::new(0),
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
        self.sides[shard].may_be_due(now)
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

pub(crate) fn tag_of(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// The hash under which a table has a tag. 32 bits tell the records of one shard apart well enough (keys are compared
/// all the same), and are half the size in the queue; a table takes its places from the low bits and its filter from
/// the highest seven, so both must depend on all of the tag.
pub(crate) fn spread(tag: u32) -> u64 {
    u64::from(tag).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn random() -> Result<u64> {
    getrandom::u64().map_err(|cause| {
        StoreError::new(StoreErrorKind::Unavailable, Operation::Open)
            .with_detail("no randomness")
            .with_source(cause)
    })
}
