#![cfg_attr(any(not(doctest), feature = "sealed"), doc = include_str!("../README.md"))]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod attributes;
mod check;
mod config;
mod error;
mod parse;
mod scope;
mod state;

#[cfg(feature = "signed")]
mod keys;
#[cfg(feature = "signed")]
mod signed;

#[cfg(feature = "sealed")]
mod seal;
#[cfg(feature = "sealed")]
mod sealed;

pub use attributes::{Lifetime, SameSite};
pub use config::CookieConfig;
pub use error::ConfigError;
#[cfg(feature = "signed")]
pub use keys::{KeyError, KeyRing, SecretKey};
#[cfg(feature = "sealed")]
pub use sealed::SealedCookie;
pub use state::CookieState;
