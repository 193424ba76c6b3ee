#![doc = include_str!("../README.md")]

mod config;
mod open;
mod store;

mod change;
mod purge;
mod read;
mod traverse;

mod error;
mod flusher;
mod pending;

#[cfg(test)]
mod tests;

pub use config::SledConfig;
pub use store::SledStore;
