#![doc = include_str!("../README.md")]

mod config;
mod open;
mod store;

mod change;
mod evict;
mod purge;
mod read;
mod traverse;

mod bounds;
mod queue;
mod row;
mod shard;
mod table;
#[cfg(test)]
mod tests;

pub use bounds::OVERHEAD;
pub use config::MemoryConfig;
pub use session_core::OnFull;
pub use store::MemoryStore;
