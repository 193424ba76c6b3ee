// The examples of the README need these features.
#![cfg_attr(
    any(not(doctest), all(feature = "actix", feature = "sealed", feature = "sqlite", feature = "test-kit")),
    doc = include_str!("../README.md")
)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(any(
        feature = "file",
        feature = "memory",
        feature = "mmap",
        feature = "postgres",
        feature = "redis",
        feature = "sled",
        feature = "sqlite"
    )),
    allow(dead_code, reason = "without a driver, every URL is an error")
)]

pub mod prelude;

#[cfg(feature = "near")]
mod cached;
mod open;
#[cfg(feature = "serde")]
mod opener;
#[cfg(feature = "serde")]
mod options;
mod scheme;
mod suggest;
mod url;

mod error;

pub mod csrf;
#[cfg(feature = "handover")]
pub mod handover;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "test-kit")]
pub mod test_kit;
#[cfg(any(feature = "actix", feature = "tower"))]
mod web;

pub use error::{OpenError, OpenErrorKind};
#[cfg(feature = "metrics")]
pub use metrics::MetricsObserver;
pub use open::{StoreUrl, open, open_sessions};
#[cfg(any(feature = "actix", feature = "tower"))]
pub use web::*;

pub use session_core::{
    self, Clock, Cursor, Driver, DriverExt, DynDriver, Persistence, StoreError, StoreErrorKind, Timestamp,
};
/// Only the layer names it.
#[doc(hidden)]
pub use session_manager::OneRequest;
pub use session_manager::*;

/// The sessions of one store, by default of a store that [`open`] chose.
pub type Sessions<D = DynDriver> = session_manager::Sessions<D>;

#[cfg(feature = "actix")]
pub use session_actix as actix;
#[cfg(feature = "migrate")]
pub use session_migrate as migrate;
#[cfg(feature = "near")]
pub use session_near as near;
#[cfg(feature = "cookie")]
pub use session_state_cookie as cookie;
#[cfg(feature = "sealed")]
pub use session_state_cookie::SealedCookie;
#[cfg(feature = "cookie")]
pub use session_state_cookie::{CookieConfig, CookieState};
#[cfg(feature = "signed")]
pub use session_state_cookie::{KeyError, KeyRing, SecretKey};
#[cfg(feature = "delegate")]
pub use session_store_delegate as delegate;
#[cfg(feature = "file")]
pub use session_store_file as file;
#[cfg(feature = "memory")]
pub use session_store_memory as memory;
#[cfg(feature = "mmap")]
pub use session_store_mmap as mmap;
#[cfg(feature = "postgres")]
pub use session_store_postgres as postgres;
#[cfg(feature = "redis")]
pub use session_store_redis as redis;
#[cfg(feature = "sled")]
pub use session_store_sled as sled;
#[cfg(feature = "sqlite")]
pub use session_store_sqlite as sqlite;
#[cfg(feature = "tower")]
pub use session_tower as tower;
