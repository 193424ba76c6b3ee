//! The layer, in process, as an application uses it.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "tests")]

mod common;

mod addresses;
mod bodies;
mod cancelled;
mod cookies;
mod erased;
mod events;
mod extractors;
mod failures;
mod headers;
mod identity;
mod late;
mod laziness;
mod nested;
mod parallel;
mod refusals;
mod several;
