//! Traversal in pages that any handle can resume.

use session_core::{Cursor, Entry, Page, Prefix, Result, StoreError};

use crate::store::Inner;

/// The longest page, whatever limit is asked for: about 50 microseconds.
const LONGEST: usize = 128;
/// How many tags a page looks at before it returns, perhaps empty.
const PATIENCE: usize = 4_096;
/// How many tags a page takes from a shard at a time, at least.
const FEWEST: usize = 64;

impl Inner {
    /// The next page of `prefix`: shard after shard, and in a shard in the order of tags.
    ///
    /// Neither the shard nor the tag of a key ever changes, so a record that is stored during the whole traversal is
    /// reported exactly once, however the tables grow meanwhile. The order of a table's places could not promise that.
    /// The price: each page looks through the tags of its shard, four bytes each in plain arrays.
    pub(crate) fn page(&self, prefix: &Prefix, from: &Cursor, limit: usize) -> Result<Page> {
        let now = self.clock.now();
        let (mut shard, mut first) = self.position(prefix, from)?;
        let limit = limit.clamp(1, LONGEST);
        let (mut entries, mut visits) = (Vec::new(), 0);
        while shard < self.table.shards() {
            let rows = self.table.read(shard);
            // Tags are random, so a part of their range holds a part of the tags.
            let queue = rows.queue(*prefix == Prefix::SESSION);
            let parts = u32::try_from(queue.len() / limit.max(FEWEST) + 1).unwrap_or(u32::MAX);
            let end = first.saturating_add(u32::MAX / parts);
            let mut tags: Vec<u32> = queue.tags().filter(|tag| (first..=end).contains(tag)).collect();
            tags.sort_unstable();
            tags.dedup();
            let mut next = end.checked_add(1);
            for tag in tags {
                if entries.len() >= limit || visits >= PATIENCE {
                    next = Some(tag);
                    break;
                }
                visits += 1;
                rows.each(tag, |row| {
                    if row.is_live(now) && row.is_in(prefix) {
                        let entry = Entry::new(row.key()).with_deadline(row.deadline());
                        entries.push(
                            entry.with_revision(row.head().revision).with_size(row.data().len() as u64),
                        );
                    }
                });
            }
            (shard, first) = next.map_or((shard + 1, 0), |tag| (shard, tag));
            if shard < self.table.shards() && (entries.len() >= limit || visits >= PATIENCE) {
                return Ok(Page { entries, next: Some(self.cursor(prefix, shard, first)) });
            }
        }
        Ok(Page::last(entries))
    }

    /// Shard and tag, and a check.
    fn cursor(&self, prefix: &Prefix, shard: usize, first: u32) -> Cursor {
        let place = (shard as u64) << 32 | u64::from(first);
        Cursor::from_bytes([place.to_le_bytes(), self.check(prefix, place).to_le_bytes()].concat())
    }

    fn position(&self, prefix: &Prefix, from: &Cursor) -> Result<(usize, u32)> {
        if from.is_start() {
            return Ok((0, 0));
        }
        let invalid = || StoreError::invalid_cursor("not a cursor of this store and prefix");
        let whole = u128::from_le_bytes(from.as_bytes().try_into().map_err(|_| invalid())?);
        let place = whole as u64;
        let shard = (place >> 32) as usize;
        if (whole >> 64) as u64 != self.check(prefix, place) || shard >= self.table.shards() {
            return Err(invalid());
        }
        Ok((shard, place as u32))
    }

    /// Marks the cursors of this store and this prefix: the hash is keyed with the store's own random numbers.
    fn check(&self, prefix: &Prefix, place: u64) -> u64 {
        self.table.hasher().hash_one(("cursor", prefix, place))
    }
}
