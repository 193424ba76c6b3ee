//! Store URLs: the wrong ones and their exact errors, and the right ones, which really open.
#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod right;
mod wrong;
