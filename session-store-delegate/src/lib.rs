#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
mod store;

mod delegate;
mod mapping;
mod model;

mod blocking;

mod change;
mod fields;
mod purge;
mod read;
mod traverse;
mod unit;

mod error;

pub use config::DelegateConfig;
pub use delegate::{Delegate, Value};
pub use mapping::{ByPrefix, Fields, Location, Mapping};
pub use model::{Flushed, Model};
pub use store::DelegateStore;
