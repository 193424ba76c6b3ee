//! The repair of a shard whose last owner was killed, and the lock that repairs first.
//!
//! Only the table counts. A whole record in its place, with a slot that leads to it, is a record; everything else is
//! free. Free room, usage and counts are counted again.

use std::collections::{BTreeSet, HashMap};

use crate::error::Fault;
use crate::file::SessionFile;
use crate::layout::record::{HEAD_WORDS, NO_DEADLINE};
use crate::layout::{ExtentWord, TableWord, Use, doubled, hash, shard, superblock, undoubled};
use crate::protocol::{Words, publish};
use crate::record::{State, invalidate};
use crate::shard::{Locked, Shard};
use crate::table::{self, EMPTY, REMOVED, Table, labelled, tag, tag_of, unit_of};

/// How much of each record is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// All but the data. A record with damaged data stays, and reading it fails with `Corrupt`.
    Heads,
    /// The data too. After power loss, a record that did not reach the disk whole was never stored.
    Bodies,
}

impl<'a> Shard<'a> {
    /// Takes the lock, and repairs the shard if its last owner was killed within a change. A call in place leaves the
    /// repair to a worker thread.
    #[inline(always)]
    pub(crate) fn lock(self) -> Result<Locked<'a>, Fault> {
        let locked = self.lock_as_it_is()?;
        if self.head.get(shard::DIRTY) != 0 {
            if self.file.in_place {
                return Err(Fault::NeedsThread);
            }
            locked.repair();
        }
        Ok(locked)
    }

    /// The table's place. Where the table word is damaged, the labels in the extents say it: a table out of use has no
    /// label.
    pub(crate) fn find_table(&self) -> Option<TableWord> {
        let file = self.file;
        let word = self.head.get(shard::TABLE);
        if word == 0 && undoubled(self.head.get(shard::COUNT)) == Some(0) {
            return None;
        }
        let there = |extent: u32| {
            labelled_at(file, extent, self.number)
                .filter(|&word| word.first == extent && file.table(word).is_some())
        };
        let good = TableWord::unpack(word).filter(|&word| there(word.first) == Some(word));
        good.or_else(|| (0..file.grown()).filter_map(there).max_by_key(|word| word.generation))
    }
}

impl Locked<'_> {
    #[cold]
    fn repair(&self) {
        let lost = self.recount();
        self.file.count_repair(self.number, lost);
    }

    /// Counts everything in this shard again, and frees what no slot leads to. Returns how many records are lost.
    pub(crate) fn recount(&self) -> u64 {
        let file = self.file;
        let owns = |first: u32, run: u32, usage: Use| {
            let word = Some(ExtentWord::new(usage, self.number, 0));
            (first..first + run)
                .all(|extent| file.extent_word(extent).map(|word| ExtentWord { live: 0, ..word }) == word)
        };
        let is_ours = |word: ExtentWord| word.usage != Use::Free && word.shard == self.number;
        let survey = Survey::of(self, Depth::Heads, owns);
        // Readers may still read what the last owner had replaced.
        self.bump();
        // Only in this shard's extents: another shard may be writing in the others.
        survey.invalidate_orphans(self, |extent| file.extent_word(extent).is_some_and(is_ours));
        survey.write(self);
        // From here on readers see the slots and the table that the survey kept.
        self.bump();
        for extent in 0..file.grown() {
            if !file.extent_word(extent).is_some_and(is_ours) {
                continue;
            }
            match survey.extents.get(&extent) {
                Some(&(usage, live)) => {
                    file.set_extent_word(extent, ExtentWord::new(usage, self.number, live));
                }
                None => {
                    // A table that was never published must not be found by its label.
                    if labelled_at(file, extent, self.number).is_some() {
                        file.extents(extent, 1).iter().for_each(table::invalidate);
                    }
                    file.release(extent, 1);
                }
            }
        }
        self.head.set(shard::DIRTY, 0);
        survey.lost
    }
}

impl SessionFile {
    pub(crate) fn count_repair(&self, shard: u32, lost: u64) {
        self.superblock().add(superblock::REPAIRED, 1);
        self.superblock().add(superblock::LOST, lost);
        tracing::warn!(shard, lost, "shard of the session file repaired");
    }
}

