//! What is done about an owner that died, and about a file that nobody has open.
//!
//! The table is the truth: what a slot leads to, whole and in its place, is a record, and everything else is free.
//! Where the room is, how much of it is used and how many records there are is counted anew.

use std::collections::{BTreeSet, HashMap};

use session_core::Timestamp;

use crate::area::Area;
use crate::error::Fault;
use crate::layout::record::NO_DEADLINE;
use crate::layout::{ExtentWord, TableWord, Use, doubled, hash, shard, superblock, undoubled};
use crate::protocol::{Words, publish};
use crate::record::bury;
use crate::shard::{Locked, Shard};
use crate::table::{self, NOTHING, REMOVED, Table, labelled, tag, tag_of, unit_of};

/// How much of each record is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// All but the data: a record whose data is damaged stays, and is `Corrupt` to whoever asks for it.
    Heads,
    /// The data too: after power loss, what did not reach the disk was never there.
    Bodies,
}

impl Locked<'_> {
    /// Repairs this shard, whose last owner did not come to an end.
    #[cold]
    pub(crate) fn repair(&self) -> Result<(), Fault> {
        let lost = self.recount();
        self.area.count_repair(self.number, lost);
        Ok(())
    }

    /// Writes the books of this shard anew, gives back what nothing leads to, and says how many records are lost.
    pub(crate) fn recount(&self) -> u64 {
        let area = self.area;
        let owns = |first: u32, run: u32, usage: Use| {
            let word = Some(ExtentWord::new(usage, self.number, 0));
            (first..first + run)
                .all(|extent| area.extent_word(extent).map(|word| ExtentWord { live: 0, ..word }) == word)
        };
        let survey = Survey::of(self, Depth::Heads, owns);
        // Readers may still be at what the last owner had replaced.
        self.retire();
        // Only within extents of this shard: elsewhere somebody may be writing just there.
        survey.bury_orphans(self, |extent| {
            area.extent_word(extent).is_some_and(|word| word.usage != Use::Free && word.shard == self.number)
        });
        survey.write(self);
        // The slots that were dropped, and the table that counts, are known from here on.
        self.retire();
        for extent in 0..area.grown() {
            let Some(word) = area.extent_word(extent) else { continue };
            if word.usage != Use::Free && word.shard == self.number {
                match survey.extents.get(&extent) {
                    Some(&(usage, live)) => {
                        area.set_extent_word(extent, ExtentWord::new(usage, self.number, live));
                    }
                    None => {
                        // A table that was never published must not be taken for one.
                        if labelled_at(area, extent, self.number).is_some() {
                            area.extents(extent, 1).iter().for_each(table::bury);
                        }
                        area.release(extent, 1);
                    }
                }
            }
        }
        self.head.set(shard::DIRTY, 0);
        survey.lost
    }
}

impl Area {
    /// Checks and repairs the whole file. The caller is alone with it, and has made its locks anew.
    pub(crate) fn repair_all(&self, depth: Depth) -> Result<(), Fault> {
        // What is behind `grown` may not be used, whoever claims it.
        let mut owners: Vec<ExtentWord> = vec![ExtentWord::FREE; self.grown() as usize];
        // Tables first: a record that claims to stand in the table of another shard is none.
        for number in 0..self.geometry.shards {
            if let Some(word) = self.shard(number).find_table() {
                let run = owners.get_mut(word.first as usize..(word.first + word.run) as usize);
                if let Some(run) = run.filter(|run| run.iter().all(|owner| owner.usage == Use::Free)) {
                    run.fill(ExtentWord::new(Use::Table, number, 0));
                }
            }
        }
        let mut lost: Vec<u64> = Vec::new();
        let mut linked: Vec<(u64, u64)> = Vec::new();
        let mut dirty: Vec<bool> = Vec::new();
        for number in 0..self.geometry.shards {
            let shard = self.shard(number);
            let mine = |owner: &ExtentWord, usage| owner.usage == usage && owner.shard == number;
            let survey = Survey::of(&shard, depth, |first, run, usage| {
                let Some(run) = owners.get_mut(first as usize..first as usize + run as usize) else {
                    return false;
                };
                let may = match usage {
                    Use::Table => run.iter().all(|owner| mine(owner, usage)),
                    _ => run.iter().all(|owner| {
                        owner.usage == Use::Free || mine(owner, Use::Small) && usage == Use::Small
                    }),
                };
                if may && usage != Use::Table {
                    run.fill(ExtentWord::new(usage, number, 0));
                }
                may
            });
            survey.bury_orphans(&shard, |_| true);
            survey.write(&shard);
            for (&extent, &(usage, live)) in &survey.extents {
                owners[extent as usize] = ExtentWord::new(usage, number, live);
            }
            dirty.push(shard.head.get(shard::DIRTY) != 0);
            shard.head.set(shard::DIRTY, 0);
            lost.push(survey.lost);
            linked.extend(survey.linked);
        }
        let words = self.extent_words();
        for index in 0..words.len() {
            let owner = owners.get(index).copied().unwrap_or(ExtentWord::FREE);
            if words.get(index) != owner.pack() {
                words.set(index, owner.pack());
            }
        }
        self.superblock().set(superblock::HINT, 0);
        if depth == Depth::Bodies || lost.iter().any(|&lost| lost > 0) {
            for (number, found) in self.salvage(linked.into_iter().collect())?.into_iter().enumerate() {
                lost[number] = lost[number].saturating_sub(found);
            }
        }
        for (number, (lost, dirty)) in (0..).zip(lost.into_iter().zip(dirty)) {
            if lost > 0 || dirty {
                self.count_repair(number, lost);
            }
        }
        Ok(())
    }

