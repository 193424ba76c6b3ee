//! The mapping: the only module with `unsafe`, behind a safe interface.
//!
//! - Every access is checked against the part of the file that is known to exist.
//! - Every shared word is read and written as an atomic. The module makes no reference to plain memory of the map, because
//!   other processes may change any byte at any time. A reference to an atomic lives for one access.
//! - A lock is held by a guard that borrows the map. A mutex that its owner unmaps would never be released, and would
//!   leave a dangling entry in the thread's list of robust locks.

#![expect(unsafe_code, reason = "memory shared with other processes has no safe interface")]

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::error::Fault;
use crate::layout::{LOCK_BYTES, WORD};
use crate::protocol::Words;

/// A file, mapped once at its largest possible size.
#[derive(Debug)]
pub(crate) struct Map {
    raw: MmapRaw,
    file: File,
    /// How many bytes of the file are known to exist. It only grows, as the file does.
    known: AtomicU64,
}

impl Map {
    /// Maps `size` bytes of `file`, whatever its length. The file must be open for reading and writing.
    pub(crate) fn new(file: File, size: u64) -> io::Result<Self> {
        let size = usize::try_from(size).map_err(io::Error::other)?;
        let raw = MmapOptions::new().len(size).map_raw(&file)?;
        let map = Self { raw, file, known: AtomicU64::new(0) };
        map.update_known()?;
        Ok(map)
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The `words` words at byte `at`, if the file reaches that far. An access behind the end of the file would be a
    /// SIGBUS. Another process may have let the file grow meanwhile, so this reads the file's length if it must.
    #[inline]
    pub(crate) fn span(&self, at: u64, words: u64) -> Option<Span<'_>> {
        let end = words.checked_mul(WORD).and_then(|bytes| bytes.checked_add(at))?;
        if !at.is_multiple_of(WORD) || (end > self.known.load(Ordering::Relaxed) && !self.reaches(end)) {
            return None;
        }
        // SAFETY: `at <= end <= known`, and `known` never exceeds the length of the mapping (`update_known`), so the
        // pointer stays within the mapping or at its end.
        let first = unsafe { self.raw.as_mut_ptr().add(at as usize) }.cast::<u64>();
        Some(Span { first, words: words as usize, map: PhantomData })
    }

