//! Walking over a shard, and the pages of a traversal.

use session_core::{Cursor, Entry, Key, Page, Prefix, Timestamp, is_live};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::area::Area;
use crate::error::Fault;
use crate::shard::{Locked, Place};
use crate::table::{NOTHING, TAGS, unit_of};

/// How many steps are made before other tasks run.
pub(crate) const BATCH: usize = 4;

/// How much may be looked at: a slot costs about a nanosecond, a record that it leads to about a hundred.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) slots: usize,
    pub(crate) records: usize,
}

impl Budget {
    /// Under one lock.
    pub(crate) const STEP: Self = Self { slots: 16_384, records: 256 };
    /// For one page, even if it stays empty.
    const PAGE: Self = Self { slots: BATCH * Self::STEP.slots, records: BATCH * Self::STEP.records };
    pub(crate) const ALL: Self = Self { slots: usize::MAX, records: usize::MAX };

    fn is_spent(&self) -> bool {
        self.slots == 0 || self.records == 0
    }

    fn less(self, spent: Self, rest: Self) -> Self {
        let slots = self.slots.saturating_sub(spent.slots.saturating_sub(rest.slots));
        Self { slots, records: self.records.saturating_sub(spent.records.saturating_sub(rest.records)) }
    }
}

impl<'a> Locked<'a> {
    /// Shows the records with tags from `from` on until the budget is spent, and then those to the end of the cluster,
    /// and says with which tag to go on; [`TAGS`] is the end.
    ///
    /// Behind an empty slot there is no record whose home is before it. So all records up to the tag that is
    /// returned were shown, wherever they or the later ones move to afterwards.
    pub(crate) fn walk(
        &self,
        from: u64,
        budget: &mut Budget,
        mut visit: impl FnMut(usize, Place<'a>),
    ) -> Result<u64, Fault> {
        let Some(table) = self.table()? else { return Ok(TAGS) };
        if from >= TAGS {
            return Ok(TAGS);
        }
        for slot in table.home(from)..table.len() {
            let word = table.get(slot);
            budget.slots = budget.slots.saturating_sub(1);
            if word == NOTHING {
                if budget.is_spent() {
                    return Ok(table.first_tag_behind(slot));
                }
                continue;
            }
            let Some(unit) = unit_of(word).filter(|_| word >> 32 >= from) else { continue };
            if let Some(place) = self.place(slot, unit) {
                budget.records = budget.records.saturating_sub(1);
                visit(slot, place);
            }
        }
        Ok(TAGS)
    }
}

/// Where a traversal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    shard: u32,
    tag: u64,
}

impl Area {
    /// One page.
    pub(crate) fn page(
        &self,
        prefix: &Prefix,
        from: &Cursor,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Fault> {
        let mut at = self.position(prefix, from).ok_or(Fault::Cursor)?;
        let mut entries = Vec::new();
        let mut left = Budget::PAGE;
        while at.shard < self.geometry.shards {
            if entries.len() >= limit.max(1) || left.is_spent() {
                return Ok(Page { entries, next: Some(self.cursor(prefix, at)) });
            }
            let shard = self.shard(at.shard);
            if shard.is_unused() {
                at = Position { shard: at.shard + 1, tag: 0 };
                continue;
            }
            let locked = shard.lock()?;
            // No more records than are still asked for: most are of the prefix.
            let records = limit.saturating_sub(entries.len()).clamp(1, Budget::STEP.records);
            let step = Budget { records, ..Budget::STEP };
            let mut rest = step;
            let next =
                locked.walk(at.tag, &mut rest, |_, place| entries.extend(self.entry(prefix, &place, now)));
            at.tag = next?;
            left = left.less(step, rest);
            if at.tag >= TAGS {
                at = Position { shard: at.shard + 1, tag: 0 };
            }
        }
        Ok(Page::last(entries))
    }

    /// How many live keys of `prefix` the records from here on have, and where to go on.
    pub(crate) fn count_step(
        &self,
        prefix: &Prefix,
        shard: u32,
        tag: u64,
        now: Timestamp,
    ) -> Result<(u64, u64), Fault> {
        let mut live = 0;
        let next = self.shard(shard).lock()?.walk(tag, &mut Budget::STEP.clone(), |_, place| {
            live += u64::from(is_live(place.state.expires, now) && self.key_of(prefix, &place).is_some());
        })?;
        Ok((live, next))
    }

    fn cursor(&self, prefix: &Prefix, at: Position) -> Cursor {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&at.shard.to_le_bytes());
        // Below TAGS, or it would be the next shard.
        bytes[4..8].copy_from_slice(&(at.tag as u32).to_le_bytes());
        let check = self.cursor_check(prefix, &bytes[..8]);
        bytes[8..].copy_from_slice(&check.to_le_bytes());
        Cursor::from_bytes(bytes.to_vec())
    }

