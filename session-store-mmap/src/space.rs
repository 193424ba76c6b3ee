//! Room for records within a locked shard: allocation, a list of free pieces, compaction.
//!
//! A shard fills one extent after the other. Freed pieces are kept in a short list and used again for records of their
//! length, which keeps the memory in use small and in the caches. A compaction finds the pieces that the list has no
//! room for. None of this has to survive a crash: the repair counts it again from the table.

use crate::error::Fault;
use crate::file::Reserve;
use crate::layout::record::MIN_UNITS;
use crate::layout::{ExtentWord, Use, shard};
use crate::protocol::Words;
use crate::record::invalidate;
use crate::shard::Locked;
use crate::table::{slot, tag_of, unit_of};

/// How many extents one call of [`Locked::shrink`] empties at most.
const SHRINKS: usize = 32;

impl Locked<'_> {
    /// The first unit of room for a record of so many units.
    pub(crate) fn allocate(&self, units: u64, reserve: Reserve) -> Result<Option<u64>, Fault> {
        let geometry = &self.file.geometry;
        if units > geometry.most_small_units() {
            let Ok(run) = u32::try_from(geometry.run_of(units)) else { return Ok(None) };
            let first = self.file.claim(Use::Large, self.number, run, reserve)?;
            return Ok(first.map(|first| geometry.first_unit(first)));
        }
        if let Some(unit) =
            self.reuse(units, true).or_else(|| self.fill(units)).or_else(|| self.reuse(units, false))
        {
            self.count_live(unit, units, true);
            return Ok(Some(unit));
        }
        // A shard that is half empty gets no more extents.
        if self.is_sparse() {
            self.compact(units)?;
        } else {
            self.next_extent(reserve)?;
        }
        for _ in 0..4 {
            if let Some(unit) = self.fill(units).or_else(|| self.reuse(units, false)) {
                self.count_live(unit, units, true);
                return Ok(Some(unit));
            }
            if !self.next_extent(reserve)? && !self.compact(units)? {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// Room behind the filled part of the current extent.
    fn fill(&self, units: u64) -> Option<u64> {
        let extent = self.current()?;
        let filled = self.head.get(shard::FILLED);
        let left = self.file.geometry.units_per_extent().checked_sub(filled)?;
        if units > left {
            return None;
        }
        self.head.set(shard::FILLED, filled + units);
        Some(self.file.geometry.first_unit(extent) + filled)
    }

    /// Gives the shard a new extent to fill. `false` if the file has none left.
    fn next_extent(&self, reserve: Reserve) -> Result<bool, Fault> {
        let Some(extent) = self.file.claim(Use::Small, self.number, 1, reserve)? else { return Ok(false) };
        self.close_current();
        self.head.set(shard::FILLED, 0);
        self.head.set(shard::CURRENT, u64::from(extent) + 1);
        self.raise(shard::EXTENTS, 1);
        Ok(true)
    }

    /// The extent that is being filled.
    pub(crate) fn current(&self) -> Option<u32> {
        u32::try_from(self.head.get(shard::CURRENT).checked_sub(1)?).ok()
    }

    /// Puts the rest of the current extent into the list, and releases an extent without a record.
    fn close_current(&self) {
        let Some(extent) = self.current() else { return };
        let filled = self.head.get(shard::FILLED);
        let units = self.file.geometry.units_per_extent();
        self.head.set(shard::CURRENT, 0);
        if filled < units {
            self.remember(self.file.geometry.first_unit(extent) + filled, units - filled);
        }
        self.release_if_dead(extent);
    }

    /// Frees the room of a record that no slot leads to, after the stamp has moved.
    pub(crate) fn free(&self, unit: u64, units: u64) {
        let extent = self.file.geometry.extent_of(unit);
        if units > self.file.geometry.most_small_units() {
            self.file.release(extent, self.file.geometry.run_of(units) as u32);
            return;
        }
        self.count_live(unit, units, false);
        if !self.release_if_dead(extent) {
            self.remember(unit, units);
        }
    }

    fn release_if_dead(&self, extent: u32) -> bool {
        let dead = self.file.extent_word(extent).is_some_and(|word| word.live == 0);
        if !dead || self.current() == Some(extent) {
            return false;
        }
        self.forget(extent);
        self.lower(shard::EXTENTS, 1);
        self.file.release(extent, 1);
        true
    }

    fn count_live(&self, unit: u64, units: u64, more: bool) {
        let extent = self.file.geometry.extent_of(unit);
        let Some(word) = self.file.extent_word(extent) else { return };
        let live = if more { word.live + units } else { word.live.saturating_sub(units) };
        self.file.set_extent_word(extent, ExtentWord { live, ..word });
        if more {
            self.raise(shard::LIVE, units);
        } else {
            self.lower(shard::LIVE, units);
        }
    }

    /// How many units in this shard's extents belong to no record and are not about to be filled.
    fn dead_units(&self) -> u64 {
        let units = self.file.geometry.units_per_extent();
        let to_fill = self.current().map_or(0, |_| units.saturating_sub(self.head.get(shard::FILLED)));
        let all = self.head.get(shard::EXTENTS).saturating_mul(units);
        all.saturating_sub(self.head.get(shard::LIVE)).saturating_sub(to_fill)
    }

    fn is_sparse(&self) -> bool {
        self.dead_units() > self.head.get(shard::LIVE).saturating_add(self.file.geometry.units_per_extent())
    }

    /// A piece of the list: one of exactly this length, or else the shortest longer one.
    fn reuse(&self, units: u64, exactly: bool) -> Option<u64> {
        let count = self.freed_count();
        let mut best: Option<(usize, u64)> = None;
        for at in (0..count).rev() {
            let length = self.head.get(shard::FREED + at) >> 32;
            if length == units {
                best = Some((at, length));
                break;
            }
            if !exactly && length > units && best.is_none_or(|(_, shortest)| length < shortest) {
                best = Some((at, length));
            }
        }
        let (at, length) = best?;
        let unit = self.head.get(shard::FREED + at) & 0xffff_ffff;
        self.head.set(shard::FREED + at, self.head.get(shard::FREED + count - 1));
        self.head.set(shard::FREED_COUNT, count as u64 - 1);
        if length > units {
            self.remember(unit + units, length - units);
        }
        Some(unit)
    }

    /// Adds a piece to the list.
    fn remember(&self, unit: u64, units: u64) {
        if units < MIN_UNITS {
            return;
        }
        let count = self.freed_count();
        if count < shard::FREED_MAX {
            self.head.set(shard::FREED + count, unit | units << 32);
            self.head.set(shard::FREED_COUNT, count as u64 + 1);
        } else {
            // Replaces any piece but the newest: no length is known to be worth more than another.
            let at = unit as usize % (shard::FREED_MAX - 1);
            self.head.set(shard::FREED + at, unit | units << 32);
        }
    }

    /// Takes the pieces of an extent from the list.
    fn forget(&self, extent: u32) {
        let mut kept = 0;
        for at in 0..self.freed_count() {
            let piece = self.head.get(shard::FREED + at);
            if self.file.geometry.extent_of(piece & 0xffff_ffff) != extent {
                self.head.set(shard::FREED + kept, piece);
                kept += 1;
            }
        }
        self.head.set(shard::FREED_COUNT, kept as u64);
    }

    fn freed_count(&self) -> usize {
        (self.head.get(shard::FREED_COUNT) as usize).min(shard::FREED_MAX)
    }

    /// Compacts sparse extents. `true` if the shard has fewer extents afterwards.
    pub(crate) fn shrink(&self) -> Result<bool, Fault> {
        let before = self.head.get(shard::EXTENTS);
        // The first compaction may only start a new extent or drop the holes of the current one. An extent with a
        // damaged record cannot be emptied at all.
        for _ in 0..SHRINKS {
            let extents = self.head.get(shard::EXTENTS);
            if self.dead_units() <= self.file.geometry.units_per_extent() || !self.compact(0)? {
                break;
            }
            if extents < before && self.head.get(shard::EXTENTS) >= extents {
                break;
            }
        }
        Ok(self.head.get(shard::EXTENTS) < before)
    }

    /// Moves all records out of the sparsest extent. `false` if that would not make room for `units`.
    ///
    /// Each record is copied whole, then one word makes its slot lead to the copy. After a crash at any point, every
    /// record is in one of the two places, and the next owner of the lock frees the other.
    fn compact(&self, units: u64) -> Result<bool, Fault> {
        let all = self.file.geometry.units_per_extent();
        let Some((victim, live)) = self.sparsest() else { return Ok(false) };
        if live + units > all {
            return Ok(false);
        }
        self.forget(victim);
        let Some(table) = self.table()? else { return Ok(false) };
        for index in 0..table.len() {
            let word = table.get(index);
            let Some(unit) = unit_of(word).filter(|&unit| self.file.geometry.extent_of(unit) == victim)
            else {
                continue;
            };
            let Some((head, span)) = self.file.head(unit) else {
                // The length is unknown: the extent stays until the next owner of the lock has counted.
                self.head.set(shard::DIRTY, 1);
                return Ok(false);
            };
            let to = match self.fill(head.units) {
                None if self.next_extent(Reserve::Use)? => self.fill(head.units),
                room => room,
            };
            let Some(to) = to else { return Ok(false) };
            let Some(target) = self.file.units(to, head.units) else { return Ok(false) };
            self.note_unit(shard::NEW, to);
            self.note_unit(shard::OLD, unit);
            head.copy(&span, &target, self.file.seed, to);
            table.publish(index, slot(tag_of(word), to));
            self.bump();
            invalidate(&span);
            self.count_live(to, head.units, true);
            self.count_live(unit, head.units, false);
            self.clear_notes();
        }
        self.release_if_dead(victim);
        Ok(true)
    }

    /// The extent with the fewest live units, except the current one.
    fn sparsest(&self) -> Option<(u32, u64)> {
        let current = self.current();
        let mut best: Option<(u32, u64)> = None;
        for extent in 0..self.file.grown() {
            let Some(ExtentWord { usage: Use::Small, shard, live }) = self.file.extent_word(extent) else {
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
