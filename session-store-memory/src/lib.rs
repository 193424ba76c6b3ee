#![doc = include_str!("../README.md")]

mod block;
mod config;
mod large;
mod packed;
mod page;
mod pause;
mod purge;
mod queue;
mod row;
mod shard;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod usage;

pub use config::{Config, WhenFull};
pub use store::Memory;
pub use usage::OVERHEAD;
