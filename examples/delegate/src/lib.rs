#![doc = include_str!("../README.md")]

mod connections;
mod error;
mod model;
mod row;
mod slot;

pub use error::Error;
pub use model::{Options, Visitors, place};
pub use row::Row;
