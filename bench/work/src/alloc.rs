//! A global allocator that counts on request.

#![expect(
    unsafe_code,
    reason = "a global allocator cannot be written without it; every call goes to the system's"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

use crate::args::{Args, Work};

static COUNTING: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicI64 = AtomicI64::new(0);

/// The system's allocator, counting after [`start_counting`]. Before that it costs one relaxed load, so that one program
/// can measure time and count allocations. Every program that links this crate has it.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Starts counting until the program ends: counted blocks that are freed without counting would distort the sum.
pub(crate) fn start_counting() {
    COUNTING.store(true, Relaxed);
}

/// The number of allocations since counting began; a reallocation is one.
#[cfg(any(feature = "actix", feature = "web"))]
pub(crate) fn counted() -> u64 {
    ALLOCATIONS.load(Relaxed)
}

/// The bytes that are allocated and not freed since counting began, without the allocator's own overhead.
fn live_bytes() -> i64 {
    BYTES.load(Relaxed)
}

/// Fills a store in memory, and returns it with the heap bytes per record, which are counted if that is the work.
///
/// # Errors
/// The store cannot be filled.
pub fn with_heap<T>(
    args: &Args,
    fill: impl FnOnce() -> Result<T, Box<dyn Error>>,
) -> Result<(T, f64), Box<dyn Error>> {
    if args.work == Work::Heap {
        start_counting();
    }
    let before = live_bytes();
    let filled = fill()?;
    #[expect(clippy::cast_precision_loss, reason = "byte counts are far below 2^53")]
    let bytes = (live_bytes() - before) as f64 / args.records as f64;
    Ok((filled, bytes))
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

// SAFETY: every method passes its arguments unchanged to the system's allocator and returns its result, so the
// guarantees are the system's. `note` only adds to atomics; it neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, signed(layout.size()));
        // SAFETY: the caller's promises about `layout` are the requirements of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(1, signed(layout.size()));
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(0, -signed(layout.size()));
        // SAFETY: the caller got `pointer` with `layout` from this allocator, and so from the system's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(1, signed(size) - signed(layout.size()));
        // SAFETY: as in `dealloc`, and the caller's promises about `size` are the system's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
