#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

// In the order of imports: a module uses only modules above it.
mod outcome;

mod client;
mod error;
mod event;

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

mod loaded;
mod replay;
mod work;

mod backend;
mod session;
mod watch;

mod accept;
mod flash;
mod identity;
mod values;

mod fields;
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

mod commit;
mod renew;
mod sessions;

mod reference;

#[cfg(feature = "axum")]
mod axum;
mod builder;
mod find;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod growth;
mod late;
mod sweep;
mod timeouts;
mod users;

mod data;
mod tag;

mod carried;

pub use accept::{list_items, prefers_json};
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
pub use late::LateSession;
pub use outcome::{Committed, EndReason, IdUpdate, NotStored, Outcome};
pub use policy::{OnHandlerError, OnNotStored, OnStoreError};
pub use recover::Undecoded;
pub use reference::SessionRef;
pub use request::RequestInfo;
pub use session::{Closed, Session};
pub use sessions::Sessions;
pub use sweep::{Sweep, Sweeper};
pub use timeouts::Timeouts;
pub use users::Handle;
