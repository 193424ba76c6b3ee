//! Where everything stands in the file. FORMAT.md says it in words; the two must agree.
//!
//! The file is made of 64-bit words in the byte order of the machine: a superblock, one header per shard, one word per
//! extent, then the extents themselves.

use std::mem::size_of;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The bytes at the start of every file of this driver.
pub(crate) const MAGIC: [u8; 8] = *b"SKMMAP\r\n";
/// The version of the layout. Another one is refused.
pub(crate) const VERSION: u64 = 1;
/// What this word reads as on a machine of another byte order is not this.
pub(crate) const BYTE_ORDER: u64 = 0x0102_0304_0506_0708;

pub(crate) const WORD: u64 = 8;
/// Records begin at, and are as long as, whole multiples of this: a cache line.
pub(crate) const UNIT: u64 = 64;
pub(crate) const SUPERBLOCK_BYTES: u64 = 4096;
pub(crate) const SHARD_BYTES: u64 = 1024;
const PAGE: u64 = 4096;

/// What a lock may take, and takes: the C library's mutex is smaller.
pub(crate) const LOCK_BYTES: u64 = 64;
const _: () = assert!(size_of::<libc::pthread_mutex_t>() as u64 <= LOCK_BYTES);

/// Words of the superblock.
pub(crate) mod superblock {
    pub(crate) const MAGIC: usize = 0;
    pub(crate) const VERSION: usize = 1;
    pub(crate) const BYTE_ORDER: usize = 2;
    pub(crate) const MAX_BYTES: usize = 3;
    pub(crate) const EXTENT_BYTES: usize = 4;
    pub(crate) const SHARDS: usize = 5;
    pub(crate) const EXTENTS: usize = 6;
    pub(crate) const SEED: usize = 7;
    pub(crate) const ID: usize = 8;
    /// XXH3-64 of the words before it.
    pub(crate) const CHECK: usize = 9;
    /// From here on words change while the file is in use.
    pub(crate) const PLATFORM: usize = 16;
    pub(crate) const BOOT: usize = 17;
    pub(crate) const NAMESPACE: usize = 19;
    /// How many extents the disk has given, twice: see [`super::doubled`].
    pub(crate) const GROWN: usize = 20;
    /// An extent below which none is free, or so it was lately.
    pub(crate) const HINT: usize = 21;
    /// How many shards were repaired, and how many records that has cost.
    pub(crate) const REPAIRED: usize = 22;
    pub(crate) const LOST: usize = 23;
    /// The lock of the extents, in bytes from the start of the file.
    pub(crate) const LOCK_AT: u64 = 512;
}

/// Words of a shard's header. Its first 64 bytes are its lock.
pub(crate) mod shard {
    /// Changes with every change: what readers look at before and after.
    pub(crate) const STAMP: usize = 8;
    /// Where the table is: see [`super::TableWord`].
    pub(crate) const TABLE: usize = 9;
    /// Not 0: somebody could not finish, and whoever locks next rebuilds what follows.
    pub(crate) const DIRTY: usize = 10;
    /// The units of the record that is being written, and of the one that is being given up, plus 1: what may be left
    /// where nothing leads to, of an owner that dies.
    pub(crate) const NEW: usize = 11;
    pub(crate) const OLD: usize = 12;
    /// Records, twice: see [`super::doubled`].
    pub(crate) const COUNT: usize = 16;
    /// Slots of the table that held a record once.
    pub(crate) const TOMBS: usize = 17;
    /// The extent that is being filled, plus 1, and how many of its units are taken.
    pub(crate) const CURRENT: usize = 18;
    pub(crate) const FILLED: usize = 19;
    /// Units of live small records, and extents that hold such.
    pub(crate) const LIVE: usize = 20;
    pub(crate) const EXTENTS: usize = 21;
    /// No record has a deadline before this.
    pub(crate) const DUE: usize = 22;
    /// No record that was written since the scan `SCAN` began has a deadline before this.
    pub(crate) const FRESH: usize = 23;
    pub(crate) const SCAN: usize = 24;
    /// Where the next eviction begins to look.
    pub(crate) const EVICT: usize = 25;
    /// How many of the words from `FREED` on are free pieces, each its unit and its length << 32.
    pub(crate) const FREED_COUNT: usize = 26;
    pub(crate) const FREED: usize = 32;
    pub(crate) const FREED_MAX: usize = 64;
}

