#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod layer;

mod body;
mod carried;
mod future;
mod refuse;
mod service;

pub use body::CommitBody;
pub use carried::CarriedSessionLayer;
pub use future::ResponseFuture;
pub use layer::SessionLayer;
pub use refuse::{DefaultRefusal, Refuse, RefuseWith};
pub use service::SessionService;
pub use session_manager::{
    Error, ErrorKind, LateSession, NotStored, OnHandlerError, OnNotStored, OnStoreError, Refused, Session,
    Undecoded, Unrendered,
};
pub use session_web::{
    ClearSiteData, ClientAddress, LazySession, Refusal, RoutePolicy, RoutePolicyService, SessionValue, Typed,
};
