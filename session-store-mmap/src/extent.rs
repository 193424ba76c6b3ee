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
    /// what nothing leads to.
    pub(crate) fn claim(&self, usage: Use, shard: u32, run: u32, spare: Spare) -> Result<Option<u32>, Fault> {
        let _lock = self.lock_extents()?;
        let words = self.extent_words();
        let keep = if spare == Spare::Leave { SPARE } else { 0 };
        let mut grown = self.grown();
        let mut found = self.find(grown, run, keep);
        while found.is_none() {
            // The file may have to grow for the run, or only for what is to be spared.
            let trailing = (0..grown).rev().take_while(|&extent| self.is_free(extent)).count() as u32;
            let missing = (run + keep).saturating_sub(trailing).max(1);
            if !self.grow(grown, missing)? {
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

    /// Makes the file longer by `missing` extents at least; `false` where that cannot be.
    #[cold]
    fn grow(&self, grown: u32, missing: u32) -> Result<bool, Fault> {
        let left = self.geometry.extents - grown;
        if missing > left {
            return Ok(false);
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
                Err(cause) if kind(&cause) == session_core::ErrorKind::Full => {}
                Err(cause) => return Err(Fault::Os(cause)),
            }
        }
        Ok(false)
    }
}
