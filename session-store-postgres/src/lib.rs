#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
mod open;
mod store;

mod change;
mod parts;
mod purge;
mod read;
mod traverse;

mod schema;
mod settings;
mod statement;

mod connect;
mod error;
mod flight;
mod home;
mod link;
mod pending;

mod sslmode;
mod tls;
mod url;
#[cfg(feature = "tls")]
mod verify;

pub use config::PostgresConfig;
pub use sslmode::SslMode;
pub use store::PostgresStore;

pub use deadpool_postgres;
