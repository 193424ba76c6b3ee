//! Lets a thread die before one of its stores to the shared file, for tests (`tests/unit/crash.rs`).

use std::cell::Cell;

thread_local! {
    /// How many stores the thread makes before it dies, if it is to die.
    static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
    static DEAD: Cell<bool> = const { Cell::new(false) };
}

pub(crate) fn step() {
    match LEFT.get() {
        None => {}
        Some(0) => {
            DEAD.set(true);
            LEFT.set(None);
            std::panic::resume_unwind(Box::new("dead"));
        }
        Some(left) => LEFT.set(Some(left - 1)),
    }
}

/// Whether this thread is dead. A dead thread releases no lock.
pub(crate) fn is_dead() -> bool {
    DEAD.get()
}

/// Runs `work` on a thread that dies before its store number `n`, counted from 0. Returns whether `work` finished first.
pub(crate) fn finishes_before_crash(n: u64, work: impl FnOnce() + Send) -> bool {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            LEFT.set(Some(n));
            work();
            LEFT.set(None);
        });
        match thread.join() {
            Ok(()) => true,
            Err(cause) if cause.downcast_ref::<&str>() == Some(&"dead") => false,
            Err(cause) => std::panic::resume_unwind(cause),
        }
    })
}
