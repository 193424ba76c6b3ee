//! The mapping: the only module with `unsafe`.
//!
//! What it offers cannot be misused from outside: every access is checked against the part of the file that is known
//! to exist, every shared word is read and written as an atomic, and no reference to plain memory of the map is ever
//! made, for another process may change any byte at any time. (An atomic is reached through a reference that lives for
//! one access.) A lock is held by a guard that borrows the map, so the map cannot go while it is held: a mutex that is
//! unmapped by its holder is lost for ever, and leaves a dangling entry in the thread's list of robust locks.

#![expect(unsafe_code, reason = "memory shared with other processes has no safe interface")]

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Duration;

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::layout::{LOCK_BYTES, WORD};
use crate::protocol::Words;

/// How long a thread sleeps between two tries of a lock. Locks are held for microseconds.
const NAP: Duration = Duration::from_micros(50);

/// A file, mapped once at the largest size that it may ever have.
#[derive(Debug)]
pub(crate) struct Map {
    raw: MmapRaw,
    file: File,
    /// How much of the file is known to exist. It only grows, as the file does.
    known: AtomicU64,
}

impl Map {
    /// Maps `size` bytes of `file`, which must be open for reading and writing, however long it is now.
    pub(crate) fn new(file: File, size: u64) -> io::Result<Self> {
        let size = usize::try_from(size).map_err(io::Error::other)?;
        let raw = MmapOptions::new().len(size).map_raw(&file)?;
        let map = Self { raw, file, known: AtomicU64::new(0) };
        map.look_at_the_length()?;
        Ok(map)
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The part of the map that begins at byte `at` and has `words` words, if the file reaches that far. Touching a
    /// page behind the end of the file would be a SIGBUS, so where another process may have let the file grow
    /// meanwhile this asks for its length, once.
    #[inline]
    pub(crate) fn span(&self, at: u64, words: u64) -> Option<Span<'_>> {
        let end = words.checked_mul(WORD).and_then(|bytes| bytes.checked_add(at))?;
        if !at.is_multiple_of(WORD) || (end > self.known.load(Ordering::Relaxed) && !self.reaches(end)) {
            return None;
        }
        // SAFETY: `known` never exceeds the length of the mapping (`look_at_the_length`), so `at`, which is at most
        // `end`, which is at most `known`, lies within it or at its end.
        let first = unsafe { self.raw.as_mut_ptr().add(at as usize) }.cast::<u64>();
        Some(Span { first, words: words as usize, map: PhantomData })
    }

