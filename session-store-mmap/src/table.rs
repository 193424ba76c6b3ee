//! The table of a shard: slots of one word each, with linear probing, in the order of the tags.
//!
//! A record keeps its slot while it lives; only a new table moves it. A tag's home slot grows with the tag, and probing
//! never wraps around. A traversal that reached an empty slot has therefore seen all tags up to a known one, even if
//! the table has another size at the next page.

use crate::layout::TableWord;
use crate::layout::table::{CHECK, MAGIC, MAGIC_AT, SHARD, SLOTS, TAIL, UNIT_BIAS, WORD};
pub(crate) use crate::layout::table::{EMPTY, REMOVED};
use crate::map::Span;
use crate::protocol::{Words, prepare};

/// One more than the greatest tag, where a walk over all tags ends.
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

    /// How many home slots there are. `TAIL` more follow them.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many slots there are.
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

    /// Makes `value` visible in `slot`.
    #[inline]
    pub(crate) fn publish(&self, slot: usize, value: u64) {
        self.span.set_release(SLOTS + slot, value);
    }

    /// Adds a slot to a table that no reader can see yet. `false` if all slots behind its home are taken.
    pub(crate) fn fill(&self, value: u64) -> bool {
        let free = (self.home(tag_of(value))..self.len()).find(|&slot| self.span.get(SLOTS + slot) == EMPTY);
        free.map(|slot| self.span.set(SLOTS + slot, value)).is_some()
    }

    pub(crate) fn clear(&self) {
        (0..self.len()).for_each(|slot| self.span.set(SLOTS + slot, EMPTY));
    }

    /// Makes a table that is no longer in use unrecognisable.
    pub(crate) fn invalidate(&self) {
        invalidate(&self.span);
    }

    /// Writes the label, which names the shard and the table.
    pub(crate) fn label(&self, shard: u32, word: TableWord) {
        for (index, value) in label(shard, word) {
            self.span.set(index, value);
        }
    }
}

/// Makes the table at the start of `span` unrecognisable.
pub(crate) fn invalidate(span: &Span<'_>) {
    prepare(span);
    span.set(MAGIC_AT, 0);
}

/// The table word in the label at the start of `span`, if it is a table of this shard.
pub(crate) fn labelled(span: &Span<'_>, shard: u32) -> Option<TableWord> {
    let word = TableWord::unpack(span.get(WORD))?;
    label(shard, word).into_iter().all(|(index, value)| span.get(index) == value).then_some(word)
}

fn label(shard: u32, word: TableWord) -> [(usize, u64); 4] {
    let (word, shard) = (word.pack(), u64::from(shard));
    let check = (MAGIC ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ shard;
    [(MAGIC_AT, MAGIC), (SHARD, shard), (WORD, word), (CHECK, check)]
}

#[inline]
pub(crate) fn tag(hash: u64) -> u64 {
    hash >> 32
}

#[inline]
pub(crate) fn tag_of(slot: u64) -> u64 {
    slot >> 32
}

/// The unit that a slot leads to. `None` for an empty or removed slot.
#[inline]
pub(crate) fn unit_of(slot: u64) -> Option<u64> {
    (slot & 0xffff_ffff).checked_sub(UNIT_BIAS)
}

#[inline]
pub(crate) fn slot(tag: u64, unit: u64) -> u64 {
    tag << 32 | (unit + UNIT_BIAS)
}
