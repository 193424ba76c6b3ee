//! The table of a shard: slots of one word each, with linear probing, in the order of the tags.
//!
//! A record keeps its slot while it lives; only a table that is made anew moves it. The home of a tag grows with the
//! tag, and probing never goes round, so that a traversal which has come to an empty slot has seen all tags up to a
//! certain one, whatever size the table has by the time of the next page.

use crate::layout::TableWord;
use crate::layout::table::{CHECK, EMPTY, MAGIC, MAGIC_AT, SHARD, SLOTS, TAIL, TOMB, UNIT_BIAS, WORD};
use crate::map::Span;
use crate::protocol::{Words, prepare};

/// One more than the greatest tag: where a walk over all tags ends.
pub(crate) const TAGS: u64 = 1 << 32;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Table<'a> {
    span: Span<'a>,
    capacity: usize,
}

impl<'a> Table<'a> {
    pub(crate) fn new(span: Span<'a>, capacity: usize) -> Self {
        debug_assert!(SLOTS + capacity + TAIL <= span.len());
        Self { span, capacity }
    }

    /// Home slots. There are some more behind them.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// All slots.
    pub(crate) fn len(&self) -> usize {
        self.capacity + TAIL
    }

    #[inline]
    pub(crate) fn home(&self, tag: u64) -> usize {
        ((tag * self.capacity as u64) >> 32) as usize
    }

    /// The smallest tag whose home is behind `slot`.
    pub(crate) fn first_tag_behind(&self, slot: usize) -> u64 {
        ((slot as u64 + 1) << 32).div_ceil(self.capacity as u64).min(TAGS)
    }

    #[inline]
    pub(crate) fn get(&self, slot: usize) -> u64 {
        self.span.get_acquire(SLOTS + slot)
    }

    /// The span and the index of a slot, for publishing.
    pub(crate) fn word(&self, slot: usize) -> (&Span<'a>, usize) {
        (&self.span, SLOTS + slot)
    }

    pub(crate) fn set(&self, slot: usize, value: u64) {
        self.span.set(SLOTS + slot, value);
    }

    /// Puts a slot into a table that nobody reads yet; `false` if there is no room behind its home.
    pub(crate) fn fill(&self, value: u64) -> bool {
        let free = (self.home(tag_of(value))..self.len()).find(|&slot| self.span.get(SLOTS + slot) == EMPTY);
        free.map(|slot| self.set(slot, value)).is_some()
    }

    pub(crate) fn clear(&self) {
        (0..self.len()).for_each(|slot| self.set(slot, EMPTY));
    }

    /// Makes a table that was given up unrecognisable.
    pub(crate) fn bury(&self) {
        bury(&self.span);
    }

    /// Writes what a table begins with.
    pub(crate) fn label(&self, shard: u32, word: TableWord) {
        let words = label(shard, word);
        for (index, value) in [MAGIC_AT, SHARD, WORD, CHECK].into_iter().zip(words) {
            self.span.set(index, value);
        }
    }
}

/// Makes the table at the start of `span` unrecognisable.
pub(crate) fn bury(span: &Span<'_>) {
    prepare(span);
    span.set(MAGIC_AT, 0);
}

/// The table word that the label in `span` names, if it is one of this shard.
pub(crate) fn labelled(span: &Span<'_>, shard: u32) -> Option<TableWord> {
    let word = TableWord::unpack(span.get(WORD))?;
    let words = label(shard, word);
    let same =
        [MAGIC_AT, SHARD, WORD, CHECK].into_iter().zip(words).all(|(index, value)| span.get(index) == value);
    same.then_some(word)
}

fn label(shard: u32, word: TableWord) -> [u64; 4] {
    let word = word.pack();
    let shard = u64::from(shard);
    [MAGIC, shard, word, (MAGIC ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ shard]
}

#[inline]
pub(crate) fn tag(hash: u64) -> u64 {
    hash >> 32
}

#[inline]
pub(crate) fn tag_of(slot: u64) -> u64 {
    slot >> 32
}

/// The unit that a slot points to, or `None` for one that is empty or a tomb.
#[inline]
pub(crate) fn unit_of(slot: u64) -> Option<u64> {
    (slot & 0xffff_ffff).checked_sub(UNIT_BIAS)
}

#[inline]
pub(crate) fn slot(tag: u64, unit: u64) -> u64 {
    tag << 32 | (unit + UNIT_BIAS)
}

pub(crate) const REMOVED: u64 = TOMB;
pub(crate) const NOTHING: u64 = EMPTY;
