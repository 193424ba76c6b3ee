#![doc = include_str!("../README.md")]

mod error;
#[cfg(any(feature = "marshal", feature = "storable", feature = "dumper", feature = "yaml-pm"))]
mod graph;
#[cfg(feature = "json")]
mod json;
pub mod notation;
pub mod perl;
mod reader;
pub mod ruby;
#[cfg(feature = "base64")]
mod seal;
mod value;

pub use error::{Error, ErrorKind};
pub use reader::Bounds;
#[cfg_attr(
    not(any(feature = "perl", feature = "ruby")),
    allow(unused_imports, reason = "each format uses it")
)]
pub(crate) use reader::Reader;
#[cfg(feature = "signed")]
pub use seal::Digest;
pub use value::{Object, Value};
