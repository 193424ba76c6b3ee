//! Which keys have unflushed changes.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Counters of unflushed changes. sled shows a change to readers long before it is on disk; a reader checks the counter
/// to learn whether a kill could undo what it read.
///
/// A change is counted before it becomes visible, and until a flush that began after it has ended. A reader checks
/// after reading, so it either finds the counter raised or has read a flushed change. Keys share slots: a reader may
/// wait for the flush of another key, but never misses a change of its own key.
#[derive(Debug)]
pub(crate) struct Pending {
    slots: Box<[AtomicU32]>,
    all: AtomicU64,
    hasher: RandomState,
}

/// The counter of a key. Made by [`Pending::slot`] only, so it is always in range.
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

    /// Counts a change. Called before it is made.
    pub(crate) fn enter(&self, slot: Slot) {
        self.slots[slot.0].fetch_add(1, Ordering::SeqCst);
        self.all.fetch_add(1, Ordering::SeqCst);
    }

    /// Ends the count, after a flush or if nothing was written. A change that may be written and cannot be flushed stays
    /// counted forever, so that no answer shows it.
    pub(crate) fn leave(&self, slot: Slot) {
        self.slots[slot.0].fetch_sub(1, Ordering::SeqCst);
        self.all.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether a key of this slot may have an unflushed change.
    pub(crate) fn has(&self, slot: Slot) -> bool {
        self.slots[slot.0].load(Ordering::SeqCst) != 0
    }

    /// Whether any key may have an unflushed change.
    pub(crate) fn has_any(&self) -> bool {
        self.all.load(Ordering::SeqCst) != 0
    }
}
