#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod engine;
mod error;
#[cfg(feature = "axum")]
mod extract;
mod future;
mod handle;
mod headers;
mod layer;
mod policy;
mod route;
mod service;
mod session;
mod spare;
mod typed;

pub use client::ClientAddress;
pub use error::{Error, Refused};
pub use future::ResponseFuture;
pub use handle::LazySession;
pub use layer::SessionLayer;
pub use policy::{OnHandlerError, OnStoreError};
pub use route::{RoutePolicy, RoutePolicyService};
pub use service::SessionService;
pub use session::Session;
pub use typed::{SessionValue, Typed};
