#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod driver;

mod capabilities;
mod change;
mod clock;
mod error;
mod key;
mod page;
mod record;
mod revision;

mod blocking;
#[cfg(feature = "offload")]
mod blocking_adapter;
mod directory;
mod durability;
mod erased;
mod forward;
#[cfg(feature = "frame")]
pub mod frame;
mod gate;
mod known_file;
#[cfg(feature = "offload")]
pub mod offload;
mod on_full;
#[cfg(feature = "serde")]
mod option;
mod path;
mod process;
#[cfg(feature = "random")]
pub mod random;
mod setters;
mod turn;

#[cfg(feature = "state")]
mod base64url;
#[cfg(any(feature = "serde", feature = "state"))]
mod duration;
#[cfg(feature = "state")]
mod id;
#[cfg(feature = "state")]
mod state;

#[cfg(feature = "state")]
mod carrier;

pub use blocking::BlockingDriver;
#[cfg(feature = "offload")]
pub use blocking_adapter::Blocking;
pub use capabilities::{Capabilities, ExpiryMode, RollsBack, Shared, Survives};
#[cfg(feature = "state")]
pub use carrier::{Carried, Carrier, Outgoing, Parts};
pub use change::{
    Change, ChangeRequest, Condition, Decision, Found, Touch, decide_remove, decide_store, decide_touch,
};
pub use clock::{Clock, SystemClock, TestClock, Timestamp, is_live};
pub use directory::create_directory;
pub use driver::{Driver, DriverExt};
pub use durability::Durability;
#[cfg(any(feature = "serde", feature = "state"))]
pub use duration::{DurationError, parse_duration};
pub use erased::DynDriver;
pub use error::{Applied, Operation, Result, StoreError, StoreErrorKind};
pub use gate::Gate;
#[cfg(feature = "state")]
pub use id::{IdText, SessionId};
pub use key::{Key, Prefix};
pub use known_file::KnownFile;
pub use on_full::OnFull;
#[cfg(feature = "serde")]
pub use option::deserialize_duration;
pub use page::{Cursor, Entry, EntryDeadline, Page, Purged};
pub use path::{check_path, is_url_scheme};
pub use process::{OpenFile, Opener};
pub use record::{Record, check_record_bytes};
pub use revision::Revision;
pub use setters::check_options;
#[cfg(feature = "state")]
pub use state::{Candidates, Persistence, State};
pub use turn::yield_now;
