//! The operation log of a request, and the rule of each operation on replay.

use std::time::Duration;

use bytes::Bytes;
use session_core::{Persistence, Timestamp};

use crate::entry::{RawEntry, VALUE};
use crate::error::Error;
use crate::login::Login;

/// Runs an update on the current value (its codec and bytes) and returns the whole new entry.
pub(crate) type Rerun = Box<dyn Fn(Option<(u8, &[u8])>) -> Result<Vec<u8>, Error> + Send>;

/// One operation of a request.
///
/// A replay runs the whole log on the current record, as if the request had begun there.
pub(crate) enum Op {
    /// Blind: replaces the entry of the same key.
    Insert(Vec<u8>),
    /// Blind.
    Remove(Box<str>),
    /// Runs again.
    Update { rerun: Rerun, key: Box<str> },
    /// Contention unless the entry still has the value that was returned: two requests must not spend one token.
    Take(Bytes),
    /// Removes the current values, including those of other requests; never times, bindings, user or flash.
    Clear,
    /// Applies only to the value that the caller saw, or to one that this log put there.
    Expire { given: Bytes, deadline: Timestamp },
    /// Every flash value has its own id.
    FlashSet(Vec<u8>),
    /// Blind: the last one wins.
    Label(Vec<u8>),
    /// Names ids, sorted, so that a newer value survives.
    FlashDrop(Vec<u64>),
    /// The last one wins.
    Idle(Duration),
    /// The last one wins; the deadline is computed from the record that is written.
    Lifetime(Option<Duration>),
    /// The last one wins.
    Persistence(Persistence),
    /// Contention if the record was bound to another user: never a mix of two.
    BindUser(Box<UserChange>),
    /// Blind: the session has no user.
    UnbindUser,
    /// Never on data of another user: see [`Work::log_in`](crate::work::Work::log_in).
    Login(Box<Login>),
    /// Times that a clock ahead of this moment has written count from this moment. Always the first of its log.
    Correct(Timestamp),
}

pub(crate) struct UserChange {
    pub(crate) user: Bytes,
    /// The bound user at the time of the call, empty for none.
    pub(crate) over: Bytes,
}

impl Op {
    /// Whether the handler's response is wrong if this operation is not stored.
    pub(crate) fn is_critical(&self) -> bool {
        matches!(self, Self::Take(_) | Self::BindUser(_) | Self::UnbindUser | Self::Login(_))
    }

    pub(crate) fn sets_time(&self) -> bool {
        matches!(self, Self::Idle(_) | Self::Lifetime(_) | Self::Persistence(_))
    }

    /// Whether a session with this operation has to enter the index of its user.
    pub(crate) fn enters(&self) -> bool {
        matches!(self, Self::BindUser(_) | Self::Login(_) | Self::Lifetime(_) | Self::Correct(_))
    }

    pub(crate) fn login(&self) -> Option<&Login> {
        match self {
            Self::Login(login) => Some(login),
            _ => None,
        }
    }

    /// The order of the entry that this operation put into the session.
    pub(crate) fn puts(&self) -> Option<(u8, &[u8])> {
        match self {
            Self::Insert(own) | Self::FlashSet(own) | Self::Label(own) => Some(parsed(own).order()),
            Self::Update { key, .. } => Some((VALUE, key.as_bytes())),
            _ => None,
        }
    }

    /// The order of the entry that this operation takes.
    pub(crate) fn takes(&self) -> Option<(u8, &[u8])> {
        match self {
            Self::Take(taken) => Some(parsed(taken).order()),
            _ => None,
        }
    }
}

/// An entry that this process encoded, or that was checked when the table was parsed.
pub(crate) fn parsed(entry: &[u8]) -> RawEntry<'_> {
    RawEntry::parse(entry).expect("entries are checked when a table is parsed, and encoded by this crate")
}

/// The result of one attempt to claim a value.
pub(crate) enum Claim {
    /// The value is removed from the store.
    Won,
    /// The session has ended, or has a new id.
    Lost,
    /// The session has changed. The handle has its present data.
    Changed,
}