    /// Asks the processor for `lines` cache lines from byte `at` on, before anybody knows whether they are needed.
    #[inline]
    pub(crate) fn prefetch(&self, at: u64, lines: u64) {
        #[cfg(target_arch = "x86_64")]
        for line in 0..lines {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let target = self.raw.as_mut_ptr().cast::<i8>().wrapping_add((at + line * 64) as usize);
            // SAFETY: a prefetch is a hint; it reads nothing that the program could see and never faults, whatever the
            // address is.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(target) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (at, lines);
    }

    #[cold]
    fn reaches(&self, end: u64) -> bool {
        end <= self.raw.len() as u64 && self.look_at_the_length().is_ok_and(|known| end <= known)
    }

    fn look_at_the_length(&self) -> io::Result<u64> {
        let length = self.file.metadata()?.len().min(self.raw.len() as u64);
        Ok(self.known.fetch_max(length, Ordering::Relaxed).max(length))
    }

    /// Makes the disk give all bytes from `from` to `to`. Afterwards storing there cannot fail; a file that is merely
    /// made longer would end in a SIGBUS on a full disk. The file may have become longer after an error, too.
    pub(crate) fn grow(&self, from: u64, to: u64) -> io::Result<()> {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
        if limit.is_some_and(|limit| to > limit) && to > self.file.metadata()?.len() {
            // The kernel would send SIGXFSZ.
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        loop {
            match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), from, to.saturating_sub(from)) {
                Ok(()) => return self.look_at_the_length().map(drop),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Makes the lock at byte `at` anew. Only for who is alone with the file.
    pub(crate) fn init_lock(&self, at: u64) -> io::Result<()> {
        let mutex = self.mutex(at)?;
        let mut attributes = std::mem::MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: `attributes` points to memory of the right type, initialised by the first call before the others
        // use it and not used after the last. `mutex` points to LOCK_BYTES of mapped, writable, aligned memory
        // (`mutex`), and nobody uses the mutex that stood there: the caller is alone with the file.
        unsafe {
            check(libc::pthread_mutexattr_init(attributes))?;
            check(libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED))?;
            check(libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST))?;
            let done = check(libc::pthread_mutex_init(mutex, attributes));
            check(libc::pthread_mutexattr_destroy(attributes))?;
            done
        }
    }

    /// Takes the lock at byte `at`. `true` beside the guard: its last owner died with it, and what it guards must be
    /// repaired; until [`Held::make_consistent`] is called, whoever comes next is told the same.
    ///
    /// It tries and spins for some microseconds, then naps and tries in turn, until the naps are as long as `patience`.
    /// No patience is no system call.
    ///
    /// A timed lock of the C library would wait until a time of day, which is far away once the clock is set back; one
    /// by the monotonic clock is not in every C library.
    #[inline]
    pub(crate) fn lock(&self, at: u64, patience: Duration) -> Result<(Held<'_>, bool), LockError> {
        const SPINS: u32 = 200;
        let mutex = self.mutex(at).map_err(LockError::Os)?;
        for _ in 0..SPINS {
            match self.try_lock(mutex) {
                Err(LockError::Busy) => std::hint::spin_loop(),
                taken => return taken,
            }
        }
        if patience.is_zero() {
            return Err(LockError::Busy);
        }
        self.lock_slowly(mutex, patience)
    }

    #[cold]
    fn lock_slowly(
        &self,
        mutex: *mut libc::pthread_mutex_t,
        patience: Duration,
    ) -> Result<(Held<'_>, bool), LockError> {
        let mut left = patience;
        while !left.is_zero() {
            let long = NAP.min(left);
            nap(long);
            left -= long;
            match self.try_lock(mutex) {
                Err(LockError::Busy) => {}
                taken => return taken,
            }
        }
        Err(LockError::Busy)
    }

    #[inline]
    fn try_lock(&self, mutex: *mut libc::pthread_mutex_t) -> Result<(Held<'_>, bool), LockError> {
        // SAFETY: `mutex` points to a mutex that whoever was alone with the file has initialised (all callers have it
        // from `self.mutex`); it stays mapped while `self` lives.
        match unsafe { libc::pthread_mutex_trylock(mutex) } {
            0 => Ok((Held { mutex, map: PhantomData }, false)),
            libc::EOWNERDEAD => Ok((Held { mutex, map: PhantomData }, true)),
            libc::EBUSY => Err(LockError::Busy),
            code => Err(LockError::Os(io::Error::from_raw_os_error(code))),
        }
    }

    fn mutex(&self, at: u64) -> io::Result<*mut libc::pthread_mutex_t> {
        // Locks stand at multiples of their size, which is more than the mutex asks for.
        let span = self.span(at, LOCK_BYTES / WORD).filter(|_| at.is_multiple_of(LOCK_BYTES));
        span.map(|span| span.first.cast()).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// Why a lock was not taken.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Somebody holds it for longer than the patience lasted.
    Busy,
    /// The lock is none.
    Os(io::Error),
}

/// A lock that is held. It is not `Send`, for the thread that took it must give it back.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    mutex: *mut libc::pthread_mutex_t,
    map: PhantomData<&'a Map>,
}

impl Held<'_> {
    /// Says that what the dead owner left was, or is going to be, repaired: without this the lock would be unusable
    /// for ever once it is given back.
    pub(crate) fn make_consistent(&self) {
        // SAFETY: this thread holds the mutex, which is mapped while `self` borrows the map. For a mutex that is
        // consistent already the call answers EINVAL and does nothing.
        unsafe { libc::pthread_mutex_consistent(self.mutex) };
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        #[cfg(test)]
        if crate::death::is_dead() {
            return;
        }
        // SAFETY: this thread took the mutex (`Held` is not `Send`) and it is mapped while `self` borrows the map.
        unsafe { libc::pthread_mutex_unlock(self.mutex) };
    }
}

/// A run of words of the map.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span<'a> {
    first: *mut u64,
    words: usize,
    map: PhantomData<&'a Map>,
}

// SAFETY: a span is a borrow of a `Map`, which is `Sync`, and offers nothing but atomic accesses.
unsafe impl Send for Span<'_> {}
// SAFETY: the same.
unsafe impl Sync for Span<'_> {}

impl<'a> Span<'a> {
    pub(crate) fn len(&self) -> usize {
        self.words
    }