fn labelled_at(file: &SessionFile, extent: u32, shard: u32) -> Option<TableWord> {
    labelled(&file.extents(extent, 1)?, shard)
}

/// The true content of a shard.
pub(crate) struct Survey {
    table: Option<TableWord>,
    pub(crate) count: u32,
    pub(crate) removed_slots: u64,
    pub(crate) lost: u64,
    pub(crate) live: u64,
    pub(crate) due: u64,
    /// The use of each extent, with its live units.
    pub(crate) extents: HashMap<u32, (Use, u64)>,
    /// Where the used part of each extent of small records ends.
    ends: HashMap<u32, u64>,
    /// The first unit of each record, and the one behind it.
    pub(crate) linked: Vec<(u64, u64)>,
    /// The units that dropped slots led to.
    dropped: Vec<u64>,
}

struct Entry {
    slot: usize,
    unit: u64,
    units: u64,
    hash: u64,
    deadline: u64,
}

impl Survey {
    /// Checks every slot, and removes each that leads to no record of this shard. `owns` says whether extents belong
    /// to the shard.
    pub(crate) fn of(shard: &Shard<'_>, depth: Depth, mut owns: impl FnMut(u32, u32, Use) -> bool) -> Self {
        let said = undoubled(shard.head.get(shard::COUNT));
        let word = shard.find_table().filter(|word| owns(word.first, word.run, Use::Table));
        let mut survey = Self {
            table: word,
            count: 0,
            removed_slots: 0,
            lost: 0,
            live: 0,
            due: u64::MAX,
            extents: HashMap::new(),
            ends: HashMap::new(),
            linked: Vec::new(),
            dropped: Vec::new(),
        };
        if let Some(word) = word
            && let Some(table) = shard.file.table(word)
        {
            let extents = word.first..word.first + word.run;
            survey.extents.extend(extents.map(|extent| (extent, (Use::Table, 0))));
            for entry in survey.entries(shard, &table, depth, &mut owns) {
                survey.add(shard, &entry);
            }
        }
        survey.lost = match said {
            Some(said) => survey.lost.max(u64::from(said.saturating_sub(survey.count))),
            // Without a count and a table, the true number is unknown.
            None if word.is_none() => survey.lost.max(1),
            None => survey.lost,
        };
        survey
    }

    fn entries(
        &mut self,
        shard: &Shard<'_>,
        table: &Table<'_>,
        depth: Depth,
        owns: &mut impl FnMut(u32, u32, Use) -> bool,
    ) -> Vec<Entry> {
        let geometry = &shard.file.geometry;
        let mut entries: Vec<Entry> = Vec::new();
        let (lost, dropped) = (&mut self.lost, &mut self.dropped);
        let mut drop_slot = |slot: usize| {
            dropped.extend(unit_of(table.get(slot)));
            table.publish(slot, REMOVED);
            *lost += 1;
        };
        for slot in 0..table.len() {
            let word = table.get(slot);
            if word == EMPTY || word == REMOVED {
                continue;
            }
            let entry = unit_of(word).and_then(|unit| check(shard, table, slot, word, unit, depth));
            let entry = entry.filter(|entry| {
                let first = geometry.extent_of(entry.unit);
                if entry.units <= geometry.most_small_units() {
                    owns(first, 1, Use::Small)
                } else {
                    owns(first, geometry.run_of(entry.units) as u32, Use::Large)
                }
            });
            match entry {
                Some(entry) => entries.push(entry),
                None => drop_slot(slot),
            }
        }
        // No two records in one place.
        entries.sort_unstable_by_key(|entry| entry.unit);
        let mut end = 0;
        entries.retain(|entry| {
            let apart = entry.unit >= end;
            if apart {
                end = entry.unit + entry.units;
            } else {
                drop_slot(entry.slot);
            }
            apart
        });
        // No key twice. A search finds the first in the order of probing, so that one stays.
        entries.sort_unstable_by_key(|entry| (entry.hash, entry.slot));
        let key = |entry: &Entry| {
            shard.file.head(entry.unit).map(|(head, span)| span.copy_out(HEAD_WORDS, head.key_len))
        };
        entries.dedup_by(|later, first| {
            let same = later.hash == first.hash && key(later) == key(first);
            if same {
                drop_slot(later.slot);
            }
            same
        });
        // No empty slot between a home and its record: a search would end there.
        let mut reach: Vec<bool> = vec![false; table.len()];
        for entry in &entries {
            reach[table.home(tag(entry.hash))..entry.slot].fill(true);
        }
        for (slot, _) in reach.iter().enumerate().filter(|&(_, &needed)| needed) {
            if table.get(slot) == EMPTY {
                table.publish(slot, REMOVED);
            }
        }
        self.removed_slots = (0..table.len()).filter(|&slot| table.get(slot) == REMOVED).count() as u64;
        entries
    }

