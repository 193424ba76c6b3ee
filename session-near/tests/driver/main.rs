//! Tests of the cache beyond the suite: which calls reach the store, and what applications notice.
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

mod calls;
mod sessions;
