//! Tests of a migration beyond the suite: copies, comparisons, failing stores, and killed processes.
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

mod copying;
mod faults;
mod hop;
mod killed;
mod ledger;
mod listing;
mod stores;
