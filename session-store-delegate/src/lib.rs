#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod blocking;
mod config;
mod delegate;
mod error;
mod mapping;
mod model;
mod store;
mod unit;

pub use blocking::{BlockingModel, InPlace, Plain};
pub use config::DelegateConfig;
pub use delegate::{Delegate, Value};
pub use mapping::{ByPrefix, Fields, Mapping, Place};
pub use model::{Flushed, Model};
pub use store::DelegateStore;
