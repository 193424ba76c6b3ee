//! Removing expired records, and making room: by a purge, by compaction, and by eviction where the options allow it.

use session_core::{OnFull, Prefix, Timestamp, is_live};

use crate::error::Fault;
use crate::file::SessionFile;
use crate::layout::shard;
use crate::protocol::Words;
use crate::shard::{Locked, Shard};
use crate::table::TAGS;
use crate::traverse::Budget;

/// Among how many sessions an eviction chooses.
const WINDOW: usize = 4096;

/// A walk over a shard that removes expired records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Purge {
    tag: u64,
    /// The number of this walk. A later walk, or a repair, has another.
    scan: u64,
    /// The earliest deadline among the records that stay.
    least: u64,
}

impl Purge {
    fn begin(locked: &Locked<'_>) -> Self {
        let scan = locked.head.get(shard::SCAN).wrapping_add(1);
        locked.head.set(shard::SCAN, scan);
        locked.head.set(shard::FRESH, u64::MAX);
        Self { tag: 0, scan, least: u64::MAX }
    }

    /// Removes at most `limit` records among the next ones. The second value is `None` at the end of the shard.
    fn step(mut self, locked: &Locked<'_>, limit: u64, now: Timestamp) -> Result<(u64, Option<Self>), Fault> {
        let (mut removed, mut fault) = (0, None);
        let least = &mut self.least;
        self.tag = locked.walk(self.tag, &mut Budget::STEP.clone(), |record| {
            if is_live(record.state.deadline, now) || removed >= limit || fault.is_some() {
                *least = (*least).min(record.state.deadline_word());
                return;
            }
            match locked.delete_slot(record.slot, Some(record.head.units)) {
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
        // Where another walk began meanwhile, `FRESH` covers only what was written since that one began.
        if locked.head.get(shard::SCAN) == self.scan {
            locked.head.set(shard::DUE, self.least.min(locked.head.get(shard::FRESH)));
        }
        Ok((removed, None))
    }
}

impl SessionFile {
    /// One step of a purge of one shard, from the beginning or where the last step ended.
    pub(crate) fn purge_step(
        &self,
        number: u32,
        under_way: Option<Purge>,
        limit: u64,
    ) -> Result<(u64, Option<Purge>), Fault> {
        let now = self.clock.now();
        let shard = self.shard(number);
        if under_way.is_none() && !shard.is_due(now) {
            return Ok((0, None));
        }
        let locked = shard.lock()?;
        under_way.unwrap_or_else(|| Purge::begin(&locked)).step(&locked, limit, now)
    }

    /// Makes room for a store into shard `first`: purges, else compacts, else evicts, in that shard first. `spare` is
    /// the hash of the key that is being stored. `false` if no shard can give room; `Busy` if only locked shards may.
    pub(crate) fn make_room(&self, first: u32, spare: u64, now: Timestamp) -> Result<bool, Fault> {
        type Means<'a> = (fn(&Shard<'_>, Timestamp) -> bool, &'a dyn Fn(&Locked<'_>) -> Result<bool, Fault>);
        let evicts = self.on_full == OnFull::Evict;
        let all: [Means<'_>; 3] = [
            (|shard, now| shard.is_due(now), &|locked| locked.purge_all(now)),
            (|shard, _| shard.could_shrink(), &|locked| locked.shrink()),
            (|shard, _| !shard.is_unused(), &|locked| locked.evict(spare)),
        ];
        let mut busy = false;
        for (is_worth_it, make) in &all[..if evicts { 3 } else { 2 }] {
            for step in 0..self.geometry.shards {
                let shard = self.shard((first + step) & (self.geometry.shards - 1));
                if !is_worth_it(&shard, now) {
                    continue;
                }
                match shard.lock().and_then(|locked| make(&locked)) {
                    Err(Fault::Busy) => busy = true,
                    Ok(false) => {}
                    done => return done,
                }
            }
        }
        if busy { Err(Fault::Busy) } else { Ok(false) }
    }
}

impl Shard<'_> {
    /// Whether there seems to be more dead room than an extent.
    fn could_shrink(&self) -> bool {
        let units = self.file.geometry.units_per_extent();
        let all = self.head.get(shard::EXTENTS).saturating_mul(units);
        all > self.head.get(shard::LIVE).saturating_add(2 * units)
    }
}

impl Locked<'_> {
    /// Removes all expired records. `true` if there were any.
    fn purge_all(&self, now: Timestamp) -> Result<bool, Fault> {
        let (mut purge, mut total) = (Some(Purge::begin(self)), 0);
        while let Some(under_way) = purge {
            let (removed, rest) = under_way.step(self, u64::MAX, now)?;
            total += removed;
            purge = rest;
        }
        if total > 0 {
            self.shrink_if_free()?;
        }
        Ok(total > 0)
    }

    /// Compacts after records were removed. Their room is free even where the lock of the extents is taken.
    fn shrink_if_free(&self) -> Result<(), Fault> {
        match self.shrink() {
            Ok(_) | Err(Fault::Busy) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// Removes the least recently used sixteenth of the sessions, at least one, except the one with the hash `spare`.
    /// A large shard is searched some thousands of sessions at a time. `false` if there is no other session.
    fn evict(&self, spare: u64) -> Result<bool, Fault> {
        let whole = self.count() as usize <= WINDOW;
        let most = if whole { Budget::ALL } else { Budget { records: WINDOW, ..Budget::ALL } };
        let mut from = if whole { 0 } else { self.head.get(shard::EVICT).min(TAGS - 1) };
        let mut turns = 0;
        while turns < 2 {
            let mut sessions = Vec::new();
            let next = self.walk(from, &mut most.clone(), |record| {
                if record.head.hash != spare && record.key_in(&Prefix::SESSION, self.file.seed).is_some() {
                    sessions.push((record.head.last_used, record.slot, record.head.units));
                }
            })?;
            from = if next >= TAGS { 0 } else { next };
            turns += usize::from(next >= TAGS);
            sessions.sort_unstable();
            for &(_, slot, units) in sessions.iter().take((sessions.len() / 16).max(1)) {
                self.delete_slot(slot, Some(units))?;
            }
            if !sessions.is_empty() {
                self.head.set(shard::EVICT, from);
                self.shrink_if_free()?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}
