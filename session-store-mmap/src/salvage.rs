//! The check of a whole file by its only opener, and the salvage of records that no slot leads to.
//!
//! A slot or a table may be damaged, or a power failure may have kept a record and lost its slot. A record carries its
//! own description, and a record that is given up is made unrecognisable (a killed process has noted where it was). So
//! a whole, recognisable record without a slot was never given up.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::error::Fault;
use crate::file::SessionFile;
use crate::layout::record::HEAD_WORDS;
use crate::layout::{ExtentWord, Use, hash, shard, superblock};
use crate::protocol::Words;
use crate::record::{Head, invalidate};
use crate::repair::{Depth, Survey};
use crate::shard::{Locked, Lookup};
use crate::table::{slot, tag};

/// A whole record without a slot.
struct Orphan {
    unit: u64,
    head: Head,
}

impl SessionFile {
    /// Checks and repairs the whole file. The caller is its only opener and has initialised the locks.
    pub(crate) fn repair_all(&self, depth: Depth) -> Result<(), Fault> {
        let shards = self.geometry.shards;
        // The part behind `grown` belongs to no shard, whatever its words say.
        let mut owners: Vec<ExtentWord> = vec![ExtentWord::FREE; self.grown() as usize];
        // Tables first: no record can be within another shard's table.
        for number in 0..shards {
            if let Some(word) = self.shard(number).find_table() {
                let run = owners.get_mut(word.first as usize..(word.first + word.run) as usize);
                if let Some(run) = run.filter(|run| run.iter().all(|owner| owner.usage == Use::Free)) {
                    run.fill(ExtentWord::new(Use::Table, number, 0));
                }
            }
        }
        let (mut lost, mut dirty): (Vec<u64>, Vec<bool>) = (Vec::new(), Vec::new());
        let mut linked: BTreeMap<u64, u64> = BTreeMap::new();
        for number in 0..shards {
            let shard = self.shard(number);
            let mine = |owner: &ExtentWord, usage| owner.usage == usage && owner.shard == number;
            let survey = Survey::of(&shard, depth, |first, run, usage| {
                let Some(run) = owners.get_mut(first as usize..first as usize + run as usize) else {
                    return false;
                };
                if usage == Use::Table {
                    return run.iter().all(|owner| mine(owner, usage));
                }
                let may = run
                    .iter()
                    .all(|owner| owner.usage == Use::Free || mine(owner, Use::Small) && usage == Use::Small);
                if may {
                    run.fill(ExtentWord::new(usage, number, 0));
                }
                may
            });
            survey.invalidate_orphans(&shard, |_| true);
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
            for (lost, found) in lost.iter_mut().zip(self.salvage(linked)?) {
                *lost = lost.saturating_sub(found);
            }
        }
        for (number, (lost, dirty)) in (0..).zip(lost.into_iter().zip(dirty)) {
            if lost > 0 || dirty {
                self.count_repair(number, lost);
            }
        }
        Ok(())
    }

    /// Gives orphans a slot, and returns how many in each shard. `linked` holds the first unit and the end of each
    /// record with a slot.
    fn salvage(&self, linked: BTreeMap<u64, u64>) -> Result<Vec<u64>, Fault> {
        let shards = self.geometry.shards;
        let mut orphans = self.orphans(&linked);
        // Among several of one key, the last used one first.
        orphans.sort_unstable_by_key(|orphan| (orphan.head.hash, Reverse(orphan.head.last_used)));
        let mut taken = linked;
        orphans.retain(|orphan| {
            let apart = is_apart(orphan, &taken);
            let kept = apart && self.take_extents(orphan);
            if kept {
                taken.insert(orphan.unit, orphan.unit + orphan.head.units);
            } else if apart {
                self.invalidate(orphan);
            }
            kept
        });
        let mut found = vec![0; shards as usize];
        for orphan in &orphans {
            let number = orphan.head.hash as u32 & (shards - 1);
            if self.shard(number).lock()?.link(orphan)? {
                found[number as usize] += 1;
            } else {
                self.invalidate(orphan);
            }
        }
        if !orphans.is_empty() {
            for number in 0..shards {
                self.shard(number).lock()?.recount();
            }
        }
        Ok(found)
    }

    /// All whole records that lie outside the linked ones.
    fn orphans(&self, linked: &BTreeMap<u64, u64>) -> Vec<Orphan> {
        let mut orphans = Vec::new();
        for extent in 0..self.grown() {
            let usage = self.extent_word(extent).map(|word| word.usage);
            if !matches!(usage, Some(Use::Free | Use::Small)) {
                continue;
            }
            let first = self.geometry.first_unit(extent);
            let mut unit = first;
            while unit < first + self.geometry.units_per_extent() {
                if let Some(&end) = linked.get(&unit) {
                    unit = end;
                    continue;
                }
                orphans.extend(self.whole(unit).map(|head| Orphan { unit, head }));
                unit += 1;
            }
        }
        orphans
    }

    /// The head of the record at `unit`, if key, data and state pass their checks.
    fn whole(&self, unit: u64) -> Option<Head> {
        let (head, span) = self.head(unit)?;
        let whole = head.state.is_some()
            && hash(self.seed, &span.copy_out(HEAD_WORDS, head.key_len)) == head.hash
            && head.fits(&span.copy_out(head.data_at(), head.data_len));
        whole.then_some(head)
    }

    fn invalidate(&self, orphan: &Orphan) {
        self.units(orphan.unit, orphan.head.units).iter().for_each(invalidate);
    }

    /// Gives the orphan's extents to its shard, unless another shard owns them.
    fn take_extents(&self, orphan: &Orphan) -> bool {
        let Orphan { unit, head } = orphan;
        let number = head.hash as u32 & (self.geometry.shards - 1);
        let small = head.units <= self.geometry.most_small_units();
        let (usage, run) =
            if small { (Use::Small, 1) } else { (Use::Large, self.geometry.run_of(head.units) as u32) };
        let first = self.geometry.extent_of(*unit);
        let available = |extent: u32| match self.extent_word(extent) {
            Some(ExtentWord { usage: Use::Free, .. }) => extent < self.grown(),
            Some(word) => small && word.usage == Use::Small && word.shard == number,
            None => false,
        };
        if !(first..first + run).all(available) {
            return false;
        }
        for extent in first..first + run {
            let live = self.extent_word(extent).map_or(0, |word| word.live);
            self.set_extent_word(extent, ExtentWord::new(usage, number, live));
        }
        true
    }
}

/// Whether no record overlaps the orphan.
fn is_apart(orphan: &Orphan, taken: &BTreeMap<u64, u64>) -> bool {
    let before = taken.range(..orphan.unit + orphan.head.units).next_back();
    before.is_none_or(|(_, &end)| end <= orphan.unit)
}

impl Locked<'_> {
    /// Gives an orphan a slot. `false` if its key has a record, or the table has no room for a slot.
    fn link(&self, orphan: &Orphan) -> Result<bool, Fault> {
        let Some((head, span)) = self.file.head(orphan.unit) else { return Ok(false) };
        let key = span.copy_out(HEAD_WORDS, head.key_len);
        let Lookup::Missing(free) = self.look(&key, head.hash)? else { return Ok(false) };
        let at = self.slot_for(head.hash, free)?;
        let (Some(at), Some(table)) = (at, self.table()?) else { return Ok(false) };
        table.publish(at, slot(tag(head.hash), orphan.unit));
        self.bump();
        self.set_count(self.count() + 1);
        Ok(true)
    }
}
