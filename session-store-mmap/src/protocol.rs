//! How a change becomes visible to readers without a lock.
//!
//! The owner of a shard's lock prepares the new words where no reader looks, publishes them by storing one word, and then
//! moves the shard's stamp. Words that were replaced may be overwritten only after the stamp has moved. A reader takes
//! the stamp before and after its reads. If the stamp is unchanged, no word it read was overwritten meanwhile, and at
//! most one word was published. Unlike a seqlock, the stamp is never odd, so a writer that is killed or not scheduled
//! blocks no reader.
//!
//! All memory ordering is in these functions, and the tests run them under loom.

/// Shared words.
pub(crate) trait Words {
    fn get(&self, index: usize) -> u64;
    fn get_acquire(&self, index: usize) -> u64;
    fn set(&self, index: usize, value: u64);
    fn set_release(&self, index: usize, value: u64);
    fn fence_acquire(&self);
    fn fence_release(&self);
}

/// Runs `attempt` and returns its result, or `None` if that may mix two states.
#[inline]
pub(crate) fn read<T>(stamps: &impl Words, stamp: usize, attempt: impl FnOnce() -> T) -> Option<T> {
    let before = stamps.get_acquire(stamp);
    let seen = attempt();
    // Orders the reads of the attempt before the second read of the stamp. A writer that overwrote one of those words
    // made a release fence before (`prepare`), and the stamp had moved before that.
    stamps.fence_acquire();
    (stamps.get(stamp) == before).then_some(seen)
}

/// Call this before the first word that overwrites old ones.
#[inline]
pub(crate) fn prepare(words: &impl Words) {
    words.fence_release();
}

/// Makes `value` visible, and with it all words that were written before.
#[inline]
pub(crate) fn publish(words: &impl Words, index: usize, value: u64) {
    words.set_release(index, value);
}

/// Moves the stamp. The words that were replaced may be overwritten from here on.
#[inline]
pub(crate) fn bump(stamps: &impl Words, stamp: usize) {
    stamps.set_release(stamp, stamps.get(stamp).wrapping_add(1));
}

#[cfg(test)]
mod tests {
    use loom::sync::atomic::{AtomicU64, Ordering, fence};
    use loom::sync::{Arc, Mutex};

    use super::*;

    /// A step that the protocol lacks. The model must find each lack, or it would show nothing.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Lacking {
        Nothing,
        /// The stamp does not move.
        Stamp,
        /// `prepare` makes no fence.
        Prepare,
        /// A word is published without the words before it.
        Release,
        /// A reader makes no fence before the second read of the stamp.
        Acquire,
    }

    /// Words under loom, which tries every order of steps and every value that the memory model allows.
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

    /// The smallest shard: a stamp, a slot that holds the place of the record (0 for none), and two places for a record
    /// of two words, which must be equal.
    const STAMP: usize = 0;
    const SLOT: usize = 1;
    const PLACES: [usize; 2] = [2, 4];

    fn write(words: &Watched, place: usize, value: u64) {
        prepare(words);
        words.set(place, value);
        words.set(place + 1, value);
    }

    /// As `put` does: the new record in the unused place, one word, the stamp. Then the old place is free.
    fn put(words: &Watched, value: u64) {
        let old = words.get(SLOT) as usize;
        let place = if old == PLACES[0] { PLACES[1] } else { PLACES[0] };
        write(words, place, value);
        publish(words, SLOT, place as u64);
        bump(words, STAMP);
    }

    fn look(words: &Watched) -> Option<(u64, u64)> {
        let place = words.get_acquire(SLOT) as usize;
        (place != 0).then(|| (words.get(place), words.get(place + 1)))
    }

    fn whole(seen: Option<(u64, u64)>) -> u64 {
        let (one, other) = seen.expect("the record is always stored");
        assert_eq!(one, other, "a mixture of two records");
        one
    }

    fn fresh(lacking: Lacking) -> Arc<Watched> {
        let words = Watched(std::array::from_fn(|_| AtomicU64::new(0)), lacking);
        put(&words, 1);
        Arc::new(words)
    }

    #[test]
    fn reads_are_whole_while_places_are_reused() {
        reader_beside_two_changes(Lacking::Nothing);
    }

    #[test]
    #[should_panic(expected = "a mixture of two records")]
    fn model_finds_a_missing_stamp() {
        reader_beside_two_changes(Lacking::Stamp);
    }

    #[test]
    #[should_panic(expected = "a mixture of two records")]
    fn model_finds_a_missing_write_fence() {
        reader_beside_two_changes(Lacking::Prepare);
    }

    #[test]
    #[should_panic(expected = "an older record, or none")]
    fn model_finds_an_unordered_publish() {
        reader_beside_two_changes(Lacking::Release);
    }

    #[test]
    #[should_panic(expected = "a mixture of two records")]
    fn model_finds_a_missing_read_fence() {
        reader_beside_two_changes(Lacking::Acquire);
    }

    fn reader_beside_two_changes(lacking: Lacking) {
        loom::model(move || {
            let words = fresh(lacking);
            let writer = {
                let words = Arc::clone(&words);
                loom::thread::spawn(move || {
                    // The second overwrites the first record, which the reader may be reading.
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

    /// A process is killed between publishing and the stamp. The next owner of the lock knows only the table.
    #[test]
    fn repair_after_a_killed_owner_keeps_reads_whole() {
        loom::model(|| {
            let words = fresh(Lacking::Nothing);
            let lock = Arc::new(Mutex::new(()));
            let killed = {
                let (words, lock) = (Arc::clone(&words), Arc::clone(&lock));
                loom::thread::spawn(move || {
                    let _held = lock.lock().unwrap();
                    // As `put` without its last step.
                    write(&words, PLACES[1], 2);
                    publish(&*words, SLOT, PLACES[1] as u64);
                })
            };
            let next = {
                let (words, lock) = (Arc::clone(&words), Arc::clone(&lock));
                loom::thread::spawn(move || {
                    let _held = lock.lock().unwrap();
                    // The repair: published words count, and the stamp moves before any place is reused.
                    bump(&*words, STAMP);
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

    /// A touch writes the unused block, then the touch count that selects it. The words are the stamp, the touch count,
    /// and two blocks of two words.
    fn touch(words: &Watched, turn: u64) {
        write(words, PLACES[turn as usize % 2], turn);
        publish(words, SLOT, turn);
        bump(words, STAMP);
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
                assert!(turn == one && turn == other, "a block of another touch");
            }
            writer.join().unwrap();
        });
    }

    #[test]
    fn reads_see_the_selected_block() {
        reader_beside_two_touches(Lacking::Nothing);
    }

    #[test]
    #[should_panic(expected = "a block of another touch")]
    fn model_finds_a_missing_stamp_of_a_touch() {
        reader_beside_two_touches(Lacking::Stamp);
    }

    #[test]
    #[should_panic(expected = "a block of another touch")]
    fn model_finds_a_missing_write_fence_of_a_touch() {
        reader_beside_two_touches(Lacking::Prepare);
    }
}
