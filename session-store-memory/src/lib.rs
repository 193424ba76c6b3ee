#![doc = include_str!("../README.md")]

mod block;
mod config;
mod packed;
mod page;
mod pause;
mod queue;
mod store;
mod table;
mod usage;

pub use config::{MemoryOptions, WhenFull};
pub use store::Memory;
pub use usage::OVERHEAD;