    fn count_repair(&self, shard: u32, lost: u64) {
        self.superblock().add(superblock::REPAIRED, 1);
        self.superblock().add(superblock::LOST, lost);
        tracing::warn!(shard, lost, "a shard of the session file was repaired");
    }
}

impl Shard<'_> {
    /// Where the table is. If the pointer to it is damaged, what its extents say of themselves: a table that was given
    /// up has lost its label.
    fn find_table(&self) -> Option<TableWord> {
        let area = self.area;
        let word = self.head.get(shard::TABLE);
        if word == 0 && undoubled(self.head.get(shard::COUNT)) == Some(0) {
            return None;
        }
        let there = |extent: u32| {
            labelled_at(area, extent, self.number)
                .filter(|&word| word.first == extent && area.table(word).is_some())
        };
        let good = TableWord::unpack(word).filter(|&word| there(word.first) == Some(word));
        good.or_else(|| (0..area.grown()).filter_map(there).max_by_key(|word| word.generation))
    }
}

fn labelled_at(area: &Area, extent: u32, shard: u32) -> Option<TableWord> {
    labelled(&area.extents(extent, 1)?, shard)
}

/// What a shard really holds.
struct Survey {
    table: Option<TableWord>,
    count: u32,
    tombs: u64,
    lost: u64,
    live: u64,
    due: u64,
    /// What each extent is used for, with its live units.
    extents: HashMap<u32, (Use, u64)>,
    /// Where each extent of small records ends to be used.
    ends: HashMap<u32, u64>,
    /// Where each record begins and ends, in units.
    linked: Vec<(u64, u64)>,
    /// Where slots led to that were dropped.
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
    /// Looks at every slot, and makes a tomb of each that leads to no record of this shard. `owns` says whether
    /// extents belong to the shard.
    fn of(shard: &Shard<'_>, depth: Depth, mut owns: impl FnMut(u32, u32, Use) -> bool) -> Self {
        let said = undoubled(shard.head.get(shard::COUNT));
        let word = shard.find_table().filter(|word| owns(word.first, word.run, Use::Table));
        let mut survey = Self {
            table: word,
            count: 0,
            tombs: 0,
            lost: 0,
            live: 0,
            due: u64::MAX,
            extents: HashMap::new(),
            ends: HashMap::new(),
            linked: Vec::new(),
            dropped: Vec::new(),
        };
        let entries = match word.and_then(|word| Some((word, shard.area.table(word)?))) {
            None => Vec::new(),
            Some((word, table)) => {
                survey
                    .extents
                    .extend((word.first..word.first + word.run).map(|extent| (extent, (Use::Table, 0))));
                survey.entries(shard, &table, depth, &mut owns)
            }
        };
        for entry in entries {
            survey.add(shard, &entry);
        }
        survey.lost = match said {
            Some(said) => survey.lost.max(u64::from(said.saturating_sub(survey.count))),
            // Nobody knows how many there were.
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
        let mut entries: Vec<Entry> = Vec::new();
        let (lost, dropped) = (&mut self.lost, &mut self.dropped);
        let mut drop_slot = |slot: usize| {
            dropped.extend(unit_of(table.get(slot)));
            let (words, index) = table.word(slot);
            publish(words, index, REMOVED);
            *lost += 1;
        };
        for slot in 0..table.len() {
            let word = table.get(slot);
            if word == NOTHING || word == REMOVED {
                continue;
            }
            let entry = unit_of(word).and_then(|unit| look_at(shard, table, slot, word, unit, depth));
            let entry = entry.filter(|entry| {
                let geometry = &shard.area.geometry;
                let (first, small) =
                    (geometry.extent_of(entry.unit), entry.units <= geometry.most_small_units());
                if small {
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
        // No two in one place.
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
        // No key twice: the first in the order of probing is the one that a search finds.
        entries.sort_unstable_by_key(|entry| (entry.hash, entry.slot));
        let key =
            |entry: &Entry| shard.area.head(entry.unit).map(|(head, span)| span.copy_out(16, head.key_len));
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
            if table.get(slot) == NOTHING {
                let (words, index) = table.word(slot);
                publish(words, index, REMOVED);
            }
        }
        self.tombs = (0..table.len()).filter(|&slot| table.get(slot) == REMOVED).count() as u64;
        entries
    }

    fn add(&mut self, shard: &Shard<'_>, entry: &Entry) {
        let geometry = &shard.area.geometry;
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

    /// Makes unrecognisable what the last owner left where nothing leads to, and what slots led to that were dropped,
    /// in extents that `may` allow.
    fn bury_orphans(&self, shard: &Shard<'_>, may: impl Fn(u32) -> bool) {
        if self.table.is_none() {
            // Nobody knows what a slot led to.
            return;
        }
        let noted = [shard::NEW, shard::OLD].map(|word| shard.head.get(word).checked_sub(1));
        let mut orphans: BTreeSet<u64> =
            noted.into_iter().flatten().chain(self.dropped.iter().copied()).collect();
        for (first, _) in &self.linked {
            orphans.remove(first);
        }
        for unit in orphans {
            if !may(shard.area.geometry.extent_of(unit)) {
                continue;
            }
            let Some((_, span)) = shard.area.head(unit).filter(|(head, _)| shard.owns(head.hash)) else {
                continue;
            };
            bury(&span);
        }
    }

    /// Writes it into the header of the shard.
    fn write(&self, shard: &Shard<'_>) {
        let head = &shard.head;
        publish(head, shard::TABLE, self.table.map_or(0, TableWord::pack));
        head.set(shard::COUNT, doubled(self.count));
        head.set(shard::TOMBS, self.tombs);
        head.set(shard::LIVE, self.live);
        head.set(shard::EXTENTS, self.ends.len() as u64);
        head.set(shard::DUE, self.due);
        head.set(shard::FRESH, self.due);
        head.set(shard::NEW, 0);
        head.set(shard::OLD, 0);
        // A scan that is under way must not say what is due.
        head.set(shard::SCAN, head.get(shard::SCAN).wrapping_add(1));
        head.set(shard::FREED_COUNT, 0);
        let roomiest = self.ends.iter().min_by_key(|&(&extent, &end)| (end, extent));
        head.set(shard::CURRENT, roomiest.map_or(0, |(&extent, _)| u64::from(extent) + 1));
        head.set(shard::FILLED, roomiest.map_or(0, |(_, &end)| end));
    }
}

/// The record that a slot leads to, if it is whole and this is where it belongs.
fn look_at(
    shard: &Shard<'_>,
    table: &Table<'_>,
    slot: usize,
    word: u64,
    unit: u64,
    depth: Depth,
) -> Option<Entry> {
    let area = shard.area;
    let (head, span) = area.head(unit)?;
    let key = span.copy_out(crate::layout::record::HEAD_WORDS, head.key_len);
    let here = hash(area.seed, &key) == head.hash
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
    let deadline =
        head.state.map_or(NO_DEADLINE, |state| state.expires.map_or(NO_DEADLINE, Timestamp::as_millis));
    Some(Entry { slot, unit, units: head.units, hash: head.hash, deadline })
}

#[cfg(test)]
impl Area {
    /// Counts everything anew, as after a crash, and compares it with the books that were kept.
    pub(crate) fn audit(&self) {
        let words = self.extent_words();
        let mut owners: HashMap<u32, ExtentWord> = HashMap::new();
        for number in 0..self.geometry.shards {
            let locked = self.shard(number).lock().unwrap();
            let survey = Survey::of(&locked, Depth::Bodies, |first, run, usage| {
                (first..first + run).all(|extent| {
                    let word = self.extent_word(extent).unwrap();
                    word.usage == usage && word.shard == number
                })
            });
            assert_eq!(survey.lost, 0, "shard {number}");
            assert_eq!(survey.count, locked.count(), "records of shard {number}");
            assert_eq!(survey.tombs, locked.head.get(shard::TOMBS), "tombs of shard {number}");
            assert_eq!(survey.live, locked.head.get(shard::LIVE), "live units of shard {number}");
            assert!(survey.due >= locked.head.get(shard::DUE), "what is due in shard {number}");
            for (extent, (usage, live)) in survey.extents {
                owners.insert(extent, ExtentWord::new(usage, number, live));
            }
            if let Some(current) = locked.current() {
                owners.entry(current).or_insert(ExtentWord::new(Use::Small, number, 0));
            }
            let small = owners.values().filter(|word| word.usage == Use::Small && word.shard == number);
            assert_eq!(small.count() as u64, locked.head.get(shard::EXTENTS), "extents of shard {number}");
        }
        for extent in 0..self.geometry.extents {
            let owner = owners.get(&extent).copied().unwrap_or(ExtentWord::FREE);
            assert_eq!(ExtentWord::unpack(words.get(extent as usize)), Some(owner), "extent {extent}");
        }
    }
}
