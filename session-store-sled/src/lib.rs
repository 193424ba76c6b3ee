#![doc = include_str!("../README.md")]

mod config;
mod error;
mod flusher;
mod open;
mod purge;
mod store;

pub use config::{Config, Durability};
pub use store::Sled;
