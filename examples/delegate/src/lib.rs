#![doc = include_str!("../README.md")]

mod connections;
mod error;
mod model;
mod row;
mod slot;

pub use error::Error;
pub use model::{Visitors, locate};
pub use row::Row;
