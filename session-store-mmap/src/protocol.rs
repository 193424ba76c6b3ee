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

#[cfg(test)]
mod tests {
    use loom::sync::atomic::{AtomicU64, Ordering, fence};
    use loom::sync::{Arc, Mutex};

    use super::*;

    /// What a protocol may lack. Each must be seen to be missed, or the models would show nothing.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Lacking {
        Nothing,
        /// The stamp does not move.
        Stamp,
        /// `prepare` does nothing.
        Prepare,
        /// A word is published without what was written before.
        Release,
        /// A reader does not order its reads before the second look at the stamp.
        Acquire,
    }

    /// Words that loom watches: every order of the steps of all threads, and every value that a weak memory may show.
    struct Watched([AtomicU64; 6], Lacking);

    impl Words for Watched {
        fn get(&self, index: usize) -> u64 {
            self.0[index].load(Ordering::Relaxed)
        }
        fn get_acquire(&self, index: usize) -> u64 {
            self.0[index].load(Ordering::Acquire)
        }
        fn set(&self, index: usize, value: u64) {
            self.0[index].store(value, Ordering::Relaxed);
        }
        fn set_release(&self, index: usize, value: u64) {
            match self.1 {
                Lacking::Stamp if index == STAMP => {}
                Lacking::Release => self.0[index].store(value, Ordering::Relaxed),
                _ => self.0[index].store(value, Ordering::Release),
            }
        }
        fn fence_acquire(&self) {
            if self.1 != Lacking::Acquire {
                fence(Ordering::Acquire);
            }
        }
        fn fence_release(&self) {
            if self.1 != Lacking::Prepare {
                fence(Ordering::Release);
            }
        }
    }

    /// A shard as small as can be: a stamp, a slot that holds the place of the record (0: none), and two places for a
    /// record of two words, which must always be equal.
    const STAMP: usize = 0;
    const SLOT: usize = 1;
    const PLACES: [usize; 2] = [2, 4];

    fn write(words: &Watched, place: usize, value: u64) {
        prepare(words);
        words.set(place, value);
        words.set(place + 1, value);
    }

    /// What `put` does: the new record where nobody looks, one word, the stamp; then the old place is free.
    fn put(words: &Watched, value: u64) {
        let old = words.get(SLOT) as usize;
        let place = if old == PLACES[0] { PLACES[1] } else { PLACES[0] };
        write(words, place, value);
        publish(words, SLOT, place as u64);
        retire(words, STAMP);
    }

    fn look(words: &Watched) -> Option<(u64, u64)> {
        let place = words.get_acquire(SLOT) as usize;
        (place != 0).then(|| (words.get(place), words.get(place + 1)))
    }

    fn whole(seen: Option<(u64, u64)>) -> u64 {
        let (one, other) = seen.expect("the record is there all the time");
        assert_eq!(one, other, "a mixture of two records");
        one
    }

    fn fresh(lacking: Lacking) -> Arc<Watched> {
        let words = Watched(std::array::from_fn(|_| AtomicU64::new(0)), lacking);
        put(&words, 1);
        Arc::new(words)
    }

    #[test]
    fn a_reader_never_sees_a_mixture_though_places_are_used_again() {
        reader_beside_two_changes(Lacking::Nothing);
    }

    #[test]
    #[should_panic(expected = "a mixture of two records")]
    fn without_the_stamp_a_mixture_is_seen() {
        reader_beside_two_changes(Lacking::Stamp);
    }

    #[test]
    #[should_panic(expected = "a mixture of two records")]
    fn without_the_fence_before_a_place_is_written_over_a_mixture_is_seen() {
        reader_beside_two_changes(Lacking::Prepare);
    }

    #[test]
    #[should_panic(expected = "an older record, or none")]
    fn without_the_order_of_publishing_a_place_is_read_before_it_was_written() {
        reader_beside_two_changes(Lacking::Release);
    }

    #[test]
    #[should_panic(expected = "a mixture of two records")]
    fn without_the_fence_of_the_reader_a_mixture_is_seen() {
        reader_beside_two_changes(Lacking::Acquire);
    }

    fn reader_beside_two_changes(lacking: Lacking) {
        loom::model(move || {
            let words = fresh(lacking);
            let writer = {
                let words = Arc::clone(&words);
                loom::thread::spawn(move || {
                    // The second goes where the first record was, which the reader may be reading.
                    put(&words, 2);
                    put(&words, 3);
                })
            };
            let mut latest = 0;
            for _ in 0..2 {
                if let Some(seen) = read(&*words, STAMP, || look(&words)) {
                    let value = whole(seen);
                    assert!(value >= latest, "an older record, or none: {value} after {latest}");
                    latest = value;
                }
            }
            writer.join().unwrap();
            assert_eq!(whole(read(&*words, STAMP, || look(&words)).unwrap()), 3);
        });
    }

    /// Two processes take turns under the lock, and one is killed at any of its steps; whoever takes the lock next has
    /// only the table to go by.
    #[test]
    fn whoever_follows_a_killed_owner_goes_on_from_the_old_record_or_the_new_one() {
        loom::model(|| {
            let words = fresh(Lacking::Nothing);
            let lock = Arc::new(Mutex::new(()));
            let killed = {
                let (words, lock) = (Arc::clone(&words), Arc::clone(&lock));
                loom::thread::spawn(move || {
                    let _held = lock.lock().unwrap();
                    // As `put`, without its last step: the process dies between publishing and the stamp.
                    write(&words, PLACES[1], 2);
                    publish(&*words, SLOT, PLACES[1] as u64);
                })
            };
            let next = {
                let (words, lock) = (Arc::clone(&words), Arc::clone(&lock));
                loom::thread::spawn(move || {
                    let _held = lock.lock().unwrap();
                    // The repair: whatever is published counts, and the stamp moves before anything is used again.
                    retire(&*words, STAMP);
                    put(&words, 3);
                })
            };
            if let Some(seen) = read(&*words, STAMP, || look(&words)) {
                whole(seen);
            }
            killed.join().unwrap();
            next.join().unwrap();
            whole(read(&*words, STAMP, || look(&words)).unwrap());
        });
    }

    /// A touch: the block that does not count is written, then the turn says that it does. The words are the stamp, the
    /// turn, and two blocks of two words.
    fn touch(words: &Watched, turn: u64) {
        write(words, PLACES[turn as usize % 2], turn);
        publish(words, SLOT, turn);
        retire(words, STAMP);
    }

    fn touched(words: &Watched) -> (u64, u64, u64) {
        let turn = words.get_acquire(SLOT);
        let block = PLACES[turn as usize % 2];
        (turn, words.get(block), words.get(block + 1))
    }

    fn reader_beside_two_touches(lacking: Lacking) {
        loom::model(move || {
            let words = Arc::new(Watched(std::array::from_fn(|_| AtomicU64::new(0)), lacking));
            touch(&words, 1);
            let writer = {
                let words = Arc::clone(&words);
                loom::thread::spawn(move || [2, 3].into_iter().for_each(|turn| touch(&words, turn)))
            };
            if let Some((turn, one, other)) = read(&*words, STAMP, || touched(&words)) {
                assert!(turn == one && turn == other, "a block of another turn");
            }
            writer.join().unwrap();
        });
    }

    #[test]
    fn a_reader_sees_the_block_of_the_turn_though_blocks_are_used_again() {
        reader_beside_two_touches(Lacking::Nothing);
    }

    #[test]
    #[should_panic(expected = "a block of another turn")]
    fn without_the_stamp_a_block_of_another_turn_is_seen() {
        reader_beside_two_touches(Lacking::Stamp);
    }

    #[test]
    #[should_panic(expected = "a block of another turn")]
    fn without_the_fence_before_a_block_is_written_over_another_turn_is_seen() {
        reader_beside_two_touches(Lacking::Prepare);
    }
}
