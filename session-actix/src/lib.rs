#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod middleware;

mod body;
mod carried;
mod convert;
mod future;
mod refuse;
mod reply;
mod service;

pub use body::CommitBody;
pub use carried::CarriedSessionMiddleware;
pub use future::SessionResponseFuture;
pub use middleware::SessionMiddleware;
pub use refuse::{refusal_builder, refuse};
pub use service::{SessionMiddlewareService, peer_address};
pub use session_manager::{
    Error, ErrorKind, LateSession, NotStored, OnHandlerError, OnNotStored, OnStoreError, Refused, Session,
    Undecoded, Unrendered,
};
pub use session_web::{ClearSiteData, ClientAddress, LazySession, Refusal, RoutePolicy, SessionValue, Typed};
