#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
mod open;
mod store;

mod change;
mod purge;
mod read;
mod traverse;

mod layout;
mod native;
mod parts;
mod script;
mod swap;
mod upload;

#[cfg(feature = "cluster")]
mod cluster;
mod connection;
mod cursor;
mod error;
mod link;
mod node;
mod topology;
mod url;

pub use config::RedisConfig;
pub use store::RedisStore;
