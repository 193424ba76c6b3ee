//! Finding records that no slot leads to any more: a slot or a whole table was damaged, or power failed when the disk had
//! the record and not yet the slot.
//!
//! A record says itself what it is and where it belongs, and who gives one up makes it unrecognisable (or, killed in
//! between, has noted where it stood). So what is whole and recognisable was never given up, as far as the file knows.

use std::collections::BTreeMap;

use crate::area::Area;
use crate::error::Fault;
use crate::layout::record::HEAD_WORDS;
use crate::layout::{ExtentWord, Use, hash};
use crate::protocol::publish;
use crate::record::{Head, bury};
use crate::shard::{Locked, Look};
use crate::table::{slot, tag};

struct Orphan {
    unit: u64,
    head: Head,
}

impl Area {
    /// Puts what no slot leads to back into the tables, and says of how many records of each shard. `linked` has the
    /// first and the last unit, exclusive, of the records that slots lead to. The caller is alone with the file, and
    /// has repaired it.
    pub(crate) fn salvage(&self, linked: BTreeMap<u64, u64>) -> Result<Vec<u64>, Fault> {
        let shards = self.geometry.shards;
        let mut orphans = self.orphans(&linked);
        // Of several of one key the one that was used last.
        orphans.sort_unstable_by_key(|orphan| (orphan.head.hash, std::cmp::Reverse(orphan.head.used)));
        let mut places = linked;
        orphans.retain(|orphan| {
            let apart = is_apart(orphan, &places);
            let taken = apart && self.take_extents(orphan);
            if taken {
                places.insert(orphan.unit, orphan.unit + orphan.head.units);
            } else if apart {
                self.bury(orphan);
            }
            taken
        });
        let mut found = vec![0; shards as usize];
        for orphan in &orphans {
            let number = orphan.head.hash as u32 & (shards - 1);
            if self.shard(number).lock()?.put_back(orphan)? {
                found[number as usize] += 1;
            } else {
                self.bury(orphan);
            }
        }
        if !orphans.is_empty() {
            for number in 0..shards {
                self.shard(number).lock()?.recount();
            }
        }
        Ok(found)
    }

    /// Everything that is whole, and not within a record that slots lead to.
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

    /// The head of the record at `unit`, if all of it is what was written.
    fn whole(&self, unit: u64) -> Option<Head> {
        let (head, span) = self.head(unit)?;
        let key = span.copy_out(HEAD_WORDS, head.key_len);
        let whole = head.state.is_some()
            && hash(self.seed, &key) == head.hash
            && head.fits(&span.copy_out(head.data_at(), head.data_len));
        whole.then_some(head)
    }

    fn bury(&self, orphan: &Orphan) {
        self.units(orphan.unit, orphan.head.units).iter().for_each(bury);
    }

    /// Makes the extents of an orphan its shard's, if they are not another one's.
    fn take_extents(&self, orphan: &Orphan) -> bool {
        let Orphan { unit, head } = orphan;
        let (small, number) =
            (head.units <= self.geometry.most_small_units(), head.hash as u32 & (self.geometry.shards - 1));
        let (usage, run) =
            if small { (Use::Small, 1) } else { (Use::Large, self.geometry.run_of(head.units) as u32) };
        let first = self.geometry.extent_of(*unit);
        let owned = |extent: u32| match self.extent_word(extent) {
            Some(ExtentWord { usage: Use::Free, .. }) => extent < self.grown(),
            Some(word) => small && word.usage == Use::Small && word.shard == number,
            None => false,
        };
        if !(first..first + run).all(owned) {
            return false;
        }
        for extent in first..first + run {
            let live = self.extent_word(extent).map_or(0, |word| word.live);
            self.set_extent_word(extent, ExtentWord::new(usage, number, live));
        }
        true
    }
}

/// Whether no record stands where the orphan does.
fn is_apart(orphan: &Orphan, places: &BTreeMap<u64, u64>) -> bool {
    let before = places.range(..orphan.unit + orphan.head.units).next_back();
    before.is_none_or(|(_, &end)| end <= orphan.unit)
}

impl Locked<'_> {
    /// Gives an orphan a slot; `false` if its key has a record, or there is no room for a slot.
    fn put_back(&self, orphan: &Orphan) -> Result<bool, Fault> {
        let Some((head, span)) = self.area.head(orphan.unit) else { return Ok(false) };
        let key = span.copy_out(HEAD_WORDS, head.key_len);
        let free = match self.look(&key, head.hash)? {
            Look::Missing(free) => free,
            Look::Found(_) | Look::Damaged(_) => return Ok(false),
        };
        let place = self.slot_for(head.hash, free)?;
        let (Some(place), Some(table)) = (place, self.table()?) else { return Ok(false) };
        let (words, index) = table.word(place);
        publish(words, index, slot(tag(head.hash), orphan.unit));
        self.retire();
        self.set_count(self.count() + 1);
        Ok(true)
    }
}
