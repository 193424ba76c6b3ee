#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
mod copy;
mod open;
mod store;
mod verify;

mod change;
mod purge;
mod read;
mod traverse;

mod pair;
mod position;
mod report;
mod reservation;
mod walk;

mod error;

#[cfg(test)]
mod tests;

pub use config::{CopyOptions, Originals, VerifyOptions, prefixes};
pub use copy::copy;
pub use error::{MigrateError, Side};
pub use position::Position;
pub use report::{CopyReport, Progress, VerifyReport};
pub use store::Migrating;
pub use verify::verify;