/// Words of a record, and the lengths of its parts.
pub(crate) mod record {
    /// Magic (16 bits), length of the key (16), units (32).
    pub(crate) const SHAPE: usize = 0;
    pub(crate) const DATA_LEN: usize = 1;
    pub(crate) const BODY_CHECK: usize = 2;
    pub(crate) const HASH: usize = 3;
    /// Of the words before it and of the place of the record.
    pub(crate) const HEAD_CHECK: usize = 4;
    /// How often it was touched, twice; its lowest bit says which of the two blocks counts.
    pub(crate) const TURN: usize = 5;
    /// When it was used last.
    pub(crate) const USED: usize = 6;
    /// Two blocks of four words: deadline, revision, check, 0.
    pub(crate) const BLOCKS: usize = 8;
    pub(crate) const BLOCK_WORDS: usize = 4;
    pub(crate) const HEAD_WORDS: usize = 16;
    pub(crate) const HEAD_BYTES: u64 = 128;
    pub(crate) const MAGIC: u64 = 0x5e55;
    pub(crate) const NO_DEADLINE: u64 = u64::MAX;
    /// The shortest record: its head and a key.
    pub(crate) const MIN_UNITS: u64 = 3;
}

/// Words of a table of slots, at the start of its first extent.
pub(crate) mod table {
    pub(crate) const MAGIC_AT: usize = 0;
    pub(crate) const SHARD: usize = 1;
    pub(crate) const WORD: usize = 2;
    pub(crate) const CHECK: usize = 3;
    pub(crate) const SLOTS: usize = 8;
    pub(crate) const MAGIC: u64 = u64::from_ne_bytes(*b"SKTABLE\n");
    /// Slots behind the last home slot, so that no probe goes round.
    pub(crate) const TAIL: usize = 128;
    pub(crate) const EMPTY: u64 = 0;
    pub(crate) const TOMB: u64 = 1;
    /// A slot is tag << 32 | unit + 2, so that it is never empty or a tomb.
    pub(crate) const UNIT_BIAS: u64 = 2;
}

/// What an extent is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Use {
    Free = 0,
    /// Small records of one shard.
    Small = 1,
    /// One large record, with the extents that follow.
    Large = 2,
    /// A table of slots, with the extents that follow.
    Table = 3,
}

/// The word of an extent: what for (8 bits), whose (16), spare (8), live units (32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExtentWord {
    pub(crate) usage: Use,
    pub(crate) shard: u32,
    pub(crate) live: u64,
}

impl ExtentWord {
    pub(crate) const FREE: Self = Self { usage: Use::Free, shard: 0, live: 0 };

    pub(crate) fn new(usage: Use, shard: u32, live: u64) -> Self {
        Self { usage, shard, live }
    }

    pub(crate) fn pack(self) -> u64 {
        self.usage as u64 | u64::from(self.shard) << 8 | self.live << 32
    }

    /// `None` for what nobody has written.
    pub(crate) fn unpack(word: u64) -> Option<Self> {
        let usage = match word & 0xff {
            0 => Use::Free,
            1 => Use::Small,
            2 => Use::Large,
            3 => Use::Table,
            _ => return None,
        };
        Some(Self { usage, shard: (word >> 8 & 0xffff) as u32, live: word >> 32 })
    }
}

/// Where a shard's table is: first extent (24 bits), extents (16), generation (16), check (8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableWord {
    pub(crate) first: u32,
    pub(crate) run: u32,
    pub(crate) generation: u16,
}

impl TableWord {
    /// The largest table, in extents.
    pub(crate) const MOST: u32 = 0xffff;

    pub(crate) fn pack(self) -> u64 {
        let bits = u64::from(self.first) | u64::from(self.run) << 24 | u64::from(self.generation) << 40;
        bits | Self::check(bits) << 56
    }

    /// `None` for what nobody has written. 0 means that there is no table yet, and is not for this.
    pub(crate) fn unpack(word: u64) -> Option<Self> {
        let bits = word & ((1 << 56) - 1);
        let run = (bits >> 24 & 0xffff) as u32;
        let whole = Self { first: (bits & 0xff_ffff) as u32, run, generation: (bits >> 40) as u16 };
        (run > 0 && Self::check(bits) == word >> 56).then_some(whole)
    }

