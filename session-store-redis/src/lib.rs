#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
mod error;
mod link;
#[cfg(feature = "cluster")]
mod nodes;
mod scan;
mod script;
mod stand;
mod store;
mod topology;
mod value;
mod wire;

pub use config::RedisConfig;
pub use store::RedisStore;
