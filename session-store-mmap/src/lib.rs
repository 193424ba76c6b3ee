#![doc = include_str!("../README.md")]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!(
    "session-store-mmap needs 64-bit Linux (robust process-shared locks, fallocate); session-store-sqlite is the store \
     for one host elsewhere"
);

mod alloc;
mod area;
mod aside;
mod compact;
mod config;
#[cfg(test)]
mod death;
mod error;
mod extent;
mod layout;
mod map;
mod open;
mod ops;
mod page;
mod protocol;
mod record;
mod recover;
mod room;
mod salvage;
mod shard;
mod store;
mod table;

pub use config::{Durability, MmapConfig, OnFull};
pub use store::{MmapStore, Repairs};

#[cfg(test)]
#[path = "../tests/unit/death.rs"]
mod death_tests;
