#![doc = include_str!("../README.md")]

mod config;
mod store;

mod change;
mod error;
mod flusher;
mod open;
mod pause;
mod pending;
mod purge;
mod traverse;

pub use config::{Durability, SledConfig};
pub use store::SledStore;

#[cfg(test)]
mod tests;
