#![doc = include_str!("../README.md")]

mod attributes;
mod check;
mod config;
mod error;
mod parse;
mod state;

pub use attributes::{Lifetime, SameSite};
pub use config::CookieConfig;
pub use error::ConfigError;
pub use state::CookieState;
