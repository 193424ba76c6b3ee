//! Sessions of Rust's session libraries.

/// Rust tells numbers from text.
#[cfg(feature = "serde")]
pub const TYPING: crate::Typing = crate::Typing::Strict;

#[cfg(feature = "actix-session")]
pub mod actix_session;
#[cfg(feature = "async-session")]
pub mod async_session;
#[cfg(feature = "axum-session")]
pub mod axum_session;
pub mod cookie;
#[cfg(feature = "tower-sessions")]
pub mod tower_sessions;

#[cfg(any(feature = "actix-session", feature = "axum-session", feature = "async-session"))]
mod texts;