    /// Twice as many extents, as far as they can be told.
    pub(crate) fn larger(run: u32) -> Option<u32> {
        (run < Self::MOST).then(|| run.saturating_mul(2).min(Self::MOST))
    }

    fn check(bits: u64) -> u64 {
        xxh3_64(&bits.to_le_bytes()) >> 56
    }
}

/// A number with its complement, so that a flipped bit does not make it another number.
pub(crate) fn doubled(number: u32) -> u64 {
    u64::from(number) | u64::from(!number) << 32
}

pub(crate) fn undoubled(word: u64) -> Option<u32> {
    let number = word as u32;
    (number == !((word >> 32) as u32)).then_some(number)
}

/// How the file is divided: fixed when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) max_bytes: u64,
    pub(crate) extent_bytes: u64,
    pub(crate) shards: u32,
    pub(crate) extents: u32,
    /// Where the first extent begins.
    pub(crate) base: u64,
}

impl Geometry {
    pub(crate) const MAX_SHARDS: u64 = 4096;
    pub(crate) const MIN_EXTENT: u64 = 4096;
    pub(crate) const MAX_EXTENT: u64 = 16 << 20;
    /// Units are counted in 32 bits.
    pub(crate) const LARGEST_FILE: u64 = 128 << 30;

    /// `None` where the three numbers do not make a file that could hold anything.
    pub(crate) fn new(max_bytes: u64, extent_bytes: u64, shards: u64) -> Option<Self> {
        let sane = extent_bytes.is_power_of_two()
            && (Self::MIN_EXTENT..=Self::MAX_EXTENT).contains(&extent_bytes)
            && shards.is_power_of_two()
            && shards <= Self::MAX_SHARDS
            && max_bytes <= Self::LARGEST_FILE;
        if !sane {
            return None;
        }
        let fixed = SUPERBLOCK_BYTES + shards * SHARD_BYTES;
        // An extent takes its bytes and a word; the words end at a page.
        let extents = max_bytes.checked_sub(fixed + PAGE)? / (extent_bytes + WORD);
        // A table and some records in each shard, and some to spare for compaction.
        if extents < 2 * shards + 6 || extents >= 1 << 24 {
            return None;
        }
        let base = (fixed + extents * WORD).next_multiple_of(PAGE);
        Some(Self { max_bytes, extent_bytes, shards: shards as u32, extents: extents as u32, base })
    }

    /// What suits a file of this size, where nothing else was asked for.
    pub(crate) fn defaults(max_bytes: u64) -> (u64, u64) {
        let floor = |n: u64| 1 << n.max(1).ilog2();
        let extent = if max_bytes >= 64 << 20 {
            floor(max_bytes / 16_384).clamp(64 << 10, 1 << 20)
        } else {
            floor(max_bytes / 256).clamp(Self::MIN_EXTENT, 64 << 10)
        };
        (extent, floor(max_bytes / extent / 16).clamp(1, 64))
    }

    pub(crate) fn shard_at(&self, shard: u32) -> u64 {
        SUPERBLOCK_BYTES + u64::from(shard) * SHARD_BYTES
    }

    pub(crate) fn extent_words_at(&self) -> u64 {
        self.shard_at(self.shards)
    }

    pub(crate) fn extent_at(&self, extent: u32) -> u64 {
        self.base + u64::from(extent) * self.extent_bytes
    }

    pub(crate) fn unit_at(&self, unit: u64) -> u64 {
        self.base + unit * UNIT
    }

    pub(crate) fn units_per_extent(&self) -> u64 {
        self.extent_bytes / UNIT
    }

    pub(crate) fn extent_of(&self, unit: u64) -> u32 {
        u32::try_from(unit / self.units_per_extent()).unwrap_or(u32::MAX)
    }

    pub(crate) fn first_unit(&self, extent: u32) -> u64 {
        u64::from(extent) * self.units_per_extent()
    }

    /// Records of more units than this have extents of their own: two of these would not fit into one.
    pub(crate) fn most_small_units(&self) -> u64 {
        self.units_per_extent() / 2
    }

    /// How many extents a large record of so many units takes.
    pub(crate) fn run_of(&self, units: u64) -> u64 {
        units.div_ceil(self.units_per_extent())
    }

