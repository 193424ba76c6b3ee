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

pub use config::{MemoryConfig, OnFull};
pub use store::MemoryStore;
pub use usage::OVERHEAD;
