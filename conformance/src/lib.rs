#![doc = include_str!("../README.md")]

mod table;

mod clauses;

mod harness;
mod suite;

mod child;
mod common;
mod failure;
mod history;
mod linear;
mod stage;

pub mod matrix;
pub mod order;
mod run;
mod settings;
pub mod spec;
pub mod testing;

pub use failure::Failure;
pub use harness::{Harness, HarnessError, Region, Time};
pub use run::{Suite, child_tag};
pub use settings::Settings;
pub use suite::Place;
pub use table::{CLAUSES, Clause, Level, Requirement, clause};
