#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(all(
        feature = "actix-session-0_11",
        any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15")
    )),
    allow(dead_code, reason = "each trait uses a part of the common code")
)]

#[cfg(feature = "actix-session-0_11")]
mod actix;
#[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
mod tower;

mod base;
mod error;
mod guarded;
mod key;
mod layout;
mod merge;

#[cfg(feature = "actix-session-0_11")]
pub use actix::ActixStore;
pub use base::RESERVED;
pub use error::{Error, ErrorKind};
#[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
pub use tower::TowerStore;
