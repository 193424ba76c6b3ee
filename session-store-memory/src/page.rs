//! How a traversal goes through the table, and where it goes on.

use session_core::{Cursor, Entry, Operation, Page, Prefix, Result, StoreError, StoreErrorKind, Timestamp};

use crate::table::Table;

/// The longest page, whatever limit is asked for.
const LONGEST: usize = 1_024;
/// How many records of other prefixes a page passes by before it returns, perhaps empty.
const PATIENCE: usize = 4_096;
/// The length of a cursor: shard, tag, check.
const LEN: usize = 16;

/// The next page of `prefix`.
///
/// Shard after shard, and in a shard in the order of tags, that is, of hashes. Neither the shard nor the tag of a key
/// ever changes, however the tables grow, shrink or are written meanwhile: so what is there all the time is reported
/// exactly once, which an order by the places of a table could not promise. The price is that each page looks through
/// the tags of its shard for the next ones, four bytes each in plain arrays.
pub(crate) fn page(
    table: &Table,
    prefix: &Prefix,
    from: &Cursor,
    limit: usize,
    now: Timestamp,
) -> Result<Page> {
    let (mut shard, mut first) = position(table, prefix, from)?;
    let limit = limit.clamp(1, LONGEST);
    let sessions = *prefix == Prefix::SESSION;
    let mut entries = Vec::new();
    let mut visits = 0;
    while shard < table.shards() {
        let reading = table.read(shard);
        let wanted = limit - entries.len();
        let mut tags = Smallest::new(wanted.max(MINIMUM));
        reading.tags(sessions, |tag| {
            if tag >= first {
                tags.offer(tag);
            }
        });
        let mut next = None;
        for tag in tags.sorted() {
            if entries.len() >= limit || visits >= PATIENCE {
                next = Some(tag);
                break;
            }
            reading.each(tag, |found| {
                visits += 1;
                if found.is_live(now)
                    && found.is_in(prefix)
                    && let Some(key) = found.key()
                {
                    let entry =
                        Entry::new(key).with_deadline(found.expires()).with_revision(found.revision());
                    entries.push(entry.with_size(found.data_len() as u64));
                }
            });
            next = tag.checked_add(1).filter(|_| tags.are_full());
        }
        drop(reading);
        match next {
            Some(tag) => first = tag,
            None => (shard, first) = (shard + 1, 0),
        }
        if shard < table.shards() && (entries.len() >= limit || visits >= PATIENCE) {
            return Ok(Page { entries, next: Some(cursor(table, prefix, shard, first)) });
        }
    }
    Ok(Page::last(entries))
}

/// At least so many tags are taken from a shard at a time, so that a page that is nearly full, or whose prefix is
/// rare, does not look through all tags for a few.
const MINIMUM: usize = 64;

/// The smallest of the tags offered, each once, in memory for twice as many.
struct Smallest {
    tags: Vec<u32>,
    most: usize,
    below: u32,
    full: bool,
}

impl Smallest {
    fn new(most: usize) -> Self {
        Self { tags: Vec::new(), most, below: u32::MAX, full: false }
    }

    fn offer(&mut self, tag: u32) {
        // The largest tag of all passes too.
        if tag <= self.below {
            self.tags.push(tag);
            if self.tags.len() >= 2 * self.most {
                self.cut();
            }
        }
    }

    fn cut(&mut self) {
        if self.tags.len() > self.most {
            let (_, last, _) = self.tags.select_nth_unstable(self.most - 1);
            self.below = *last;
            self.tags.truncate(self.most);
            self.full = true;
        }
    }

    /// The tags in order. Equal ones come once: who visits a tag visits all its records.
    fn sorted(&mut self) -> Vec<u32> {
        self.cut();
        self.tags.sort_unstable();
        self.tags.dedup();
        std::mem::take(&mut self.tags)
    }

    /// Whether tags were left out.
    fn are_full(&self) -> bool {
        self.full
    }
}

fn cursor(table: &Table, prefix: &Prefix, shard: usize, first: u32) -> Cursor {
    let place = (shard as u64) << 32 | u64::from(first);
    let mut bytes = Vec::with_capacity(LEN);
    bytes.extend_from_slice(&place.to_le_bytes());
    bytes.extend_from_slice(&check(table, prefix, place).to_le_bytes());
    Cursor::from_bytes(bytes)
}

fn position(table: &Table, prefix: &Prefix, from: &Cursor) -> Result<(usize, u32)> {
    if from.is_start() {
        return Ok((0, 0));
    }
    let invalid = || StoreError::new(StoreErrorKind::InvalidCursor, Operation::Traverse);
    let bytes: [u8; LEN] = from.as_bytes().try_into().map_err(|_| invalid())?;
    let whole = u128::from_le_bytes(bytes);
    let place = whole as u64;
    let shard = (place >> 32) as usize;
    if (whole >> 64) as u64 != check(table, prefix, place) || shard >= table.shards() {
        return Err(invalid());
    }
    Ok((shard, place as u32))
}

/// Tells the cursors of this store and this prefix from all else, for the hash is keyed with the store's own random
/// numbers.
fn check(table: &Table, prefix: &Prefix, place: u64) -> u64 {
    table.hasher().hash_one(("cursor", prefix, place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_tags_are_kept_in_bounded_memory() {
        let mut smallest = Smallest::new(10);
        for n in 0..10_000_u32 {
            smallest.offer(n.wrapping_mul(0x9E37_79B1));
            assert!(smallest.tags.len() < 20);
        }
        let mut all: Vec<u32> = (0..10_000_u32).map(|n| n.wrapping_mul(0x9E37_79B1)).collect();
        all.sort_unstable();
        assert_eq!(smallest.sorted(), all[..10]);
        assert!(smallest.are_full());
    }

    #[test]
    fn many_equal_tags_and_the_largest_are_not_lost() {
        let mut smallest = Smallest::new(3);
        [u32::MAX, 5, u32::MAX].into_iter().for_each(|tag| smallest.offer(tag));
        assert_eq!(smallest.sorted(), [5, u32::MAX]);
        let mut smallest = Smallest::new(2);
        [7; 9].into_iter().for_each(|tag| smallest.offer(tag));
        assert_eq!(smallest.sorted(), [7]);
    }
}
