//! The functions that check the clauses, a module per level.
//!
//! # Adding a clause
//! 1. Write `pub(crate) async fn x99_a_sentence_about_behaviour(stage: &Stage) -> Check` in the module of its level;
//!    a level may spread over several files that its module re-exports.
//! 2. Give it a row in `table.rs` with the next free id. An id that was ever used is never used again.
//! 3. Name in the row the defects of the reference driver (`tests/reference/defect.rs`) that the clause notices, new
//!    ones as needed: one up to level concurrent, two above. A clause that no defect fails proves nothing.
//! 4. Give it its line, text and reason in SPEC.md.

pub(crate) mod basic;
mod basic_handle;
pub(crate) mod concurrent;
mod concurrent_use;
pub(crate) mod durable;
pub(crate) mod expiry;
pub(crate) mod faults;
mod faults_away;
mod faults_full;
pub(crate) mod roles;
pub(crate) mod session;
mod session_checks;
mod session_commit;
mod session_find;
mod session_flash;
mod session_identity;
mod session_lifecycle;
mod session_order;
mod session_replay;
mod session_time;
mod session_values;
pub(crate) mod shared;
pub(crate) mod traverse;
