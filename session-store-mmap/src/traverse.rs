//! Walking over a shard, and the pages of a traversal.

use session_core::{Cursor, Entry, Key, Page, Prefix, is_live};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::error::Fault;
use crate::file::SessionFile;
use crate::shard::{Located, Locked};
use crate::table::{EMPTY, TAGS, tag_of, unit_of};

/// How much a walk may look at: a slot costs about 1 ns, the record behind it about 100 ns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) slots: usize,
    pub(crate) records: usize,
}

impl Budget {
    /// Under one lock, and before other tasks of the runtime run. Also for one page, even if it stays empty.
    pub(crate) const STEP: Self = Self { slots: 16_384, records: 256 };
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
    /// Visits the records with tags from `from` until the budget is spent, then those up to the next empty slot.
    /// Returns the tag to continue with; [`TAGS`] is the end.
    ///
    /// No record behind an empty slot has its home before it. So all records below the returned tag were visited,
    /// wherever they or later ones move afterwards.
    pub(crate) fn walk(
        &self,
        from: u64,
        budget: &mut Budget,
        mut visit: impl FnMut(Located<'a>),
    ) -> Result<u64, Fault> {
        let Some(table) = self.table()? else { return Ok(TAGS) };
        if from >= TAGS {
            return Ok(TAGS);
        }
        for slot in table.home(from)..table.len() {
            let word = table.get(slot);
            budget.slots = budget.slots.saturating_sub(1);
            if word == EMPTY {
                if budget.is_spent() {
                    return Ok(table.first_tag_behind(slot));
                }
                continue;
            }
            let Some(unit) = unit_of(word).filter(|_| tag_of(word) >= from) else { continue };
            if let Some(record) = self.locate(slot, unit) {
                budget.records = budget.records.saturating_sub(1);
                visit(record);
            }
        }
        Ok(TAGS)
    }
}

impl Located<'_> {
    /// The key, if it is undamaged and in this prefix.
    pub(crate) fn key_in(&self, prefix: &Prefix, seed: u64) -> Option<Vec<u8>> {
        let key = self.key(seed)?;
        let rest = key.strip_prefix(prefix.as_str().as_bytes());
        rest.is_some_and(|rest| rest.first() == Some(&b':')).then_some(key)
    }

    fn entry(&self, prefix: &Prefix, seed: u64) -> Option<Entry> {
        let key = Key::parse(std::str::from_utf8(&self.key_in(prefix, seed)?).ok()?).ok()?;
        let entry = Entry::new(key).with_deadline(self.state.deadline).with_revision(self.state.revision);
        Some(entry.with_size(self.head.data_len as u64))
    }
}

/// Where a traversal continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    shard: u32,
    tag: u64,
}

impl SessionFile {
    pub(crate) fn page(&self, prefix: &Prefix, from: &Cursor, limit: usize) -> Result<Page, Fault> {
        let now = self.clock.now();
        let mut at = self.position(prefix, from).ok_or(Fault::Cursor)?;
        let mut entries = Vec::new();
        let mut left = Budget::STEP;
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
            // Not more records than are still wanted: most are of the prefix.
            let records = limit.saturating_sub(entries.len()).clamp(1, Budget::STEP.records);
            let step = Budget { records, ..Budget::STEP };
            let mut rest = step;
            at.tag = locked.walk(at.tag, &mut rest, |record| {
                if is_live(record.state.deadline, now) {
                    entries.extend(record.entry(prefix, self.seed));
                }
            })?;
            left = left.less(step, rest);
            if at.tag >= TAGS {
                at = Position { shard: at.shard + 1, tag: 0 };
            }
        }
        Ok(Page::last(entries))
    }

    /// Shard, tag, and a check that only this file and prefix have.
    fn cursor(&self, prefix: &Prefix, at: Position) -> Cursor {
        // A tag of TAGS would be the next shard.
        let at = [at.shard.to_le_bytes(), (at.tag as u32).to_le_bytes()].concat();
        let check = self.cursor_check(prefix, &at).to_le_bytes();
        Cursor::from_bytes([&at[..], &check].concat())
    }

    fn position(&self, prefix: &Prefix, cursor: &Cursor) -> Option<Position> {
        if cursor.is_start() {
            return Some(Position { shard: 0, tag: 0 });
        }
        let (at, check) = cursor.as_bytes().split_at_checked(8)?;
        if self.cursor_check(prefix, at).to_le_bytes() != check {
            return None;
        }
        let (shard, tag) = at.split_at(4);
        let number = |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).ok();
        Some(Position { shard: number(shard)?, tag: u64::from(number(tag)?) })
    }

    fn cursor_check(&self, prefix: &Prefix, at: &[u8]) -> u64 {
        xxh3_64_with_seed(&[prefix.as_str().as_bytes(), b":", at].concat(), self.id)
    }
}
