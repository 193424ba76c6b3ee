//! A global allocator that counts, when it is told to.

#![expect(
    unsafe_code,
    reason = "a global allocator cannot be written without it; every call goes to the system's"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

static COUNTING: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicI64 = AtomicI64::new(0);

/// The system's allocator, which counts after [`start_counting`]. Before that it costs one relaxed load, so that a
/// program that measures time and one that counts can be the same.
#[derive(Debug)]
pub struct Counting;

/// Counts from here on. There is no way back: what was counted and then freed uncounted would not add up.
pub fn start_counting() {
    COUNTING.store(true, Relaxed);
}

/// How many allocations were asked for since counting began; a reallocation is one.
#[must_use]
pub fn counted() -> u64 {
    ALLOCATIONS.load(Relaxed)
}

/// Bytes asked for and not given back since counting began. What the allocator adds to each block is not in it.
#[must_use]
pub fn live_bytes() -> i64 {
    BYTES.load(Relaxed)
}

fn note(allocations: u64, bytes: i64) {
    if COUNTING.load(Relaxed) {
        ALLOCATIONS.fetch_add(allocations, Relaxed);
        BYTES.fetch_add(bytes, Relaxed);
    }
}

fn signed(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

// SAFETY: every method hands its arguments unchanged to the system's allocator and returns what that returns, so its
// guarantees are the system's. `note` only adds to atomics: it does not allocate and does not unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, signed(layout.size()));
        // SAFETY: the caller's promises about `layout` are the ones that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(1, signed(layout.size()));
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(0, -signed(layout.size()));
        // SAFETY: the caller got `pointer` from this allocator with `layout`, which means from the system's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(1, signed(size) - signed(layout.size()));
        // SAFETY: as in `dealloc`, and the caller's promises about `size` are the system's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
