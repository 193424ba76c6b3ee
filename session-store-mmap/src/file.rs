//! The mapped file as one handle uses it: the fixed parts, the extents and their owners, growth.

use std::sync::Arc;

use session_core::{Clock, OnFull, StoreErrorKind};

use crate::error::Fault;
use crate::layout::{
    ExtentWord, Geometry, SUPERBLOCK_BYTES, UNIT, Use, WORD, doubled, record, superblock, undoubled,
};
use crate::map::{Held, Map, Span};
use crate::protocol::Words;
use crate::record::Head;

/// How many free extents stay in reserve for claims that soon give one back: a compaction, and a record that replaces
/// one of its size.
const RESERVE: u32 = 2;

/// How many bytes the file grows by at most, unless one record needs more. Everyone who needs room waits meanwhile, so
/// the disk must be quick.
const GROWTH: u64 = 4 << 20;

/// The mapped file and how this handle uses it.
#[derive(Clone, Debug)]
pub(crate) struct SessionFile {
    pub(crate) map: Arc<Map>,
    pub(crate) geometry: Geometry,
    pub(crate) seed: u64,
    pub(crate) id: u64,
    pub(crate) on_full: OnFull,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whether calls run on the caller's thread. Slow work is then refused with [`Fault::NeedsThread`].
    pub(crate) in_place: bool,
}

/// Whether a claim may take the reserved extents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reserve {
    Keep,
    Use,
}

impl SessionFile {
    pub(crate) fn superblock(&self) -> Span<'_> {
        self.fixed(0, SUPERBLOCK_BYTES / WORD)
    }

    /// One word for each extent.
    pub(crate) fn extent_words(&self) -> Span<'_> {
        self.fixed(self.geometry.extent_words_at(), u64::from(self.geometry.extents))
    }

    /// A part in front of the extents. It exists from the beginning.
    pub(crate) fn fixed(&self, at: u64, words: u64) -> Span<'_> {
        self.map.span(at, words).expect("`open` checked that the file reaches to its first extent")
    }

    /// The words of `run` extents, if the file has them.
    pub(crate) fn extents(&self, first: u32, run: u32) -> Option<Span<'_>> {
        let end = first.checked_add(run).filter(|&end| end <= self.geometry.extents)?;
        debug_assert!(end > first || run == 0);
        let words = u64::from(run) * (self.geometry.extent_bytes / WORD);
        self.map.span(self.geometry.extent_at(first), words)
    }

    /// The words of `units` units, if the file has them.
    #[inline]
    pub(crate) fn units(&self, unit: u64, units: u64) -> Option<Span<'_>> {
        let all = u64::from(self.geometry.extents) * self.geometry.units_per_extent();
        if unit >= all || units > all - unit {
            return None;
        }
        self.map.span(self.geometry.unit_at(unit), units * (UNIT / WORD))
    }

    /// The head of the record at `unit` and all of its words, if a whole record is there.
    // Not inlined, the head would be copied through memory twice on each operation's critical path.
    #[inline(always)]
    pub(crate) fn head(&self, unit: u64) -> Option<(Head, Span<'_>)> {
        let span = self.units(unit, record::HEAD_BYTES / UNIT)?;
        let head = Head::read(&span, self.seed, unit)?;
        let whole = self.units(unit, head.units)?;
        self.stays_within(unit, head.units).then_some((head, whole))
    }

    /// A small record lies within one extent. A large one begins with an extent.
    #[inline]
    fn stays_within(&self, unit: u64, units: u64) -> bool {
        let within = unit % self.geometry.units_per_extent();
        if units > self.geometry.most_small_units() {
            within == 0
        } else {
            within + units <= self.geometry.units_per_extent()
        }
    }

    /// How many extents the file has on the disk.
    pub(crate) fn grown(&self) -> u32 {
        let word = self.superblock().get_acquire(superblock::GROWN);
        undoubled(word).unwrap_or(0).min(self.geometry.extents)
    }

    pub(crate) fn set_grown(&self, extents: u32) {
        self.superblock().set_release(superblock::GROWN, doubled(extents));
    }

    /// Waits until the disk has everything that was written before the call.
    pub(crate) fn sync(&self) -> Result<(), Fault> {
        self.map.file().sync_data().map_err(Fault::Os)
    }

    /// Takes `run` neighbouring extents for `shard`, whose lock the caller holds. `None` if the file has no room.
    ///
    /// The extents carry the shard's number from the first moment, so that the repair after a killed owner finds and
    /// frees them. A claim in place that would have to let the file grow is refused and changes nothing.
    pub(crate) fn claim(
        &self,
        usage: Use,
        shard: u32,
        run: u32,
        reserve: Reserve,
    ) -> Result<Option<u32>, Fault> {
        let _lock = self.lock_extents()?;
        let words = self.extent_words();
        let keep = if reserve == Reserve::Keep { RESERVE } else { 0 };
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

    /// Gives extents back. The caller holds the lock of the shard that owns them. No slot leads to them, and the stamp
    /// has moved since.
    pub(crate) fn release(&self, first: u32, run: u32) {
        let words = self.extent_words();
        for extent in first..first.saturating_add(run).min(self.geometry.extents) {
            words.set_release(extent as usize, ExtentWord::FREE.pack());
        }
        let head = self.superblock();
        // Without the lock: a lost update makes the next search longer, no more.
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
        let (held, _) = self.map.lock(superblock::LOCK_AT)?;
        // Each word is valid at every moment, so a killed owner needs no repair.
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

    /// By how many extents the file must grow before `find` succeeds. The run may begin with the free extents at the
    /// end; the reserve may be anywhere.
    #[cold]
    fn missing(&self, grown: u32, run: u32, keep: u32) -> u32 {
        let free = (0..grown).filter(|&extent| self.is_free(extent)).count() as u32;
        let trailing = (0..grown).rev().take_while(|&extent| self.is_free(extent)).count() as u32;
        let for_the_run = if self.find(grown, run, 0).is_some() { 0 } else { run - trailing.min(run) };
        // At least one, where another shard released extents meanwhile.
        (run + keep).saturating_sub(free).max(for_the_run).max(1)
    }

    /// Lets the file grow by at least `missing` extents. `false` if it cannot.
    #[cold]
    fn grow(&self, grown: u32, missing: u32) -> Result<bool, Fault> {
        let left = self.geometry.extents - grown;
        if missing > left {
            return Ok(false);
        }
        if self.in_place {
            return Err(Fault::NeedsThread);
        }
        // By an eighth, so that system calls are rare.
        let most = u32::try_from(GROWTH / self.geometry.extent_bytes).unwrap_or(u32::MAX);
        let many = (grown / 8).max(16).min(most).max(missing).min(left);
        for by in [many, missing] {
            match self.map.grow(self.geometry.extent_at(grown), self.geometry.extent_at(grown + by)) {
                Ok(()) => {
                    // The new words are zero, which means free: no process has written them before.
                    self.set_grown(grown + by);
                    return Ok(true);
                }
                // The file may be longer now, but only `grown` says which part is in use.
                Err(cause) if StoreErrorKind::from_io(&cause) == StoreErrorKind::Full => {}
                Err(cause) => return Err(Fault::Os(cause)),
            }
        }
        Ok(false)
    }
}
