//! The layer over the memory driver, in process, as an application uses it.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "tests")]

mod common;

mod addresses;
mod cancelled;
mod cookies;
mod extractors;
mod failures;
mod headers;
mod identity;
mod laziness;
mod nested;
mod parallel;
