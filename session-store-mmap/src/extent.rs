//! Who owns which extents, and the growth of the file.

use crate::area::Area;
use crate::error::{Fault, kind};
use crate::layout::{ExtentWord, Use, superblock};
use crate::map::Held;
use crate::protocol::Words;

/// How many extents only those may take who are going to give one back: a compaction, and a record that replaces one
/// of its size.
const SPARE: u32 = 2;

/// How far the file grows at a time at the most, in bytes, unless one record needs more. The disk is quick to promise
/// that much, and all who need room wait meanwhile.
const GROWTH: u64 = 4 << 20;

/// Whether the spare extents may be taken too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spare {
    Leave,
    Take,
}

impl Area {
    /// Takes `run` neighbouring extents for `shard`, whose lock the caller holds; `None` if there are none. Each of
    /// them carries the name of the shard from its first moment, so that whoever finds the caller dead gives back
    /// what nothing leads to. Where the file would have to grow, it is [`Fault::Long`] to who works in place; nothing has
    /// changed then.
    pub(crate) fn claim(&self, usage: Use, shard: u32, run: u32, spare: Spare) -> Result<Option<u32>, Fault> {
        let _lock = self.lock_extents()?;
        let words = self.extent_words();
        let keep = if spare == Spare::Leave { SPARE } else { 0 };
        let mut grown = self.grown();
        let mut found = self.find(grown, run, keep);
        while found.is_none() {
            if !self.grow(grown, self.missing(grown, run, keep))? {
                return Ok(None);
            }
            grown = self.grown();
            found = self.find(grown, run, keep);
        }
        let Some(first) = found else { return Ok(None) };
        for extent in first..first + run {
            words.set(extent as usize, ExtentWord::new(usage, shard, 0).pack());
        }
        if run == 1 {
            self.superblock().set(superblock::HINT, u64::from(first) + 1);
        }
        Ok(Some(first))
    }

    /// Gives extents back. The caller holds the lock of the shard that owns them, nothing leads to them any more, and
    /// the stamp has moved since.
    pub(crate) fn release(&self, first: u32, run: u32) {
        let words = self.extent_words();
        for extent in first..first.saturating_add(run).min(self.geometry.extents) {
            words.set_release(extent as usize, ExtentWord::FREE.pack());
        }
        let head = self.superblock();
        // A lost update costs whoever claims next a longer search.
        if u64::from(first) < head.get(superblock::HINT) {
            head.set(superblock::HINT, u64::from(first));
        }
    }

    pub(crate) fn extent_word(&self, extent: u32) -> Option<ExtentWord> {
        if extent >= self.geometry.extents {
            return None;
        }
        ExtentWord::unpack(self.extent_words().get(extent as usize))
    }

    pub(crate) fn set_extent_word(&self, extent: u32, word: ExtentWord) {
        self.extent_words().set(extent as usize, word.pack());
    }

