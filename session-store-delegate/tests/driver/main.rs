//! Tests of what is particular to this driver: which calls of the model an operation makes, and how it uses the answers.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod calls;
mod cancel;
mod failures;
mod fields;
mod objects;
mod rivals;

use std::sync::Arc;
use std::time::Duration;

use session_core::{Capabilities, Key, Record, Revision, TestClock, Timestamp};
use session_store_delegate::{DelegateConfig, DelegateStore};

use objects::Objects;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

type Store = DelegateStore<Objects>;

fn claims() -> Capabilities {
    Capabilities::none().conditional(true).max_record_bytes(Some(100))
}

/// A store, its model and its clock.
fn store_with(claims: Capabilities) -> (Store, Objects, TestClock) {
    store_in(Objects::new(claims))
}

fn store_in(model: Objects) -> (Store, Objects, TestClock) {
    let clock = TestClock::new(NOW);
    let config = DelegateConfig::new(model.clone()).clock(Arc::new(clock.clone()));
    (DelegateStore::open(config), model, clock)
}

fn store() -> (Store, Objects, TestClock) {
    store_with(claims())
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

fn rev(number: u8) -> Revision {
    Revision::from_bytes([number; 8])
}

/// A record without a deadline.
fn record(number: u8) -> Record {
    Record::new(vec![number], None, rev(number))
}

fn later() -> Timestamp {
    NOW.saturating_add(Duration::from_secs(60))
}

/// A record that expires in a minute.
fn expiring(number: u8) -> Record {
    Record { expires: Some(later()), ..record(number) }
}
