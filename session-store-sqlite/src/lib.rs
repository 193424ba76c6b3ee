#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
mod connection;
mod open;
mod schema;
mod store;

mod change;
mod purge;
mod read;
mod traverse;

mod commit;
mod keeper;
mod log;
mod queue;
mod readers;
mod writer;

mod error;

pub use config::SqliteConfig;
pub use session_core::Durability;
pub use store::SqliteStore;
