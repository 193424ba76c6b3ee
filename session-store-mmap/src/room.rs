//! How room is made: expired records go, sparse extents are given back, and where the store may, the sessions that were
//! not used for longest go too.

use session_core::{Prefix, Timestamp, is_live};

use crate::area::Area;
use crate::config::OnFull;
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
    /// Makes room after a store into shard `first` found none. `false` if there is nothing to make it of; busy if nothing
    /// but shards that others hold may have some.
    pub(crate) fn free_space(
        &self,
        first: u32,
        spare: u64,
        on_full: OnFull,
        now: Timestamp,
    ) -> Result<bool, Fault> {
        let around = || (0..self.geometry.shards).map(|step| (first + step) & (self.geometry.shards - 1));
        let mut busy = false;
        let mut is_made = |tried: Result<bool, Fault>| match tried {
            Err(Fault::Busy) => {
                busy = true;
                Ok(false)
            }
            tried => tried,
        };
        for shard in around().map(|number| self.shard(number)) {
            if shard.is_due(now) && is_made(shard.lock().and_then(|locked| locked.purge_all(now)))? {
                return Ok(true);
            }
        }
        for shard in around().map(|number| self.shard(number)) {
            if shard.could_shrink() && is_made(shard.lock().and_then(|locked| locked.shrink()))? {
                return Ok(true);
            }
        }
        if on_full == OnFull::Evict {
            for shard in around().map(|number| self.shard(number)) {
                if !shard.is_unused() && is_made(shard.lock().and_then(|locked| locked.evict(spare)))? {
                    return Ok(true);
                }
            }
        }
        if busy { Err(Fault::Busy) } else { Ok(false) }
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
            self.give_back()?;
        }
        Ok(total > 0)
    }

    /// Gives sparse extents back after something has gone, whose room is there even if this comes to nothing because
    /// somebody holds the lock of the extents.
    fn give_back(&self) -> Result<(), Fault> {
        match self.shrink() {
            Ok(_) | Err(Fault::Busy) => Ok(()),
            Err(fault) => Err(fault),
        }
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
                self.give_back()?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use session_core::{Clock, Condition, Key, Record, Revision, TestClock};

    use super::*;
    use crate::MmapConfig;
    use crate::layout::doubled;
    use crate::ops::Ops;

    /// Sessions in both of two shards, the last of which expire.
    fn scene(directory: &tempfile::TempDir, clock: &TestClock) -> (Area, Ops) {
        let config =
            MmapConfig::new(directory.path().join("map")).max_bytes(512 << 10).extent_bytes(4096).shards(2);
        let config = config.clock(Arc::new(clock.clone()));
        let area = crate::open::open(&config).unwrap();
        let ops = Ops::new(&area, config.on_full, config.clock).patient();
        for n in 0..40_u64 {
            let expires = (n >= 20).then(|| Timestamp::from_millis(2_000_000));
            let record = Record::new(vec![1; 900], expires, Revision::from_bytes(n.to_le_bytes()));
            let key = Key::parse(&format!("session:{n:0>43}")).unwrap();
            assert!(ops.store(&key, &record, Condition::Absent).unwrap().is_applied());
        }
        (area, ops)
    }

    #[test]
    fn room_is_made_of_other_shards_while_one_is_held() {
        let directory = tempfile::tempdir().unwrap();
        let clock = TestClock::new(Timestamp::from_millis(1_000_000));
        let (area, _) = scene(&directory, &clock);
        let now = Timestamp::from_millis(2_000_000);
        let held = area.shard(0).lock().unwrap();
        assert!(area.free_space(0, 0, OnFull::Reject, now).unwrap());
        let rest = || area.free_space(0, 0, OnFull::Reject, now);
        while rest().is_ok_and(|made| made) {}
        assert!(matches!(rest(), Err(Fault::Busy)), "the shard that is held may have some");
        assert!(area.free_space(0, 0, OnFull::Evict, now).unwrap());
        drop(held);
        assert!(rest().unwrap());
    }

    #[test]
    fn a_number_of_records_that_is_too_small_hides_no_session_from_eviction() {
        let directory = tempfile::tempdir().unwrap();
        let clock = TestClock::new(Timestamp::from_millis(1_000_000));
        let (area, _) = scene(&directory, &clock);
        for number in 0..2 {
            area.shard(number).head.set(shard::COUNT, doubled(0));
        }
        assert!(area.free_space(0, 0, OnFull::Evict, clock.now()).unwrap());
    }

    #[test]
    fn a_time_of_purging_that_cannot_be_is_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        let clock = TestClock::new(Timestamp::from_millis(1_000_000));
        let (area, ops) = scene(&directory, &clock);
        // What is due is known from here on.
        let purge = || (0..2).map(|number| ops.purge_step(number, None, 100).unwrap().0).sum::<u64>();
        assert_eq!(purge(), 0);
        let again = Key::parse(&format!("session:{:0>43}", 20)).unwrap();
        let record = ops.retrieve(&again).unwrap().unwrap();
        assert!(ops.store(&again, &record, Condition::Any).unwrap().is_applied());
        clock.set(Timestamp::from_millis(2_000_000));
        let shards = [area.shard(0), area.shard(1)];
        let written = shards.iter().find(|shard| shard.head.get(shard::FRESH) == 2_000_000).unwrap();
        written.head.set(shard::DUE, 1 << 50);
        assert!(shards.iter().all(|shard| shard.is_due(clock.now())));
        assert_eq!(purge(), 20);
        assert!(!shards.iter().any(|shard| shard.is_due(clock.now())));
    }
}