    fn add(&mut self, shard: &Shard<'_>, entry: &Entry) {
        let geometry = &shard.file.geometry;
        let first = geometry.extent_of(entry.unit);
        self.count += 1;
        self.linked.push((entry.unit, entry.unit + entry.units));
        self.due = self.due.min(entry.deadline);
        if entry.units > geometry.most_small_units() {
            let run = geometry.run_of(entry.units) as u32;
            self.extents.extend((first..first + run).map(|extent| (extent, (Use::Large, 0))));
            return;
        }
        self.live += entry.units;
        self.extents.entry(first).or_insert((Use::Small, 0)).1 += entry.units;
        let end = self.ends.entry(first).or_default();
        *end = (*end).max(entry.unit + entry.units - geometry.first_unit(first));
    }

    /// Makes the records unrecognisable that the last owner left without a slot and those of dropped slots, in extents
    /// that `may` allow.
    pub(crate) fn invalidate_orphans(&self, shard: &Shard<'_>, may: impl Fn(u32) -> bool) {
        if self.table.is_none() {
            // Without a table, records of lost slots look the same.
            return;
        }
        let noted = [shard::NEW, shard::OLD].map(|word| shard.head.get(word).checked_sub(1));
        let mut orphans: BTreeSet<u64> =
            noted.into_iter().flatten().chain(self.dropped.iter().copied()).collect();
        for (first, _) in &self.linked {
            orphans.remove(first);
        }
        for unit in orphans.into_iter().filter(|&unit| may(shard.file.geometry.extent_of(unit))) {
            if let Some((_, span)) = shard.file.head(unit).filter(|(head, _)| shard.owns(head.hash)) {
                invalidate(&span);
            }
        }
    }

    /// Writes the survey into the header of the shard.
    pub(crate) fn write(&self, shard: &Shard<'_>) {
        let head = &shard.head;
        publish(head, shard::TABLE, self.table.map_or(0, TableWord::pack));
        head.set(shard::COUNT, doubled(self.count));
        head.set(shard::REMOVED_SLOTS, self.removed_slots);
        head.set(shard::LIVE, self.live);
        head.set(shard::EXTENTS, self.ends.len() as u64);
        head.set(shard::DUE, self.due);
        head.set(shard::FRESH, self.due);
        head.set(shard::NEW, 0);
        head.set(shard::OLD, 0);
        // So that a purge that is under way does not write `DUE`.
        head.set(shard::SCAN, head.get(shard::SCAN).wrapping_add(1));
        head.set(shard::FREED_COUNT, 0);
        let roomiest = self.ends.iter().min_by_key(|&(&extent, &end)| (end, extent));
        head.set(shard::CURRENT, roomiest.map_or(0, |(&extent, _)| u64::from(extent) + 1));
        head.set(shard::FILLED, roomiest.map_or(0, |(_, &end)| end));
    }
}

/// The record that a slot leads to, if it is whole and in its place.
fn check(
    shard: &Shard<'_>,
    table: &Table<'_>,
    slot: usize,
    word: u64,
    unit: u64,
    depth: Depth,
) -> Option<Entry> {
    let file = shard.file;
    let (head, span) = file.head(unit)?;
    let here = hash(file.seed, &span.copy_out(HEAD_WORDS, head.key_len)) == head.hash
        && tag(head.hash) == tag_of(word)
        && shard.owns(head.hash)
        && table.home(tag(head.hash)) <= slot;
    if !here {
        return None;
    }
    if depth == Depth::Bodies {
        head.state?;
        if !head.fits(&span.copy_out(head.data_at(), head.data_len)) {
            return None;
        }
    }
    let deadline = head.state.as_ref().map_or(NO_DEADLINE, State::deadline_word);
    Some(Entry { slot, unit, units: head.units, hash: head.hash, deadline })
}
