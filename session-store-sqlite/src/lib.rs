#![doc = include_str!("../README.md")]

mod change;
mod config;
mod error;
mod keeper;
mod open;
mod query;
mod queue;
mod readers;
mod schema;
mod store;
mod writer;

pub use config::{Durability, SqliteConfig};
pub use store::SqliteStore;
