//! The mapped file with what never changes of it.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Fault;
use crate::layout::{Geometry, SUPERBLOCK_BYTES, WORD, doubled, record, superblock, undoubled};
use crate::map::{Map, Span};
use crate::protocol::Words;
use crate::record::Head;

#[derive(Clone, Debug)]
pub(crate) struct Area {
    pub(crate) map: Arc<Map>,
    pub(crate) geometry: Geometry,
    pub(crate) seed: u64,
    pub(crate) id: u64,
    /// How long to wait for a lock that spinning has not got; not at all for who works in place.
    pub(crate) patience: Duration,
}

impl Area {
    /// Whether what takes long is left to others.
    pub(crate) fn is_in_place(&self) -> bool {
        self.patience.is_zero()
    }

    pub(crate) fn superblock(&self) -> Span<'_> {
        self.fixed(0, SUPERBLOCK_BYTES / WORD)
    }

    /// One word for each extent.
    pub(crate) fn extent_words(&self) -> Span<'_> {
        self.fixed(self.geometry.extent_words_at(), u64::from(self.geometry.extents))
    }

    /// A part in front of the extents, all of which is there from the beginning.
    pub(crate) fn fixed(&self, at: u64, words: u64) -> Span<'_> {
        self.map.span(at, words).expect("opening has checked that the file reaches to its first extent")
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
        self.map.span(self.geometry.unit_at(unit), units * (crate::layout::UNIT / WORD))
    }

    /// The head of the record at `unit`, if there is one and the file holds all of it.
    #[inline]
    pub(crate) fn head(&self, unit: u64) -> Option<(Head, Span<'_>)> {
        let span = self.units(unit, record::HEAD_BYTES / crate::layout::UNIT)?;
        let head = Head::read(&span, self.seed, unit)?;
        let whole = self.units(unit, head.units)?;
        self.stays_within(unit, head.units).then_some((head, whole))
    }

    /// A small record lies within one extent, a large one begins with one.
    fn stays_within(&self, unit: u64, units: u64) -> bool {
        let within = unit % self.geometry.units_per_extent();
        if units > self.geometry.most_small_units() {
            within == 0
        } else {
            within + units <= self.geometry.units_per_extent()
        }
    }

    /// How many extents the disk has given.
    pub(crate) fn grown(&self) -> u32 {
        let word = self.superblock().get_acquire(superblock::GROWN);
        undoubled(word).unwrap_or(0).min(self.geometry.extents)
    }

    pub(crate) fn set_grown(&self, extents: u32) {
        self.superblock().set_release(superblock::GROWN, doubled(extents));
    }

    /// Makes the disk have everything that was stored before.
    pub(crate) fn sync(&self) -> Result<(), Fault> {
        self.map.file().sync_data().map_err(Fault::Os)
    }
}
