//! Letting a thread die before one of its stores to the shared file, for tests (`tests/unit/death.rs`).

use std::cell::Cell;

thread_local! {
    /// How many stores this thread has left, if it is going to die.
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

/// Whether this thread is dead: it gives nothing back any more.
pub(crate) fn is_dead() -> bool {
    DEAD.get()
}

/// Runs `work` on a thread that dies before store `n`, from 0; whether it came to its end first.
pub(crate) fn ends_before(n: u64, work: impl FnOnce() + Send) -> bool {
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
