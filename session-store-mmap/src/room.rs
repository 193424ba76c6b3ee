//! How room is made: expired records go, sparse extents are given back, and where the store may, the sessions that were
//! not used for longest go too.

use session_core::{Prefix, Timestamp, is_live};

use crate::area::Area;
use crate::config::WhenFull;
use crate::error::Fault;
use crate::layout::shard;
use crate::page::Budget;
use crate::protocol::Words;
use crate::shard::Locked;
use crate::table::TAGS;

/// How many sessions are compared to find those that were not used for longest.
const WINDOW: usize = 4096;

/// How many extents are emptied in one go at the most.
const SHRINKS: usize = 32;

/// A walk over a shard that removes what has expired.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Purge {
    tag: u64,
    scan: u64,
    /// The earliest deadline of what stays.
    least: u64,
}

impl Purge {
    pub(crate) fn begin(locked: &Locked<'_>) -> Self {
        let scan = locked.head.get(shard::SCAN).wrapping_add(1);
        locked.head.set(shard::SCAN, scan);
        locked.head.set(shard::FRESH, u64::MAX);
        Self { tag: 0, scan, least: u64::MAX }
    }

    /// Looks at some more and removes at most `limit`. `None` once it has come to the end.
    pub(crate) fn step(
        mut self,
        locked: &Locked<'_>,
        limit: u64,
        now: Timestamp,
    ) -> Result<(u64, Option<Self>), Fault> {
        let (mut removed, mut fault) = (0, None);
        let least = &mut self.least;
        self.tag = locked.walk(self.tag, &mut Budget::STEP.clone(), |slot, place| {
            if is_live(place.state.expires, now) || removed >= limit || fault.is_some() {
                *least = (*least).min(place.state.deadline());
                return;
            }
            match locked.delete(slot, Some(place.head.units)) {
                Ok(()) => removed += 1,
                Err(error) => fault = Some(error),
            }
        })?;
        if let Some(fault) = fault {
            return Err(fault);
        }
        if self.tag < TAGS {
            return Ok((removed, Some(self)));
        }
        // Unless another walk has begun meanwhile: then only that one knows what was written since.
        if locked.head.get(shard::SCAN) == self.scan {
            locked.head.set(shard::DUE, self.least.min(locked.head.get(shard::FRESH)));
        }
        Ok((removed, None))
    }
}

impl Area {
    /// Makes room after a store into shard `first` found none. `false` if there is nothing to make it of.
    pub(crate) fn make_room(
        &self,
        first: u32,
        spare: u64,
        when_full: WhenFull,
        now: Timestamp,
    ) -> Result<bool, Fault> {
        let around = || (0..self.geometry.shards).map(|step| (first + step) & (self.geometry.shards - 1));
        for number in around() {
            let shard = self.shard(number);
            if shard.is_due(now) && shard.lock()?.purge_all(now)? {
                return Ok(true);
            }
        }
        for number in around() {
            if self.shard(number).could_shrink() && self.shard(number).lock()?.shrink()? {
                return Ok(true);
            }
        }
        if when_full == WhenFull::Evict {
            for number in around() {
                if self.shard(number).count() > 0 && self.shard(number).lock()?.evict(spare)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

impl crate::shard::Shard<'_> {
    /// Whether there seems to be more dead room than an extent.
    fn could_shrink(&self) -> bool {
        let units = self.area.geometry.units_per_extent();
        let all = self.head.get(shard::EXTENTS).saturating_mul(units);
        all > self.head.get(shard::LIVE).saturating_add(2 * units)
    }
}

impl Locked<'_> {
    /// Removes everything that has expired; `true` if there was anything.
    fn purge_all(&self, now: Timestamp) -> Result<bool, Fault> {
        let (mut purge, mut total) = (Some(Purge::begin(self)), 0);
        while let Some(under_way) = purge {
            let (removed, rest) = under_way.step(self, u64::MAX, now)?;
            total += removed;
            purge = rest;
        }
        if total > 0 {
            self.shrink()?;
        }
        Ok(total > 0)
    }

    /// Gives sparse extents back; `true` if there are fewer afterwards.
    fn shrink(&self) -> Result<bool, Fault> {
        let before = self.head.get(shard::EXTENTS);
        // The first may only begin a new extent, or give back the holes of the current one; and a damaged one may not
        // be emptied at all.
        for _ in 0..SHRINKS {
            let extents = self.head.get(shard::EXTENTS);
            if self.dead_units() <= self.area.geometry.units_per_extent() || !self.compact(0)? {
                break;
            }
            if extents < before && self.head.get(shard::EXTENTS) >= extents {
                break;
            }
        }
        Ok(self.head.get(shard::EXTENTS) < before)
    }

    /// Removes a sixteenth of the sessions, or one: those that were not used for longest, among the whole shard or,
    /// where that is large, some thousands of it. `false` if there is none but the one with the hash `spare`.
    fn evict(&self, spare: u64) -> Result<bool, Fault> {
        let whole = self.count() as usize <= WINDOW;
        let most = if whole { Budget::ALL } else { Budget { records: WINDOW, ..Budget::ALL } };
        let mut from = if whole { 0 } else { self.head.get(shard::EVICT).min(TAGS - 1) };
        let mut turns = 0;
        while turns < 2 {
            let mut sessions = Vec::new();
            let next = self.walk(from, &mut most.clone(), |slot, place| {
                if place.head.hash != spare && self.area.key_of(&Prefix::SESSION, &place).is_some() {
                    sessions.push((place.head.used, slot, place.head.units));
                }
            })?;
            from = if next >= TAGS { 0 } else { next };
            turns += usize::from(next >= TAGS);
            sessions.sort_unstable();
            let few = (sessions.len() / 16).max(1);
            for &(_, slot, units) in sessions.iter().take(few) {
                self.delete(slot, Some(units))?;
            }
            if !sessions.is_empty() {
                self.head.set(shard::EVICT, from);
                self.shrink()?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}
