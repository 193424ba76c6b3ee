#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
mod open;
mod store;

mod change;
mod read;

mod cache;
mod shard;
mod sync;

#[cfg(test)]
mod loom_model;
#[cfg(test)]
mod tests;

pub use config::NearConfig;
pub use store::NearCache;
