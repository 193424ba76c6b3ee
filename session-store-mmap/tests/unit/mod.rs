//! Tests that need the inside of the crate.
#![allow(clippy::unwrap_used, reason = "a failed test stops")]

mod audit;
mod crash;
mod model;
mod room;
mod seal;

use session_core::{Condition, Key, Record, Revision};

use crate::config::MmapConfig;
use crate::file::SessionFile;

fn open(config: &MmapConfig) -> SessionFile {
    crate::open::open(config).unwrap()
}

/// Even ids are sessions, odd ones users.
fn key(id: u64) -> Key {
    let prefix = if id.is_multiple_of(2) { "session" } else { "user" };
    Key::parse(&format!("{prefix}:{id:0>43}")).unwrap()
}

fn revision(n: u64) -> Revision {
    Revision::from_bytes(n.to_le_bytes())
}

fn record(n: u64, length: usize) -> Record {
    Record::new(vec![n as u8; length], None, revision(n))
}

fn store(file: &SessionFile, id: u64, record: &Record) {
    assert!(file.store(&key(id), record, Condition::Any, None).unwrap().is_applied());
}

fn put(file: &SessionFile, id: u64, n: u64, length: usize) {
    store(file, id, &record(n, length));
}

fn remove(file: &SessionFile, id: u64) {
    assert!(file.remove(&key(id), Condition::Any, None).unwrap().is_applied());
}
