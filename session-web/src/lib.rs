#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

// What applications use: the layers re-export it.
mod clear;
mod client;
mod lazy;
mod refusal;
mod route;
mod typed;

#[cfg(feature = "actix")]
mod actix;
#[cfg(feature = "axum")]
mod extract;
#[cfg(feature = "tower")]
mod route_layer;

// What layers are made of.
mod engine;
mod headers;
mod mistakes;
mod open;
mod options;
mod parts;

mod carried;
mod stored;

#[cfg(feature = "actix")]
pub use actix::RoutePolicyMiddleware;
pub use clear::ClearSiteData;
pub use client::ClientAddress;
pub use engine::{Begun, Commit, HeadersRead, RequestHead, SessionEngine, SessionSource};
pub use headers::{keep_headers, no_store, varies_on, vary};
pub use lazy::LazySession;
pub use mistakes::Mistakes;
pub use open::{OpenRequest, Reply};
pub use options::LayerOptions;
pub use parts::LayerParts;
pub use refusal::{Refusal, is_json};
pub use route::RoutePolicy;
#[cfg(feature = "tower")]
pub use route_layer::RoutePolicyService;
pub use session_manager::{
    Error, ErrorKind, LateSession, NotStored, OnHandlerError, OnNotStored, OnStoreError, Refused, Session,
    Undecoded, Unrendered,
};
pub use typed::{SessionValue, Typed};