    fn position(&self, prefix: &Prefix, cursor: &Cursor) -> Option<Position> {
        if cursor.is_start() {
            return Some(Position { shard: 0, tag: 0 });
        }
        let bytes: &[u8; 16] = cursor.as_bytes().try_into().ok()?;
        let (at, check) = bytes.split_at(8);
        if self.cursor_check(prefix, at).to_le_bytes() != check {
            return None;
        }
        let (shard, tag) = at.split_at(4);
        let number = |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).ok();
        Some(Position { shard: number(shard)?, tag: u64::from(number(tag)?) })
    }

    /// Of this file and of this prefix.
    fn cursor_check(&self, prefix: &Prefix, at: &[u8]) -> u64 {
        xxh3_64_with_seed(&[prefix.as_str().as_bytes(), b":", at].concat(), self.id)
    }

    fn entry(&self, prefix: &Prefix, place: &Place<'_>, now: Timestamp) -> Option<Entry> {
        if !is_live(place.state.expires, now) {
            return None;
        }
        let key = Key::parse(&String::from_utf8(self.key_of(prefix, place)?).ok()?).ok()?;
        let entry = Entry::new(key).with_deadline(place.state.expires).with_revision(place.state.revision);
        Some(entry.with_size(place.head.data_len as u64))
    }

    /// The key, if it is of this prefix and undamaged.
    pub(crate) fn key_of(&self, prefix: &Prefix, place: &Place<'_>) -> Option<Vec<u8>> {
        let key = place.key(self.seed)?;
        let rest = key.strip_prefix(prefix.as_str().as_bytes());
        rest.is_some_and(|rest| rest.first() == Some(&b':')).then_some(key)
    }
}

#[cfg(test)]
mod tests {
    use session_core::{Condition, Record, Revision};

    use super::*;
    use crate::MmapConfig;
    use crate::layout::{doubled, shard};
    use crate::ops::Ops;
    use crate::protocol::Words;

    fn scene(directory: &tempfile::TempDir, count: u64) -> (Area, Ops) {
        let config = MmapConfig::new(directory.path().join("map")).max_bytes(8 << 20).shards(2);
        let area = crate::open::open(&config).unwrap();
        let ops = Ops::new(&area, config.on_full, config.clock).patient();
        for n in 0..count {
            let record = Record::new("data", None, Revision::from_bytes(n.to_le_bytes()));
            let key = Key::parse(&format!("test:{n}")).unwrap();
            assert!(ops.store(&key, &record, Condition::Absent).unwrap().is_applied());
        }
        (area, ops)
    }

    #[test]
    fn a_number_of_records_that_is_too_small_hides_none() {
        let directory = tempfile::tempdir().unwrap();
        let (area, ops) = scene(&directory, 10);
        for number in 0..2 {
            area.shard(number).head.set(shard::COUNT, doubled(0));
        }
        let page = ops.page(&Prefix::new("test").unwrap(), &Cursor::start(), 100).unwrap();
        assert_eq!(page.entries.len(), 10);
    }

    #[test]
    fn a_page_looks_at_about_a_thousand_records_even_if_it_stays_empty() {
        const COUNT: u64 = 6_000;
        let directory = tempfile::tempdir().unwrap();
        let (_, ops) = scene(&directory, COUNT);
        let (mut cursor, mut pages) = (Some(Cursor::start()), 0);
        while let Some(from) = cursor {
            let page = ops.page(&Prefix::SESSION, &from, usize::MAX).unwrap();
            assert!(page.entries.is_empty());
            cursor = page.next;
            pages += 1;
        }
        assert!((5..=7).contains(&pages), "{pages} pages over {COUNT} records");
    }
}
