#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

// In the order of imports: a module uses modules of its own group and of those above.
mod client;
mod error;
mod event;
mod handle;
mod outcome;

mod checked;
mod codec;
mod entry;
mod forward;
mod index;
mod table;

mod config;
mod login;
mod op;
mod policy;
mod request;
mod view;

mod backend;
mod loaded;
mod replay;
mod session;
mod slot;
mod watch;
mod work;

mod accept;
mod flash;
mod identity;
mod values;

mod fields;
mod handover;
mod opened;
mod recover;
mod remember;

mod manager;
mod settle;

mod claim;
mod destroy;
mod enter;
mod load;
mod reload;
mod repair;
mod resolve;
mod rotate;
mod takeover;

mod commit;
mod reference;
mod renew;
mod sessions;

mod builder;
mod carried;
mod data;
mod find;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod growth;
mod late;
mod sweep;
mod tag;
mod timeouts;
mod users;
#[cfg(any(feature = "actix", feature = "axum"))]
mod web;

pub use accept::{accepts_json, list_items, prefers_json};
pub use builder::SessionsBuilder;
pub use carried::{CarriedSessions, NoStore, OneRequest};
pub use client::AddressCheck;
pub use codec::Codec;
pub use config::{OnCorrupt, OnTooMany};
pub use error::{AskedOutside, Error, ErrorKind, Refused, Unrendered};
pub use event::{Event, Observer, SessionTag};
pub use fields::{Fields, SessionView, View};
pub use find::{Found, FoundPage};
pub use flash::Flash;
pub use handle::Handle;
pub use handover::{EndOld, HandoverSource, OnOldFailure, Prepared};
pub use late::LateSession;
pub use outcome::{Closed, Committed, EndReason, IdUpdate, NotStored, Outcome};
pub use policy::{OnHandlerError, OnNotStored, OnStoreError};
pub use recover::Undecoded;
pub use reference::SessionRef;
pub use request::{OldId, RequestInfo};
pub use session::Session;
pub use sessions::Sessions;
pub use sweep::{Sweep, Sweeper};
pub use timeouts::Timeouts;
