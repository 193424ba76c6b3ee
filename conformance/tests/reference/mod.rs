//! The smallest driver that keeps every clause: an append-only log with an index in memory, whose file lock makes
//! every operation one step across tasks, handles and processes. It compares well with nothing but the clauses.
//!
//! It is also the base of the mutants: a [`Defect`] changes one thing, in the place where such a mistake is made.

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
