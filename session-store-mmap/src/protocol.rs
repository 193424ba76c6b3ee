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

    /// Words that loom watches: every order of the steps of all threads, and every value that a weak memory may show.
    struct Watched([AtomicU64; 6]);

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
            self.0[index].store(value, Ordering::Release);
        }
        fn fence_acquire(&self) {
            fence(Ordering::Acquire);
        }
        fn fence_release(&self) {
            fence(Ordering::Release);
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

    fn fresh() -> Arc<Watched> {
        let words = Watched(std::array::from_fn(|_| AtomicU64::new(0)));
        put(&words, 1);
        Arc::new(words)
    }

    #[test]
    fn a_reader_never_sees_a_mixture_though_places_are_used_again() {
        loom::model(|| {
            let words = fresh();
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
                    assert!(value >= latest, "{value} after {latest}");
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
            let words = fresh();
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

    /// The order of steps matters, or the two tests above would show nothing.
    #[test]
    #[should_panic(expected = "a mixture of two records")]
    fn without_the_stamp_a_mixture_is_seen() {
        loom::model(|| {
            let words = fresh();
            let writer = {
                let words = Arc::clone(&words);
                loom::thread::spawn(move || {
                    for value in [2, 3] {
                        let place = if words.get(SLOT) as usize == PLACES[0] { PLACES[1] } else { PLACES[0] };
                        write(&words, place, value);
                        publish(&*words, SLOT, place as u64);
                    }
                })
            };
            if let Some(seen) = read(&*words, STAMP, || look(&words)) {
                whole(seen);
            }
            writer.join().unwrap();
        });
    }
}
