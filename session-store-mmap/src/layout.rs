//! The layout of the file. FORMAT.md describes it in full.
//!
//! The file consists of 64-bit words in the byte order of the machine: a superblock, one header per shard, one word per
//! extent, then the extents.

use std::mem::size_of;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The bytes at the start of every file of this driver.
pub(crate) const MAGIC: [u8; 8] = *b"SKMMAP\r\n";
/// The version of the layout. `open` refuses all others.
pub(crate) const VERSION: u64 = 1;
/// Reads differently on a machine of another byte order.
pub(crate) const BYTE_ORDER: u64 = 0x0102_0304_0506_0708;

pub(crate) const WORD: u64 = 8;
/// Records are aligned to this, and their length is a multiple of it: a cache line.
pub(crate) const UNIT: u64 = 64;
pub(crate) const SUPERBLOCK_BYTES: u64 = 4096;
pub(crate) const SHARD_BYTES: u64 = 1024;
const PAGE: u64 = 4096;

/// The room of a lock. The C library's mutex is smaller.
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
    /// The words from here change while the file is in use.
    pub(crate) const PLATFORM: usize = 16;
    pub(crate) const BOOT: usize = 17;
    pub(crate) const NAMESPACE: usize = 19;
    /// How many extents the file has on the disk: see [`super::doubled`].
    pub(crate) const GROWN: usize = 20;
    /// No extent below this one was free lately.
    pub(crate) const HINT: usize = 21;
    /// How many shards were repaired, and how many records were lost.
    pub(crate) const REPAIRED: usize = 22;
    pub(crate) const LOST: usize = 23;
    /// What the handles do when the file is full: 1 rejects, 2 evicts. Files of older releases have 0.
    pub(crate) const ON_FULL: usize = 24;
    /// A check of the index, written when the last opener closes the file; 0 while it is in use.
    pub(crate) const SEAL: usize = 25;
    /// The lock of the extents, in bytes from the start of the file.
    pub(crate) const LOCK_AT: u64 = 512;
}

/// Words of a shard's header. Its first 64 bytes are its lock.
pub(crate) mod shard {
    /// Moves with every change. Readers compare it before and after.
    pub(crate) const STAMP: usize = 8;
    /// The place of the table: see [`super::TableWord`].
    pub(crate) const TABLE: usize = 9;
    /// Not 0: a change was interrupted. The next owner of the lock repairs the shard.
    pub(crate) const DIRTY: usize = 10;
    /// The unit of the record being written and of the record being dropped, plus 1. A killed owner may leave these
    /// records without a slot.
    pub(crate) const NEW: usize = 11;
    pub(crate) const OLD: usize = 12;
    /// How many records there are: see [`super::doubled`].
    pub(crate) const COUNT: usize = 16;
    /// How many slots are removed ones.
    pub(crate) const REMOVED_SLOTS: usize = 17;
    /// The extent that is being filled, plus 1, and how many of its units are used.
    pub(crate) const CURRENT: usize = 18;
    pub(crate) const FILLED: usize = 19;
    /// Units of live small records, and extents of small records.
    pub(crate) const LIVE: usize = 20;
    pub(crate) const EXTENTS: usize = 21;
    /// No record has an earlier deadline.
    pub(crate) const DUE: usize = 22;
    /// No record that was written since purge number `SCAN` began has an earlier deadline.
    pub(crate) const FRESH: usize = 23;
    pub(crate) const SCAN: usize = 24;
    /// The tag at which the next eviction begins.
    pub(crate) const EVICT: usize = 25;
    /// How many words from `FREED` are free pieces, each a unit and a length << 32.
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
    /// Covers the words before it and the place of the record.
    pub(crate) const HEAD_CHECK: usize = 4;
    /// How often the record was touched. The lowest bit selects the valid block.
    pub(crate) const TOUCHES: usize = 5;
    pub(crate) const LAST_USED: usize = 6;
    /// Two blocks of four words: deadline, revision, check, 0.
    pub(crate) const BLOCKS: usize = 8;
    pub(crate) const BLOCK_WORDS: usize = 4;
    pub(crate) const HEAD_WORDS: usize = 16;
    pub(crate) const HEAD_BYTES: u64 = 128;
    pub(crate) const MAGIC: u64 = 0x5e55;
    pub(crate) const NO_DEADLINE: u64 = u64::MAX;
    /// The shortest record: a head and a key.
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
    /// Slots behind the last home slot, so that no probe wraps around.
    pub(crate) const TAIL: usize = 128;
    pub(crate) const EMPTY: u64 = 0;
    pub(crate) const REMOVED: u64 = 1;
    /// A slot is tag << 32 | unit + 2, so that it is never `EMPTY` or `REMOVED`.
    pub(crate) const UNIT_BIAS: u64 = 2;
}