    fn lock_extents(&self) -> Result<Held<'_>, Fault> {
        let (held, _) = self.map.lock(superblock::LOCK_AT, self.patience)?;
        // Each word is right at every moment, so that there is nothing to repair after a dead owner.
        held.make_consistent();
        Ok(held)
    }

    fn is_free(&self, extent: u32) -> bool {
        self.extent_words().get_acquire(extent as usize) == ExtentWord::FREE.pack()
    }

    /// The first of `run` neighbouring free extents, if `keep` more are free elsewhere.
    fn find(&self, grown: u32, run: u32, keep: u32) -> Option<u32> {
        let hint = self.superblock().get(superblock::HINT).min(u64::from(grown)) as u32;
        let from = if run == 1 { hint } else { 0 };
        let (mut first, mut length, mut others) = (None, 0, 0);
        for extent in (from..grown).chain(0..from) {
            if extent == 0 {
                length = 0;
            }
            if !self.is_free(extent) {
                if first.is_none() {
                    others += length;
                }
                length = 0;
                continue;
            }
            if first.is_some() {
                others += 1;
            } else {
                length += 1;
                if length == run {
                    first = Some(extent + 1 - run);
                }
            }
            if first.is_some() && others >= keep {
                return first;
            }
        }
        first.filter(|_| others >= keep)
    }

    /// How many extents the file must get before `find` finds something: for the run, which may begin with what is
    /// free at the end, or only for what is to be spared, which may be anywhere.
    #[cold]
    fn missing(&self, grown: u32, run: u32, keep: u32) -> u32 {
        let free = (0..grown).filter(|&extent| self.is_free(extent)).count() as u32;
        let trailing = (0..grown).rev().take_while(|&extent| self.is_free(extent)).count() as u32;
        let for_the_run = if self.find(grown, run, 0).is_some() { 0 } else { run - trailing.min(run) };
        // One, if somebody has given back meanwhile what was missing.
        (run + keep).saturating_sub(free).max(for_the_run).max(1)
    }

    /// Makes the file longer by `missing` extents at least; `false` where that cannot be.
    #[cold]
    fn grow(&self, grown: u32, missing: u32) -> Result<bool, Fault> {
        let left = self.geometry.extents - grown;
        if missing > left {
            return Ok(false);
        }
        if self.is_in_place() {
            // The disk may take its time.
            return Err(Fault::Long);
        }
        // By an eighth, so that a system call is rare.
        let most = u32::try_from(GROWTH / self.geometry.extent_bytes).unwrap_or(u32::MAX);
        let many = (grown / 8).max(16).min(most).max(missing).min(left);
        for by in [many, missing] {
            match self.map.grow(self.geometry.extent_at(grown), self.geometry.extent_at(grown + by)) {
                Ok(()) => {
                    // The new words are zero, which is free, for nobody has ever written them.
                    self.set_grown(grown + by);
                    return Ok(true);
                }
                // The file may be longer now than it was, but `grown` says what may be used of it.
                Err(cause) if kind(&cause) == session_core::StoreErrorKind::Full => {}
                Err(cause) => return Err(Fault::Os(cause)),
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use session_core::{Condition, Key, Record, Revision};

    use super::*;
    use crate::MmapConfig;
    use crate::ops::Ops;

    fn config(directory: &tempfile::TempDir) -> MmapConfig {
        MmapConfig::new(directory.path().join("map")).max_bytes(512 << 10).extent_bytes(4096).shards(1)
    }

    #[test]
    fn nobody_lets_the_file_grow_in_place_and_what_was_begun_is_left_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(&directory);
        let area = crate::open::open(&config).unwrap();
        let ops = Ops::new(&area, config.on_full, Arc::clone(&config.clock));
        let mut grown = area.grown();
        let (mut long, mut n) = (0, 0_u64);
        // Small ones, which need extents and tables, and now and then a large one.
        while long < 3 {
            let key = Key::parse(&format!("test:{n}")).unwrap();
            let length = if n % 10 == 9 { 5_000 } else { 0 };
            let record = Record::new(vec![1; length], None, Revision::from_bytes(n.to_le_bytes()));
            match ops.store(&key, &record, Condition::Absent) {
                Ok(stored) => assert!(stored.is_applied()),
                Err(Fault::Long) => {
                    long += 1;
                    assert_eq!(ops.retrieve(&key).unwrap(), None);
                    area.audit();
                    assert_eq!(area.grown(), grown, "grown in place");
                    assert!(ops.patient().store(&key, &record, Condition::Absent).unwrap().is_applied());
                    grown = area.grown();
                }
                Err(fault) => panic!("{fault:?} at {n}"),
            }
            assert_eq!(area.grown(), grown, "grown in place");
            n += 1;
        }
        area.audit();
    }

    #[test]
    fn what_is_to_be_spared_may_be_free_anywhere() {
        let directory = tempfile::tempdir().unwrap();
        let area = crate::open::open(&config(&directory)).unwrap();
        let extents = area.geometry.extents;
        area.map.grow(0, area.geometry.extent_at(extents)).unwrap();
        area.set_grown(extents - 1);
        for extent in (0..extents - 1).filter(|&extent| extent != 3 && extent != 7) {
            area.set_extent_word(extent, ExtentWord::new(Use::Large, 0, 0));
        }
        let claim = |run, spare| area.claim(Use::Large, 0, run, spare).unwrap();
        assert_eq!(claim(2, Spare::Leave), None, "one behind the others, and none before it");
        assert_eq!(claim(1, Spare::Leave), Some(3));
        assert_eq!(area.grown(), extents);
        assert_eq!(claim(1, Spare::Leave), None, "only what is to be spared is left");
        assert_eq!(claim(1, Spare::Take), Some(7));
        assert_eq!(claim(1, Spare::Take), Some(extents - 1));
    }
}
