#![doc = include_str!("../README.md")]

#[cfg(not(target_os = "linux"))]
compile_error!(
    "session-store-file stands on Linux's renameat2 and syncfs; elsewhere take session-store-sqlite, which keeps the same promises"
);

mod change;
mod config;
mod error;
mod layout;
mod place;
mod pool;
mod publish;
mod purge;
mod read;
mod root;
mod scan;
mod shard;
mod store;
mod traverse;

#[cfg(test)]
mod tests;

pub use config::{Durability, FileConfig};
pub use store::FileStore;