    #[inline]
    fn word(&self, index: usize) -> &'a AtomicU64 {
        assert!(index < self.words, "the callers keep within the span that they asked for");
        // SAFETY: the span was checked to lie within the part of the file that exists, and `index` within the span;
        // files do not become shorter (documented as outside of the contract). `first` is aligned, for the mapping
        // begins at a page and `at` was checked. The words are only ever accessed as atomics of this size, by this
        // and by every other process; those under a mutex are only accessed by the C library.
        unsafe { AtomicU64::from_ptr(self.first.add(index)) }
    }

    /// `add`s as one step.
    pub(crate) fn add(&self, index: usize, more: u64) {
        before_a_store();
        self.word(index).fetch_add(more, Ordering::Relaxed);
    }

    /// Copies `length` bytes out, from the word `index` on.
    #[inline]
    pub(crate) fn copy_out(&self, index: usize, length: usize) -> Vec<u8> {
        let whole = length / 8;
        assert!(index <= self.words && length.div_ceil(8) <= self.words - index, "as for `word`");
        let mut bytes = Vec::with_capacity(length);
        let target: *mut u8 = bytes.as_mut_ptr();
        for at in 0..whole {
            // SAFETY: `index + at` lies within the span by the assertion, for which see `word`. The eight bytes at
            // `8 * at` lie within the capacity of the vector; nothing is assumed about its alignment.
            unsafe {
                let word = AtomicU64::from_ptr(self.first.add(index + at)).load(Ordering::Relaxed);
                target.add(8 * at).cast::<[u8; 8]>().write(word.to_ne_bytes());
            }
        }
        // SAFETY: the loop has initialised this many bytes, which is within the capacity.
        unsafe { bytes.set_len(8 * whole) };
        let rest = length - 8 * whole;
        if rest > 0 {
            let word = self.word(index + whole).load(Ordering::Relaxed).to_ne_bytes();
            bytes.extend_from_slice(&word[..rest]);
        }
        bytes
    }

    /// Copies `bytes` in, from the word `index` on. What is left of the last word becomes zero.
    #[inline]
    pub(crate) fn copy_in(&self, index: usize, bytes: &[u8]) {
        assert!(index <= self.words && bytes.len().div_ceil(8) <= self.words - index, "as for `word`");
        let (whole, rest) = bytes.as_chunks::<8>();
        for (at, chunk) in whole.iter().enumerate() {
            before_a_store();
            // SAFETY: `index + at` lies within the span by the assertion; see `word`.
            let word = unsafe { AtomicU64::from_ptr(self.first.add(index + at)) };
            word.store(u64::from_ne_bytes(*chunk), Ordering::Relaxed);
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            before_a_store();
            self.word(index + whole.len()).store(u64::from_ne_bytes(last), Ordering::Relaxed);
        }
    }

    /// Whether the bytes from the word `index` on are these.
    #[inline]
    pub(crate) fn holds(&self, index: usize, bytes: &[u8]) -> bool {
        let (whole, rest) = bytes.as_chunks::<8>();
        let same = |(at, chunk): (usize, &[u8; 8])| self.get(index + at) == u64::from_ne_bytes(*chunk);
        whole.iter().enumerate().all(same) && {
            let last = if rest.is_empty() { [0; 8] } else { self.get(index + whole.len()).to_ne_bytes() };
            last[..rest.len()] == *rest
        }
    }
}

impl Words for Span<'_> {
    #[inline]
    fn get(&self, index: usize) -> u64 {
        self.word(index).load(Ordering::Relaxed)
    }
    #[inline]
    fn get_acquire(&self, index: usize) -> u64 {
        self.word(index).load(Ordering::Acquire)
    }
    #[inline]
    fn set(&self, index: usize, value: u64) {
        before_a_store();
        self.word(index).store(value, Ordering::Relaxed);
    }
    #[inline]
    fn set_release(&self, index: usize, value: u64) {
        before_a_store();
        self.word(index).store(value, Ordering::Release);
    }
    #[inline]
    fn fence_acquire(&self) {
        fence(Ordering::Acquire);
    }
    #[inline]
    fn fence_release(&self) {
        fence(Ordering::Release);
    }
}

/// Where a process that is killed may die, as far as the others can see: tests let a thread die before any store.
#[inline(always)]
fn before_a_store() {
    #[cfg(test)]
    crate::death::step();
}

#[expect(clippy::disallowed_methods, reason = "waits for the owner of a lock, which no clock of tests moves")]
fn nap(long: Duration) {
    std::thread::sleep(long);
}

fn check(code: i32) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
}