    /// The home slots of a table of so many extents.
    pub(crate) fn capacity(&self, run: u32) -> usize {
        let words = u64::from(run) * self.extent_bytes / WORD;
        (words as usize).saturating_sub(table::SLOTS + table::TAIL)
    }
}

/// How long a record is, in units, or `None` where no file could hold it.
pub(crate) fn units_for(key_len: usize, data_len: usize) -> Option<u64> {
    let bytes =
        (data_len as u64).checked_add(record::HEAD_BYTES + (key_len as u64).next_multiple_of(WORD))?;
    Some(bytes.div_ceil(UNIT))
}

/// The part of the superblock that never changes, as it stands in the file.
pub(crate) fn encode_superblock(geometry: &Geometry, seed: u64, id: u64) -> [u64; superblock::CHECK + 1] {
    let mut words = [0; superblock::CHECK + 1];
    words[superblock::MAGIC] = u64::from_ne_bytes(MAGIC);
    words[superblock::VERSION] = VERSION;
    words[superblock::BYTE_ORDER] = BYTE_ORDER;
    words[superblock::MAX_BYTES] = geometry.max_bytes;
    words[superblock::EXTENT_BYTES] = geometry.extent_bytes;
    words[superblock::SHARDS] = u64::from(geometry.shards);
    words[superblock::EXTENTS] = u64::from(geometry.extents);
    words[superblock::SEED] = seed;
    words[superblock::ID] = id;
    words[superblock::CHECK] = superblock_check(&words);
    words
}

pub(crate) fn superblock_check(words: &[u64]) -> u64 {
    let bytes: Vec<u8> = words[..superblock::CHECK].iter().flat_map(|word| word.to_ne_bytes()).collect();
    xxh3_64(&bytes)
}

/// What the superblock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub(crate) geometry: Geometry,
    pub(crate) seed: u64,
    pub(crate) id: u64,
}

/// Why bytes are no superblock of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SuperblockError {
    #[error("the file was not made by this driver")]
    Foreign,
    #[error("the file has layout version {0}, and this release reads version {VERSION}")]
    Version(u64),
    #[error("the file was made on a machine of another byte order")]
    ByteOrder,
    #[error("the superblock is damaged")]
    Damaged,
}

/// Reads the start of a file.
pub(crate) fn decode_superblock(bytes: &[u8]) -> Result<Superblock, SuperblockError> {
    let mut words = [0_u64; superblock::CHECK + 1];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_ne_bytes(*bytes);
    }
    if words[superblock::MAGIC] != u64::from_ne_bytes(MAGIC) {
        return Err(SuperblockError::Foreign);
    }
    if words[superblock::BYTE_ORDER] == BYTE_ORDER.swap_bytes() {
        return Err(SuperblockError::ByteOrder);
    }
    // Before the version is believed: a flipped bit in it is damage and not another version. Where the check stands
    // and what it covers is the same in every version.
    if superblock_check(&words) != words[superblock::CHECK] {
        return Err(SuperblockError::Damaged);
    }
    if words[superblock::VERSION] != VERSION {
        return Err(SuperblockError::Version(words[superblock::VERSION]));
    }
    let geometry = Geometry::new(
        words[superblock::MAX_BYTES],
        words[superblock::EXTENT_BYTES],
        words[superblock::SHARDS],
    );
    let geometry = geometry.filter(|geometry| {
        u64::from(geometry.extents) == words[superblock::EXTENTS]
            && words[superblock::BYTE_ORDER] == BYTE_ORDER
    });
    let geometry = geometry.ok_or(SuperblockError::Damaged)?;
    Ok(Superblock { geometry, seed: words[superblock::SEED], id: words[superblock::ID] })
}

/// The hash of a key. Its upper half is the tag in the table, its lower bits name the shard.
#[inline]
pub(crate) fn hash(seed: u64, key: &[u8]) -> u64 {
    xxh3_64_with_seed(key, seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_grows_to_the_largest_that_its_word_can_tell_and_no_further() {
        assert_eq!(TableWord::larger(1), Some(2));
        assert_eq!(TableWord::larger(0x7fff), Some(0xfffe));
        assert_eq!(TableWord::larger(0x8000), Some(0xffff));
        assert_eq!(TableWord::larger(0xffff), None);
        let word = TableWord { first: 5, run: TableWord::MOST, generation: 7 };
        assert_eq!(TableWord::unpack(word.pack()), Some(word));
    }
}
