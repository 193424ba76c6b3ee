//! The result of a commit, and the message to the client.

use std::borrow::Cow;
use std::fmt;

use session_core::{Persistence, SessionId, Timestamp};

/// The result of a commit.
///
/// A handler that commits by itself may ignore it: a web layer learns of a lost privilege change at the end of the request
/// too. A web layer asks [`refuses_response`](Self::refuses_response) after
/// [`Sessions::finish`](crate::Sessions::finish).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed {
    /// The effect on the session.
    pub outcome: Outcome,
    /// Whether the commit held a rotation, a `bind_user` or a `take`.
    pub critical: bool,
    /// How many times the log was replayed on another request's write.
    pub replays: u32,
    /// Whether the request has recorded changes, in this commit or an earlier one, that were not stored because the
    /// session has ended.
    pub not_stored: bool,
}

impl Committed {
    pub(crate) const fn new(outcome: Outcome) -> Self {
        Self { outcome, critical: false, replays: 0, not_stored: false }
    }

    pub(crate) const fn unchanged() -> Self {
        Self::new(Outcome::Unchanged)
    }

    /// Whether the handler's response must not be sent, because it may report a change that did not happen: a login
    /// page must not say "welcome" if the login was not stored.
    #[must_use]
    pub fn refuses_response(&self) -> bool {
        // A request that destroyed its own session reports the truth about it.
        let ended =
            matches!(&self.outcome, Outcome::Ended(reason) if !matches!(reason, EndReason::Destroyed(_)));
        self.critical && ended
    }
}

/// A marker in the extensions of a response whose request has recorded changes that were not stored, for a layer outside
/// of the session layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotStored;

/// The effect of a commit on the session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Nothing had to be written.
    Unchanged,
    /// Its deadline was moved.
    Touched,
    /// It was stored for the first time.
    Created,
    /// Its changes were stored.
    Updated,
    /// It has a new id.
    Rotated,
    /// It has a new id because its [`renewal_timeout`](crate::SessionsBuilder::renewal_timeout) had passed. Its changes,
    /// if it has any, were stored.
    Renewed,
    /// It had ended. Nothing was written.
    Ended(EndReason),
}

/// Why a session ended, or was refused to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndReason {
    /// Its deadline has passed. Also reported for a well-formed id without a record, because a store cannot tell an
    /// expired session from one that never existed.
    Expired,
    /// It is bound to another client address, and still usable from there.
    AddressMismatch,
    /// It is bound to another user agent, and still usable from there.
    UserAgentMismatch,
    /// A rotation replaced its id; the session lives under the new id.
    Replaced,
    /// Another request or an operator ended it.
    Revoked,
    /// It was destroyed with this reason, by this request, or by another one of this process while a
    /// [`SessionRef`](crate::SessionRef) existed.
    Destroyed(Cow<'static, str>),
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "expired",
            Self::AddressMismatch => "address mismatch",
            Self::UserAgentMismatch => "user agent mismatch",
            Self::Replaced => "replaced",
            Self::Revoked => "revoked",
            Self::Destroyed(reason) => reason,
        })
    }
}

/// The instruction for the client's copy of the id, over everything that the request did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdUpdate {
    /// Leave it as it is.
    #[default]
    None,
    /// Send this id from now on: [`State::write`](session_core::State::write).
    Set {
        /// The id.
        id: SessionId,
        /// When the session ends unless it is used again.
        deadline: Option<Timestamp>,
        /// How long the client keeps the id.
        persistence: Persistence,
    },
    /// Keep the id, which is valid for longer. Needed only if
    /// [`State::follows_deadline`](session_core::State::follows_deadline).
    Extend {
        /// The id.
        id: SessionId,
        /// When the session ends unless it is used again.
        deadline: Option<Timestamp>,
        /// How long the client keeps the id.
        persistence: Persistence,
    },
    /// Delete the id: [`State::erase`](session_core::State::erase). Only the request that destroyed the session sends
    /// this.
    Clear,
}

impl IdUpdate {
    /// The deadline moved. A new id still has to be sent.
    pub(crate) fn extended(
        self,
        id: SessionId,
        deadline: Option<Timestamp>,
        persistence: Persistence,
    ) -> Self {
        match self {
            Self::Set { .. } => Self::Set { id, deadline, persistence },
            _ => Self::Extend { id, deadline, persistence },
        }
    }
}

/// The result of [`Session::close`](crate::Session::close), for the response.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Closed {
    /// Whether the request loaded its session, so that the response depends on the client's id.
    pub loaded: bool,
    /// The instruction for the client's id.
    pub id_update: IdUpdate,
    /// Whether the request ended the session that the client has, also if `id_update` gives it another one.
    pub cleared: bool,
    /// Whether the request ended another session whose id it presented, or a session that the client keeps. The client may
    /// have the id or a copy in a place that `id_update` does not reach:
    /// [`State::erase_others`](session_core::State::erase_others).
    pub others_ended: bool,
}
