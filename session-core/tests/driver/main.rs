//! Wrappers of a driver: forwarding, type erasure, the adapter for blocking drivers.
#![cfg(feature = "offload")]
#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod cancellation;
mod defaults;
mod erased;
mod forwarding;

use session_core::{Key, Record, Revision};

fn key(id: &str) -> Key {
    Key::parse(&format!("user:{id}")).unwrap()
}

fn record(n: u8) -> Record {
    Record::new(vec![n], None, Revision::from_bytes([n; 8]))
}
