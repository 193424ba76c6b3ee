#![doc = include_str!("../README.md")]
#![cfg_attr(
    not(feature = "session-all"),
    allow(dead_code, reason = "some helpers serve only the clauses left out")
)]

mod rows;
mod session_rows;
mod table;

mod clauses;

mod harness;
mod suite;

mod advice;
mod child;
mod common;
mod failure;
mod history;
mod level;
mod linear;
mod role;
mod stage;

pub mod matrix;
#[cfg(feature = "session")]
pub mod order;
mod run;
mod settings;
mod spec;
pub mod testing;

pub use failure::Failure;
pub use harness::{FileRange, Harness, HarnessError, HarnessResult, Time};
pub use level::{Level, Requirement};
pub use run::{Suite, child_tag};
pub use settings::Settings;
pub use suite::Place;
pub use table::{CLAUSES, Clause, clause};
