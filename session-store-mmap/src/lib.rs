#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!(
    "session-store-mmap needs 64-bit Linux (robust process-shared locks, fallocate); session-store-sqlite is the store \
     for one host elsewhere"
);

// From the handle down to the bytes: a group uses only itself and the groups below it, without circles.
mod store;

mod open;
mod salvage;

mod change;
mod purge;
mod read;
mod traverse;

mod repair;
mod seal;
mod shard;
mod space;
mod write;

mod file;
mod map;
mod protocol;
mod record;
mod table;

mod config;
mod error;
mod layout;

#[cfg(test)]
mod crash;

pub use config::MmapConfig;
pub use session_core::OnFull;
pub use store::{MmapStore, Repairs};

#[cfg(test)]
#[path = "../tests/unit/mod.rs"]
mod unit_tests;
