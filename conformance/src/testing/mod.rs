//! Helpers for the tests of drivers and session layers: storage, child processes, random numbers, and drivers that
//! record, fail and park calls.
//!
//! They panic where something is wrong, as tests do. Each name says what it is:
//!
//! | name | use |
//! |---|---|
//! | [`FreshPath`], [`set_modes`] | a path in a directory or on a disk of its own, and its permissions |
//! | [`OncePerProcess`], [`OnceHandle`] | a path with a store that is one object per process, and its handles |
//! | [`SmallDisk`] | a file system of a few megabytes that is soon full |
//! | [`ChildProcess`] | this test binary again, as a child that plays a role and can be stopped or killed |
//! | [`forked`] | a forked child of this process, which inherits its handles |
//! | [`Shortage`] | a time in which this process can open no file |
//! | [`rng`] | random numbers whose seed is printed and can be given |
//! | [`MapDriver`] | the simplest driver that follows SPEC.md: a map in memory, by a [`TestClock`](session_core::TestClock) |
//! | [`Probe`], [`condition_of`] | a driver around a driver that records, fails and parks calls; the condition of a change |
//! | [`Tree`], [`step`], [`interleave`] | all orders in which requests can meet |
//! | [`assert_forwards`] | whether a wrapper forwards every method of [`Driver`](session_core::Driver) |
//! | [`full`], [`amount`] | whether to run the long forms (`SESSION_KIT_FULL=1`) |
//! | [`block_on`], [`poll_once`] | futures in plain tests |

mod child;
mod disk;
mod fork;
mod forwards;
mod map;
mod once;
mod path;
mod probe;
mod shortage;
mod step;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

pub(crate) use child::assigned;
pub use child::{ChildProcess, child_args, say};
pub use disk::SmallDisk;
pub use fastrand::Rng;
pub use fork::forked;
pub use forwards::assert_forwards;
pub use map::MapDriver;
pub use once::{OnceHandle, OncePerProcess};
pub use path::{FreshPath, set_modes};
pub use probe::{Applied, Call, Fate, Fault, Probe, condition_of};
pub use shortage::Shortage;
pub use step::{Request, Tree, interleave, step};

use crate::settings::Settings;

/// Whether this run uses the long forms: `SESSION_KIT_FULL=1`.
#[must_use]
pub fn full() -> bool {
    Settings::from_env().full
}

/// `short`, or `long` in a run with [`full`].
#[must_use]
pub fn amount(short: usize, long: usize) -> usize {
    if full() { long } else { short }
}

/// Random numbers. The seed is printed, so that a failed test shows it; `SESSION_KIT_SEED` sets it.
#[must_use]
#[expect(clippy::print_stderr, reason = "the test runner shows it where the test fails")]
pub fn rng() -> Rng {
    let seed = Settings::from_env().seed_or_fresh();
    eprintln!("SESSION_KIT_SEED={seed}");
    Rng::with_seed(seed)
}

/// Runs `future` on a runtime of the current thread.
///
/// # Panics
/// If the runtime cannot be built.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime of the current thread needs no resources").block_on(future)
}

/// Polls `future` once, with a waker that does nothing. `None` while it is pending.
pub fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
