//! The smallest driver that keeps every clause: an append-only log with an index in memory, whose file lock makes
//! every operation atomic across tasks, handles and processes. It is not fast.
//!
//! It is also the base of the mutants: a [`Defect`] changes one thing.

mod between;
mod defect;
mod driver;
mod harness;
mod listing;
mod log;
mod step;
mod table;
mod trouble;

pub use between::Between;
pub use defect::Defect;
pub use driver::Reference;
pub use harness::{ReferenceHarness, Storage};
