#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod check;
mod codec;
mod commit;
mod config;
mod destroy;
mod error;
mod event;
mod find;
mod flash;
#[cfg(test)]
mod golden;
mod load;
mod op;
mod outcome;
mod random;
mod request;
mod rotate;
mod session;
mod sessions;
mod settle;
mod sweep;
mod table;
mod work;

pub use check::AddressCheck;
pub use codec::Codec;
pub use config::{OnCorrupt, SessionsBuilder};
pub use error::{Error, ErrorKind};
pub use event::{Event, Observer, SessionTag};
pub use find::{Found, FoundPage};
pub use flash::Flash;
pub use outcome::{Committed, EndReason, IdUpdate, Outcome};
pub use request::RequestInfo;
pub use session::Session;
pub use sessions::Sessions;
pub use sweep::{Sweep, Sweeper};