    /// Asks the processor for `lines` cache lines from byte `at`, before it is known whether they are needed.
    #[inline]
    pub(crate) fn prefetch(&self, at: u64, lines: u64) {
        #[cfg(target_arch = "x86_64")]
        for line in 0..lines {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let target = self.raw.as_mut_ptr().cast::<i8>().wrapping_add((at + line * 64) as usize);
            // SAFETY: a prefetch is a hint. It has no visible effect and never faults at any address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(target) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (at, lines);
    }

    #[cold]
    fn reaches(&self, end: u64) -> bool {
        end <= self.raw.len() as u64 && self.update_known().is_ok_and(|known| end <= known)
    }

    fn update_known(&self) -> io::Result<u64> {
        let length = self.file.metadata()?.len().min(self.raw.len() as u64);
        Ok(self.known.fetch_max(length, Ordering::Relaxed).max(length))
    }

    /// Reserves the bytes from `from` to `to` on the disk, so that stores there cannot fail. In a file that is only
    /// made longer they would be a SIGBUS on a full disk. The file may be longer after an error too.
    pub(crate) fn grow(&self, from: u64, to: u64) -> io::Result<()> {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
        if limit.is_some_and(|limit| to > limit) && to > self.file.metadata()?.len() {
            // The kernel would send SIGXFSZ.
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        loop {
            match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), from, to.saturating_sub(from)) {
                Ok(()) => return self.update_known().map(drop),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Initialises the lock at byte `at`. The caller is the only opener of the file.
    pub(crate) fn init_lock(&self, at: u64) -> io::Result<()> {
        let mutex = self.mutex(at)?;
        let mut attributes = std::mem::MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: `attributes` points to memory of the right type. The first call initialises it, and it is not used
        // after `destroy`. `mutex` points to LOCK_BYTES of mapped, writable, aligned memory (`Map::mutex`). No thread
        // uses an older mutex there, because the caller is the only opener of the file.
        unsafe {
            check(libc::pthread_mutexattr_init(attributes))?;
            check(libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED))?;
            check(libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST))?;
            let done = check(libc::pthread_mutex_init(mutex, attributes));
            check(libc::pthread_mutexattr_destroy(attributes))?;
            done
        }
    }

    /// Takes the lock at byte `at`, without a system call. Spins for some microseconds, then fails with `Busy`; the
    /// worker threads repeat such calls after a pause.
    ///
    /// `true` beside the guard means that the last owner died with the lock, so that the protected words need a repair.
    /// Until [`Held::make_consistent`] is called, the next owner gets the same answer.
    #[inline]
    pub(crate) fn lock(&self, at: u64) -> Result<(Held<'_>, bool), Fault> {
        const SPINS: u32 = 200;
        let mutex = self.mutex(at).map_err(Fault::Os)?;
        for _ in 0..SPINS {
            // SAFETY: `mutex` points to a mutex (`Map::mutex`) that the first opener of the file initialised. It stays
            // mapped while `self` lives.
            match unsafe { libc::pthread_mutex_trylock(mutex) } {
                0 => return Ok((Held { mutex, map: PhantomData }, false)),
                libc::EOWNERDEAD => return Ok((Held { mutex, map: PhantomData }, true)),
                libc::EBUSY => std::hint::spin_loop(),
                code => return Err(Fault::Os(io::Error::from_raw_os_error(code))),
            }
        }
        Err(Fault::Busy)
    }

    fn mutex(&self, at: u64) -> io::Result<*mut libc::pthread_mutex_t> {
        // Locks are aligned to LOCK_BYTES, which is more than the mutex needs.
        let span = self.span(at, LOCK_BYTES / WORD).filter(|_| at.is_multiple_of(LOCK_BYTES));
        span.map(|span| span.first.cast()).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// A held lock. It is not `Send`: only the thread that took it may release it.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    mutex: *mut libc::pthread_mutex_t,
    map: PhantomData<&'a Map>,
}

impl Held<'_> {
    /// Accepts the state that a dead owner left. Released without this call, the lock could never be taken again.
    pub(crate) fn make_consistent(&self) {
        // SAFETY: this thread holds the mutex, which is mapped while `self` borrows the map. For a consistent mutex
        // the call returns EINVAL and does nothing.
        unsafe { libc::pthread_mutex_consistent(self.mutex) };
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        #[cfg(test)]
        if crate::crash::is_dead() {
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

// SAFETY: a span borrows a `Map`, which is `Sync`, and offers atomic accesses only.
unsafe impl Send for Span<'_> {}
// SAFETY: as above.
unsafe impl Sync for Span<'_> {}

impl<'a> Span<'a> {
    pub(crate) fn len(&self) -> usize {
        self.words
    }

    #[inline]
    fn word(&self, index: usize) -> &'a AtomicU64 {
        assert!(index < self.words, "callers stay within the span that they asked for");
        // SAFETY: `index` lies within the span, and the span within the existing part of the file (`Map::span`). Users
        // must not shorten the file (documented). `first` is aligned: the mapping begins at a page, and `at` was
        // checked. All processes access the words as atomics of this size; only the C library accesses a mutex.
        unsafe { AtomicU64::from_ptr(self.first.add(index)) }
    }

    /// Adds atomically.
    pub(crate) fn add(&self, index: usize, more: u64) {
        before_a_store();
        self.word(index).fetch_add(more, Ordering::Relaxed);
    }

    /// Copies `length` bytes out, from word `index`.
    #[inline]
    pub(crate) fn copy_out(&self, index: usize, length: usize) -> Vec<u8> {
        let whole = length / 8;
        assert!(index <= self.words && length.div_ceil(8) <= self.words - index, "as in `word`");
        let mut bytes = Vec::with_capacity(length);
        let target: *mut u8 = bytes.as_mut_ptr();
        for at in 0..whole {
            // SAFETY: `index + at` lies within the span by the assertion; see `word`. The eight bytes at `8 * at` lie
            // within the capacity of the vector, and a `[u8; 8]` needs no alignment.
            unsafe {
                let word = AtomicU64::from_ptr(self.first.add(index + at)).load(Ordering::Relaxed);
                target.add(8 * at).cast::<[u8; 8]>().write(word.to_ne_bytes());
            }
        }
        // SAFETY: the loop has initialised this many bytes, and they are within the capacity.
        unsafe { bytes.set_len(8 * whole) };
        let rest = length - 8 * whole;
        if rest > 0 {
            let word = self.word(index + whole).load(Ordering::Relaxed).to_ne_bytes();
            bytes.extend_from_slice(&word[..rest]);
        }
        bytes
    }

    /// Copies `bytes` in, from word `index`. The rest of the last word becomes zero.
    #[inline]
    pub(crate) fn copy_in(&self, index: usize, bytes: &[u8]) {
        assert!(index <= self.words && bytes.len().div_ceil(8) <= self.words - index, "as in `word`");
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

    /// Whether the bytes from word `index` are these.
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

/// Other processes see a crash only between two stores, so tests let a thread die before any of them.
#[inline(always)]
fn before_a_store() {
    #[cfg(test)]
    crate::crash::step();
}

fn check(code: i32) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
}
