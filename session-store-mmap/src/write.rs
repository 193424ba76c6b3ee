//! How one record of a locked shard is written, removed and touched, and how its table grows.

use crate::error::Fault;
use crate::file::{Reserve, SessionFile};
use crate::layout::{TableWord, Use, WORD, shard, table as table_layout};
use crate::protocol::{Words, prepare, publish};
use crate::record::{Draft, State, invalidate};
use crate::shard::{Located, Locked, Lookup};
use crate::table::{EMPTY, REMOVED, slot, tag, unit_of};
use session_core::Timestamp;

impl Locked<'_> {
    /// Writes a record where `look` found its key, or a slot for it. `false` without room; then nothing changed.
    pub(crate) fn put(&self, look: &Lookup<'_>, draft: &Draft<'_>, now: Timestamp) -> Result<bool, Fault> {
        let at = match look {
            Lookup::Found(Located { slot, .. }) | Lookup::Damaged(slot) => *slot,
            Lookup::Missing(free) => match self.slot_for(draft.hash, *free)? {
                Some(slot) => slot,
                None => return Ok(false),
            },
        };
        let mut unit = self.allocate(draft.units, Reserve::Keep)?;
        if let (None, Lookup::Found(old)) = (unit, look)
            && draft.units <= old.head.units
        {
            // A full file still replaces a record by one of its size: the old one's room is free right after.
            unit = self.allocate(draft.units, Reserve::Use)?;
        }
        let Some(unit) = unit else { return Ok(false) };
        let Some(span) = self.file.units(unit, draft.units) else {
            self.head.set(shard::DIRTY, 1);
            return Err(Fault::Damaged("the extents of a shard"));
        };
        self.note_deadline(draft.state.deadline_word());
        self.note_unit(shard::NEW, unit);
        draft.write(&span, self.file.seed, unit, now.as_millis());
        let Some(table) = self.table()? else { return Err(Fault::Damaged("the table of a shard")) };
        // A compaction in `allocate` may have moved the old record, but not its slot.
        let old = table.get(at);
        if let Some(old) = unit_of(old) {
            self.note_unit(shard::OLD, old);
        }
        table.publish(at, slot(tag(draft.hash), unit));
        self.bump();
        match look {
            Lookup::Missing(_) => {
                self.set_count(self.count() + 1);
                if old == REMOVED {
                    self.lower(shard::REMOVED_SLOTS, 1);
                }
            }
            Lookup::Found(replaced) => self.free_old(old, replaced.head.units),
            Lookup::Damaged(_) => self.free_damaged(),
        }
        self.clear_notes();
        Ok(true)
    }

    /// Removes what `look` found.
    pub(crate) fn delete(&self, look: &Lookup<'_>) -> Result<(), Fault> {
        match look {
            Lookup::Missing(_) => Ok(()),
            Lookup::Found(record) => self.delete_slot(record.slot, Some(record.head.units)),
            Lookup::Damaged(slot) => self.delete_slot(*slot, None),
        }
    }

    /// Removes the record of a slot. A damaged record has no known length.
    pub(crate) fn delete_slot(&self, slot: usize, units: Option<u64>) -> Result<(), Fault> {
        let Some(table) = self.table()? else { return Err(Fault::Damaged("the table of a shard")) };
        let old = table.get(slot);
        if let Some(old) = unit_of(old) {
            self.note_unit(shard::OLD, old);
        }
        // First, so that a crash leaves a count that is too small and no loss is reported.
        self.set_count(self.count().saturating_sub(1));
        if slot + 1 < table.len() && table.get(slot + 1) == EMPTY {
            table.publish(slot, EMPTY);
            // Removed slots in front of an empty one stop no search.
            let mut before = slot;
            while before > 0 && table.get(before - 1) == REMOVED {
                before -= 1;
                table.publish(before, EMPTY);
                self.lower(shard::REMOVED_SLOTS, 1);
            }
        } else {
            table.publish(slot, REMOVED);
            self.raise(shard::REMOVED_SLOTS, 1);
        }
        self.bump();
        match units {
            Some(units) => self.free_old(old, units),
            None => self.free_damaged(),
        }
        self.clear_notes();
        Ok(())
    }

    /// Gives a record another deadline and revision.
    pub(crate) fn touch(&self, record: &Located<'_>, state: &State, now: Timestamp) {
        self.note_deadline(state.deadline_word());
        record.head.touch(&record.span, self.file.seed, state);
        self.bump();
        self.note_use(record, now);
    }

    fn free_old(&self, old: u64, units: u64) {
        let Some(unit) = unit_of(old) else { return };
        if let Some(span) = self.file.units(unit, 2) {
            invalidate(&span);
        }
        self.free(unit, units);
    }

    /// The length of a damaged record is unknown. The next owner of the lock counts what is in use.
    fn free_damaged(&self) {
        self.head.set(shard::DIRTY, 1);
    }

    /// A slot for a new key: `free`, unless the table is too full.
    pub(crate) fn slot_for(&self, hash: u64, free: Option<usize>) -> Result<Option<usize>, Fault> {
        if let (Some(slot), Some(table)) = (free, self.table()?) {
            let taken = u64::from(self.count()) + self.head.get(shard::REMOVED_SLOTS);
            // A crowded table is slower and still correct.
            if (taken + 1) * 4 <= table.capacity() as u64 * 3 || !self.rebuild_table()? {
                return Ok(Some(slot));
            }
        } else if !self.rebuild_table()? {
            return Ok(None);
        }
        let Some(table) = self.table()? else { return Ok(None) };
        let mut slots = table.home(tag(hash))..table.len();
        Ok(slots.find(|&slot| unit_of(table.get(slot)).is_none()))
    }

    /// Makes a new table with room for twice the records, and publishes it. `false` if the file has no extents for it.
    fn rebuild_table(&self) -> Result<bool, Fault> {
        let old = self.table()?;
        let old_word = TableWord::unpack(self.head.get(shard::TABLE));
        let mut run = self.file.run_for(u64::from(self.count()) + 1);
        // A probe without an end asks for a larger table even if few slots are taken.
        for _ in 0..4 {
            let Some(first) = self.file.claim(Use::Table, self.number, run, Reserve::Keep)? else {
                return Ok(false);
            };
            let generation = old_word.map_or(0, |word| word.generation.wrapping_add(1));
            let word = TableWord { first, run, generation };
            let Some(table) = self.file.table(word) else {
                return Err(Fault::Damaged("the extents of a shard"));
            };
            prepare(&self.head);
            table.clear();
            table.label(self.number, word);
            let mut slots = old.iter().flat_map(|old| (0..old.len()).map(|slot| old.get(slot)));
            if slots.all(|value| unit_of(value).is_none() || table.fill(value)) {
                publish(&self.head, shard::TABLE, word.pack());
                self.bump();
                self.head.set(shard::REMOVED_SLOTS, 0);
                if let (Some(old), Some(word)) = (&old, old_word) {
                    old.invalidate();
                    self.file.release(word.first, word.run);
                }
                return Ok(true);
            }
            // The repair of a damaged table word searches for labels and must not find this one.
            table.invalidate();
            self.file.release(first, run);
            match TableWord::larger(run) {
                Some(larger) => run = larger,
                None => break,
            }
        }
        Ok(false)
    }
}

impl SessionFile {
    /// How many extents a table takes in which `count` records fill less than half of the slots.
    fn run_for(&self, count: u64) -> u32 {
        let bytes = (count * 2 + (table_layout::SLOTS + table_layout::TAIL) as u64) * WORD;
        bytes.div_ceil(self.geometry.extent_bytes).min(u64::from(TableWord::MOST)) as u32
    }
}
