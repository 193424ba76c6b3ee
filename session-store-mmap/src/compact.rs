//! Compaction: the live records of a sparse extent move to another, and it becomes free.

use crate::error::Fault;
use crate::extent::Spare;
use crate::layout::{ExtentWord, Use, shard};
use crate::protocol::{Words, publish};
use crate::record::bury;
use crate::shard::Locked;
use crate::table::{slot, tag_of, unit_of};

impl Locked<'_> {
    /// Empties the sparsest extent of this shard; `false` if that would not make room for `units`.
    ///
    /// Each record is copied whole and its slot flipped by one word; it counts in the new place from then on. Killed at
    /// any point, this leaves every record in one place or the other, and what nothing leads to is free once the next
    /// owner has counted.
    pub(crate) fn compact(&self, units: u64) -> Result<bool, Fault> {
        let all = self.area.geometry.units_per_extent();
        let Some((victim, live)) = self.sparsest() else { return Ok(false) };
        if live + units > all {
            return Ok(false);
        }
        self.forget(victim);
        let Some(table) = self.table()? else { return Ok(false) };
        for index in 0..table.len() {
            let word = table.get(index);
            let Some(unit) = unit_of(word).filter(|&unit| self.area.geometry.extent_of(unit) == victim)
            else {
                continue;
            };
            let Some((head, span)) = self.area.head(unit) else {
                // Nobody knows how long it is: the extent stays until the next owner has counted.
                self.head.set(shard::DIRTY, 1);
                return Ok(false);
            };
            let Some(to) = self.fill_somewhere(head.units)? else { return Ok(false) };
            let Some(target) = self.area.units(to, head.units) else { return Ok(false) };
            self.note_unit(shard::NEW, to);
            self.note_unit(shard::OLD, unit);
            head.copy(&span, &target, self.area.seed, to);
            let (words, at) = table.word(index);
            publish(words, at, slot(tag_of(word), to));
            self.retire();
            bury(&span);
            self.count_live(to, head.units, true);
            self.count_live(unit, head.units, false);
            self.note_nothing();
        }
        self.release_if_dead(victim);
        Ok(true)
    }

    fn fill_somewhere(&self, units: u64) -> Result<Option<u64>, Fault> {
        match self.fill(units) {
            None if self.next_extent(Spare::Take)? => Ok(self.fill(units)),
            room => Ok(room),
        }
    }

    /// The extent with the fewest live units, the current one aside.
    fn sparsest(&self) -> Option<(u32, u64)> {
        let current = self.current();
        let mut best: Option<(u32, u64)> = None;
        for extent in 0..self.area.grown() {
            let Some(ExtentWord { usage: Use::Small, shard, live }) = self.area.extent_word(extent) else {
                continue;
            };
            let sparser = best.is_none_or(|(_, fewest)| live < fewest);
            if shard == self.number && Some(extent) != current && sparser {
                best = Some((extent, live));
            }
        }
        best
    }
}
