//! Room for records within a shard, under its lock.
//!
//! A shard fills one extent after the other. Pieces that became free are kept in a short list and used again for
//! records of their length, which keeps the memory that is in use small and warm; what the list forgets, a
//! compaction finds. None of this has to survive a crash: it is counted anew from the table.

use crate::error::Fault;
use crate::extent::Spare;
use crate::layout::record::MIN_UNITS;
use crate::layout::{ExtentWord, Use, shard};
use crate::protocol::Words;
use crate::shard::Locked;

impl Locked<'_> {
    /// Room for a record of so many units, or `None`.
    pub(crate) fn allocate(&self, units: u64, spare: Spare) -> Result<Option<u64>, Fault> {
        let geometry = &self.area.geometry;
        if units > geometry.most_small_units() {
            let Ok(run) = u32::try_from(geometry.run_of(units)) else { return Ok(None) };
            let first = self.area.claim(Use::Large, self.number, run, spare)?;
            return Ok(first.map(|first| geometry.first_unit(first)));
        }
        if let Some(unit) =
            self.reuse(units, true).or_else(|| self.fill(units)).or_else(|| self.reuse(units, false))
        {
            self.count_live(unit, units, true);
            return Ok(Some(unit));
        }
        // While half of what the shard has is dead, it gets nothing more.
        if self.is_sparse() {
            self.compact(units)?;
        } else {
            self.next_extent(spare)?;
        }
        for _ in 0..4 {
            if let Some(unit) = self.fill(units).or_else(|| self.reuse(units, false)) {
                self.count_live(unit, units, true);
                return Ok(Some(unit));
            }
            if !self.next_extent(spare)? && !self.compact(units)? {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// Room behind what is filled of the current extent.
    pub(crate) fn fill(&self, units: u64) -> Option<u64> {
        let extent = self.current()?;
        let filled = self.head.get(shard::FILLED);
        if filled > self.area.geometry.units_per_extent()
            || units > self.area.geometry.units_per_extent() - filled
        {
            return None;
        }
        self.head.set(shard::FILLED, filled + units);
        Some(self.area.geometry.first_unit(extent) + filled)
    }

    /// Gives the shard a fresh extent to fill; `false` if there is none.
    pub(crate) fn next_extent(&self, spare: Spare) -> Result<bool, Fault> {
        let Some(extent) = self.area.claim(Use::Small, self.number, 1, spare)? else { return Ok(false) };
        self.close_current();
        self.head.set(shard::FILLED, 0);
        self.head.set(shard::CURRENT, u64::from(extent) + 1);
        self.raise(shard::EXTENTS, 1);
        Ok(true)
    }

    pub(crate) fn current(&self) -> Option<u32> {
        u32::try_from(self.head.get(shard::CURRENT).checked_sub(1)?).ok()
    }

    /// What is left of the current extent goes into the list; an extent without a record goes back.
    fn close_current(&self) {
        let Some(extent) = self.current() else { return };
        let filled = self.head.get(shard::FILLED);
        let units = self.area.geometry.units_per_extent();
        self.head.set(shard::CURRENT, 0);
        if filled < units {
            self.remember(self.area.geometry.first_unit(extent) + filled, units - filled);
        }
        self.release_if_dead(extent);
    }

    /// Gives back the room of a record that nothing leads to, after the stamp has moved.
    pub(crate) fn free(&self, unit: u64, units: u64) {
        let extent = self.area.geometry.extent_of(unit);
        if units > self.area.geometry.most_small_units() {
            self.area.release(extent, self.area.geometry.run_of(units) as u32);
            return;
        }
        self.count_live(unit, units, false);
        if !self.release_if_dead(extent) {
            self.remember(unit, units);
        }
    }

    pub(crate) fn release_if_dead(&self, extent: u32) -> bool {
        let dead = self.area.extent_word(extent).is_some_and(|word| word.live == 0);
        if !dead || self.current() == Some(extent) {
            return false;
        }
        self.forget(extent);
        self.lower(shard::EXTENTS, 1);
        self.area.release(extent, 1);
        true
    }

    pub(crate) fn count_live(&self, unit: u64, units: u64, more: bool) {
        let extent = self.area.geometry.extent_of(unit);
        let Some(word) = self.area.extent_word(extent) else { return };
        let live = if more { word.live + units } else { word.live.saturating_sub(units) };
        self.area.set_extent_word(extent, ExtentWord { live, ..word });
        if more {
            self.raise(shard::LIVE, units);
        } else {
            self.lower(shard::LIVE, units);
        }
    }

    /// Units in extents of this shard that no record takes, those that are still to be filled aside.
    pub(crate) fn dead_units(&self) -> u64 {
        let units = self.area.geometry.units_per_extent();
        let to_fill = self.current().map_or(0, |_| units.saturating_sub(self.head.get(shard::FILLED)));
        let all = self.head.get(shard::EXTENTS).saturating_mul(units);
        all.saturating_sub(self.head.get(shard::LIVE)).saturating_sub(to_fill)
    }

    fn is_sparse(&self) -> bool {
        self.dead_units() > self.head.get(shard::LIVE).saturating_add(self.area.geometry.units_per_extent())
    }

    /// A piece of the list: one of just this length, or the shortest that is longer.
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

    fn remember(&self, unit: u64, units: u64) {
        if units < MIN_UNITS {
            return;
        }
        let count = self.freed_count();
        if count < shard::FREED_MAX {
            self.head.set(shard::FREED + count, unit | units << 32);
            self.head.set(shard::FREED_COUNT, count as u64 + 1);
        } else {
            // Any but the newest: where pieces of many lengths come and go, none is worth more than another.
            let at = unit as usize % (shard::FREED_MAX - 1);
            self.head.set(shard::FREED + at, unit | units << 32);
        }
    }

    /// Takes the pieces of an extent from the list.
    pub(crate) fn forget(&self, extent: u32) {
        let mut kept = 0;
        for at in 0..self.freed_count() {
            let piece = self.head.get(shard::FREED + at);
            if self.area.geometry.extent_of(piece & 0xffff_ffff) != extent {
                self.head.set(shard::FREED + kept, piece);
                kept += 1;
            }
        }
        self.head.set(shard::FREED_COUNT, kept as u64);
    }

    fn freed_count(&self) -> usize {
        (self.head.get(shard::FREED_COUNT) as usize).min(shard::FREED_MAX)
    }
}
