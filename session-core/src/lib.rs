#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod blocking;
mod capabilities;
mod clock;
mod driver;
mod duration;
mod erased;
mod error;
pub mod frame;
mod id;
mod key;
mod page;
mod record;
mod state;

#[cfg(feature = "tokio")]
pub use blocking::Blocking;
pub use blocking::BlockingDriver;
pub use capabilities::{Capabilities, Expiry, RollsBack, Shared, Survives};
pub use clock::{Clock, SystemClock, TestClock, Timestamp, is_live};
pub use driver::Driver;
pub use duration::{DurationError, parse_duration};
pub use erased::{DynDriver, ErasedDriver};
pub use error::{Applied, Error, ErrorKind, Operation, Result};
pub use id::{IdText, SessionId};
pub use key::{Key, Prefix};
pub use page::{Cursor, Entry, Page, Purged};
pub use record::{Condition, Decision, Record, Revision, Stored};
pub use state::{Candidates, State};
