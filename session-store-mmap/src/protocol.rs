//! How one change becomes visible to those who read without a lock.
//!
//! Whoever holds the lock of a shard prepares what is new where no reader looks, publishes it by storing one word, and
//! then moves the stamp of the shard on. What the published word replaced may be written over only after the stamp has
//! moved. A reader takes the stamp, reads, and takes the stamp again: if it stayed, nothing that was read was
//! written over meanwhile, and at most one word was published. There is no odd stamp as in a seqlock, so a writer that
//! is killed or not scheduled keeps no reader waiting.
//!
//! These functions are all there is of memory ordering, and the tests below run them under loom.

/// Shared words.
pub(crate) trait Words {
    fn get(&self, index: usize) -> u64;
    fn get_acquire(&self, index: usize) -> u64;
    fn set(&self, index: usize, value: u64);
    fn set_release(&self, index: usize, value: u64);
    fn fence_acquire(&self);
    fn fence_release(&self);
}

/// Runs `attempt` and gives what it saw, or `None` if that may be a mixture.
#[inline]
pub(crate) fn read<T>(stamps: &impl Words, stamp: usize, attempt: impl FnOnce() -> T) -> Option<T> {
    let before = stamps.get_acquire(stamp);
    let seen = attempt();
    // Orders the reads of the attempt before that of the stamp. Whoever wrote over something that was read had a
    // release fence before (`prepare`), and the stamp had moved before that.
    stamps.fence_acquire();
    (stamps.get(stamp) == before).then_some(seen)
}

/// To be called before the first word of something new is written where something old may have been.
#[inline]
pub(crate) fn prepare(words: &impl Words) {
    words.fence_release();
}

/// Makes `value` visible, and with it all that was written before.
#[inline]
pub(crate) fn publish(words: &impl Words, index: usize, value: u64) {
    words.set_release(index, value);
}

/// Moves the stamp on: what was replaced by words published before may be written over from now on.
#[inline]
pub(crate) fn retire(stamps: &impl Words, stamp: usize) {
    stamps.set_release(stamp, stamps.get(stamp).wrapping_add(1));
}
