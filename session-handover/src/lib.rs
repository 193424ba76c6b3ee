#![doc = include_str!("../README.md")]

mod error;
#[cfg(any(
    feature = "marshal",
    feature = "storable",
    feature = "dumper",
    feature = "yaml-pm",
    feature = "php"
))]
mod graph;
#[cfg(feature = "json")]
mod json;
#[cfg(any(feature = "json", feature = "php"))]
mod keys;
pub mod notation;
#[cfg(any(feature = "php-msgpack", feature = "rails"))]
mod pack;
pub mod perl;
#[cfg(feature = "php")]
pub mod php;
mod reader;
pub mod ruby;
#[cfg(feature = "base64")]
mod seal;
mod value;
#[cfg(feature = "json")]
mod wtf8;

pub use error::{Error, ErrorKind};
pub use reader::Bounds;
#[cfg_attr(
    not(any(feature = "perl", feature = "ruby", feature = "php")),
    allow(unused_imports, reason = "each format uses it")
)]
pub(crate) use reader::Reader;
#[cfg(feature = "signed")]
pub use seal::Digest;
pub use value::{Object, Value};
