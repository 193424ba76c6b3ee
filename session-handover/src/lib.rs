#![doc = include_str!("../README.md")]

#[cfg(feature = "serde")]
mod access;
#[cfg(any(
    feature = "marshal",
    feature = "pickle",
    feature = "flask",
    feature = "express",
    feature = "tower-sessions",
    feature = "async-session"
))]
mod calendar;
mod error;
#[cfg(any(feature = "django", feature = "express", feature = "php", feature = "rails"))]
mod float;
#[cfg(any(
    feature = "marshal",
    feature = "storable",
    feature = "dumper",
    feature = "yaml-pm",
    feature = "php",
    feature = "pickle"
))]
mod graph;
#[cfg(feature = "json")]
mod json;
#[cfg(any(feature = "django", feature = "express", feature = "rails"))]
mod json_write;
#[cfg(any(feature = "json", feature = "php"))]
mod keys;
#[cfg(any(feature = "express", feature = "cookie-session", feature = "iron-session"))]
pub mod node;
pub mod notation;
#[cfg(any(
    feature = "php-msgpack",
    feature = "rails",
    feature = "flask-session",
    feature = "tower-sessions"
))]
mod pack;
pub mod perl;
#[cfg(feature = "php")]
pub mod php;
pub mod python;
mod reader;
pub mod ruby;
#[cfg(any(
    feature = "tower-sessions",
    feature = "actix-session",
    feature = "axum-session",
    feature = "async-session"
))]
pub mod rust;
#[cfg(feature = "base64")]
mod seal;
mod value;
#[cfg(any(feature = "json", feature = "pickle"))]
mod wtf8;
#[cfg(feature = "zlib")]
mod zlib;

#[cfg(feature = "serde")]
pub use access::Typing;
pub use compact_str::CompactString;
pub use error::{Error, ErrorKind};
pub use reader::Bounds;
#[cfg_attr(
    not(any(feature = "perl", feature = "ruby", feature = "php", feature = "pickle")),
    allow(unused_imports, reason = "each format uses it")
)]
pub(crate) use reader::Reader;
#[cfg(feature = "signed")]
pub use seal::Digest;
pub use value::{Object, Value};
