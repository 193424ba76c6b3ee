//! Comparing the counters in the file with a fresh count.

use std::collections::HashMap;

use crate::file::SessionFile;
use crate::layout::{ExtentWord, Use, shard};
use crate::protocol::Words;
use crate::repair::{Depth, Survey};

impl SessionFile {
    /// Counts everything as after a crash, and compares it with the counters in the file.
    pub(crate) fn audit(&self) {
        let words = self.extent_words();
        let mut owners: HashMap<u32, ExtentWord> = HashMap::new();
        for number in 0..self.geometry.shards {
            let locked = self.shard(number).lock().unwrap();
            let counter = |word| locked.head.get(word);
            let survey = Survey::of(&locked, Depth::Bodies, |first, run, usage| {
                (first..first + run).all(|extent| {
                    let word = self.extent_word(extent).unwrap();
                    word.usage == usage && word.shard == number
                })
            });
            assert_eq!(survey.lost, 0, "shard {number}");
            assert_eq!(survey.count, locked.count(), "records of shard {number}");
            assert_eq!(
                survey.removed_slots,
                counter(shard::REMOVED_SLOTS),
                "removed slots of shard {number}"
            );
            assert_eq!(survey.live, counter(shard::LIVE), "live units of shard {number}");
            assert!(survey.due >= counter(shard::DUE), "deadline in shard {number}");
            for (extent, (usage, live)) in survey.extents {
                owners.insert(extent, ExtentWord::new(usage, number, live));
            }
            if let Some(current) = locked.current() {
                owners.entry(current).or_insert(ExtentWord::new(Use::Small, number, 0));
            }
            let small = owners.values().filter(|word| word.usage == Use::Small && word.shard == number);
            assert_eq!(small.count() as u64, counter(shard::EXTENTS), "extents of shard {number}");
        }
        for extent in 0..self.geometry.extents {
            let owner = owners.get(&extent).copied().unwrap_or(ExtentWord::FREE);
            assert_eq!(ExtentWord::unpack(words.get(extent as usize)), Some(owner), "extent {extent}");
        }
    }
}