/// The use of an extent.
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

/// The word of an extent: use (8 bits), shard (16), 0 (8), live units (32).
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

    /// `None` for a damaged word.
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

/// The place of a shard's table: first extent (24 bits), extents (16), generation (16), check (8).
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

    /// `None` for a damaged word, and for 0, which means no table yet.
    pub(crate) fn unpack(word: u64) -> Option<Self> {
        let bits = word & ((1 << 56) - 1);
        let run = (bits >> 24 & 0xffff) as u32;
        let whole = Self { first: (bits & 0xff_ffff) as u32, run, generation: (bits >> 40) as u16 };
        (run > 0 && Self::check(bits) == word >> 56).then_some(whole)
    }

    /// Twice as many extents, as far as a table word can say.
    pub(crate) fn larger(run: u32) -> Option<u32> {
        (run < Self::MOST).then(|| run.saturating_mul(2).min(Self::MOST))
    }

    fn check(bits: u64) -> u64 {
        xxh3_64(&bits.to_le_bytes()) >> 56
    }
}

/// A number with its complement, so that a flipped bit does not result in another number.
pub(crate) fn doubled(number: u32) -> u64 {
    u64::from(number) | u64::from(!number) << 32
}

pub(crate) fn undoubled(word: u64) -> Option<u32> {
    let number = word as u32;
    (number == !((word >> 32) as u32)).then_some(number)
}

/// How the file is divided. Fixed when it is created.
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

    /// `None` where the numbers leave no room for records.
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
        // An extent takes its bytes and a word. The words end at a page boundary.
        let extents = max_bytes.checked_sub(fixed + PAGE)? / (extent_bytes + WORD);
        // A table and some records for each shard, and a reserve for compaction.
        if extents < 2 * shards + 6 || extents >= 1 << 24 {
            return None;
        }
        let base = (fixed + extents * WORD).next_multiple_of(PAGE);
        Some(Self { max_bytes, extent_bytes, shards: shards as u32, extents: extents as u32, base })
    }

    /// The default `extent_bytes` and `shards` for a file of this size.
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

    /// Records of more units have extents of their own: two of them would not fit into one extent.
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

/// The length of a record in units. `None` where no file could hold it.
pub(crate) fn units_for(key_len: usize, data_len: usize) -> Option<u64> {
    let bytes =
        (data_len as u64).checked_add(record::HEAD_BYTES + (key_len as u64).next_multiple_of(WORD))?;
    Some(bytes.div_ceil(UNIT))
}

/// The part of the superblock that never changes.
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

/// A decoded superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub(crate) geometry: Geometry,
    pub(crate) seed: u64,
    pub(crate) id: u64,
}

/// Why bytes are not a superblock of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SuperblockError {
    #[error("file was not made by this driver")]
    Foreign,
    #[error("file has layout version {0}, this release reads version {VERSION}")]
    Version(u64),
    #[error("file was made on a machine of another byte order")]
    ByteOrder,
    #[error("superblock is damaged")]
    Damaged,
}

/// Decodes the start of a file.
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
    // Before the version: a flipped bit in it is damage and not another version. The check has the same place and
    // covers the same words in every version.
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

/// The hash of a key. Its upper half is the tag in the table, and its lowest bits are the shard.
#[inline]
pub(crate) fn hash(seed: u64, key: &[u8]) -> u64 {
    xxh3_64_with_seed(key, seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_grow_up_to_what_a_table_word_can_hold() {
        assert_eq!(TableWord::larger(1), Some(2));
        assert_eq!(TableWord::larger(0x7fff), Some(0xfffe));
        assert_eq!(TableWord::larger(0x8000), Some(0xffff));
        assert_eq!(TableWord::larger(0xffff), None);
        let word = TableWord { first: 5, run: TableWord::MOST, generation: 7 };
        assert_eq!(TableWord::unpack(word.pack()), Some(word));
    }
}
