#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
mod error;
mod link;
mod scan;
mod script;
mod store;
mod value;

pub use config::Config;
pub use store::Redis;
