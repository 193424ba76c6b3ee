//! Which keys have changes that are not flushed yet.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// sled shows a change to every reader at once, long before it is on disk. Here whoever reads finds out whether what
/// was read could still be lost.
///
/// A writer counts itself in before its change can be seen, and is counted out after a flush that began after the
/// change. A reader looks after reading: if it saw the change, the writer is still counted in, or the change is
/// flushed. Keys share slots, so a reader may wait for a stranger's flush, but never misses one of its own.
#[derive(Debug)]
pub(crate) struct Pending {
    slots: Box<[AtomicU32]>,
    all: AtomicU64,
    hasher: RandomState,
}

/// Where the changes of a key are counted. Only [`Pending::slot`] makes one, so it is always in range.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot(usize);

const SLOTS: usize = 4_096;

impl Pending {
    pub(crate) fn new() -> Self {
        let slots = (0..SLOTS).map(|_| AtomicU32::new(0)).collect();
        Self { slots, all: AtomicU64::new(0), hasher: RandomState::new() }
    }

    pub(crate) fn slot(&self, key: &[u8]) -> Slot {
        Slot(self.hasher.hash_one(key) as usize % SLOTS)
    }

    /// Before a change.
    pub(crate) fn enter(&self, slot: Slot) {
        self.slots[slot.0].fetch_add(1, Ordering::SeqCst);
        self.all.fetch_add(1, Ordering::SeqCst);
    }

    /// After its flush, or where there was no change after all. What may have changed and cannot be flushed is never
    /// counted out: nobody is told of it again.
    pub(crate) fn leave(&self, slot: Slot) {
        self.slots[slot.0].fetch_sub(1, Ordering::SeqCst);
        self.all.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether what was just read of a key of this slot may not be flushed.
    pub(crate) fn at(&self, slot: Slot) -> bool {
        self.slots[slot.0].load(Ordering::SeqCst) != 0
    }

    /// Whether anything that was just read may not be flushed.
    pub(crate) fn anywhere(&self) -> bool {
        self.all.load(Ordering::SeqCst) != 0
    }
}
