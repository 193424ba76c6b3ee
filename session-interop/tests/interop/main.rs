//! The stores behind the traits of other libraries, with requests that meet.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]
#![cfg(all(
    feature = "tower-sessions-0_14",
    feature = "tower-sessions-0_15",
    feature = "actix-session-0_11"
))]

mod actix;
mod stores;
mod tower;
mod versions;
