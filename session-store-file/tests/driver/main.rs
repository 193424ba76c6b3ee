//! Kills, links, unknown, torn and damaged files, vanishing directories, lost permission, full disks, leftovers, and very
//! many files.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "an error fails the test, and child processes print to their parent"
)]

mod damage;
mod directory;
mod kill;
mod purge;
mod refusal;
mod scale;
mod support;
