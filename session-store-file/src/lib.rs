#![doc = include_str!("../README.md")]

#[cfg(not(target_os = "linux"))]
compile_error!(
    "session-store-file needs Linux (renameat2, syncfs); session-store-sqlite gives the same guarantees elsewhere"
);

mod config;
mod open;
mod store;

mod change;
mod purge;
mod read;
mod traverse;

mod error;
mod layout;
mod path;
mod publish;
mod root;
mod scan;
mod shard;
mod sys;

#[cfg(test)]
mod tests;

pub use config::FileConfig;
pub use session_core::Durability;
pub use store::FileStore;
