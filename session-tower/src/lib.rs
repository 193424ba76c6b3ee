#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod layer;

mod body;
mod carried;
mod clear;
mod client;
mod engine;
mod future;
mod headers;
mod lazy;
mod mistakes;
mod options;
mod refusal;
mod route;
mod service;
mod typed;

#[cfg(feature = "axum")]
mod extract;

pub use body::CommitBody;
pub use carried::CarriedSessionLayer;
pub use clear::ClearSiteData;
pub use client::ClientAddress;
pub use future::ResponseFuture;
pub use layer::SessionLayer;
pub use lazy::LazySession;
pub use refusal::{DefaultRefusal, Refusal, Refuse, RefuseWith};
pub use route::{RoutePolicy, RoutePolicyService};
pub use service::SessionService;
pub use session_manager::{
    Error, ErrorKind, LateSession, NotStored, OnHandlerError, OnNotStored, OnStoreError, Refused, Session,
    Undecoded, Unrendered,
};
pub use typed::{SessionValue, Typed};
