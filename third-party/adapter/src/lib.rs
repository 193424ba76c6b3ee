//! Session stores of other projects as drivers of `session-core`, and the program that runs the conformance suite over
//! them. `cargo xtask conformance --third-party` starts it.
//!
//! [`Foreign`] has the calls of a store of another project. [`Adapted`] is the driver over it: it adds no lock and no
//! comparison that is atomic. [`Store`] describes one published store to the runner.
#![allow(clippy::print_stderr, reason = "the runner is a program")]

mod foreign;

mod adapted;
mod control;
mod payload;
mod store;

mod judge;
mod probe;
mod report;
mod run;

#[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
pub mod tower;

pub use adapted::Adapted;
pub use control::Control;
pub use foreign::{Created, Foreign, Refused, Saved};
pub use payload::{decode, digest, encode};
pub use run::{Entry, entry, main};
pub use store::{Store, VOLATILE};
