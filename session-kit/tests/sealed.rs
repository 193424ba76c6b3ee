//! Cookie-only sessions, in an axum application: in process, and over real sockets.
#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

#[path = "sealed/app.rs"]
mod app;
#[path = "sealed/chunks.rs"]
mod chunks;
#[path = "sealed/events.rs"]
mod events;
#[path = "sealed/forged.rs"]
mod forged;
#[path = "sealed/revoked.rs"]
mod revoked;
#[path = "sealed/sockets.rs"]
mod sockets;
#[path = "sealed/whole.rs"]
mod whole;
