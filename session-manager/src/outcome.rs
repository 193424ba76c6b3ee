//! What a commit did, and what the client is to be told.

use std::borrow::Cow;
use std::fmt;

use session_core::{SessionId, Timestamp};

/// What a commit did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct Committed {
    /// What became of the session.
    pub outcome: Outcome,
    /// Whether the commit held a rotation, a `bind_user` or a `take`.
    pub critical: bool,
    /// How often the log was replayed on another request's write.
    pub replays: u32,
}

impl Committed {
    pub(crate) const fn new(outcome: Outcome) -> Self {
        Self { outcome, critical: false, replays: 0 }
    }

    /// Whether the handler's response must not go out, for it says something that did not happen: nobody is told
    /// "welcome" who is not logged in.
    #[must_use]
    pub fn refuses_response(&self) -> bool {
        // A request that ended its session itself says nothing of that session that did not happen.
        let ended =
            matches!(&self.outcome, Outcome::Ended(reason) if !matches!(reason, EndReason::Destroyed(_)));
        self.critical && ended
    }
}

/// What became of the session at a commit.
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
    /// It has ended; nothing was written, and nothing brought it back.
    Ended(EndReason),
}

/// Why a session ended, or was refused to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndReason {
    /// Its deadline has passed. Also what a request is told that brings a well-formed id under which nothing is
    /// stored: the store cannot tell the expired from what never was.
    Expired,
    /// It is bound to another client address. It still lives for that one.
    AddressMismatch,
    /// It is bound to another user agent. It still lives for that one.
    UserAgentMismatch,
    /// Its id was replaced by a rotation; the successor lives.
    Replaced,
    /// It was ended elsewhere: by another request, or by an operator.
    Revoked,
    /// This request destroyed it, for the reason given.
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

/// What the response has to tell the client, over all that the request did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdUpdate {
    /// Nothing.
    #[default]
    None,
    /// To repeat this id from now on: [`State::write`](session_core::State::write).
    Set {
        /// The id.
        id: SessionId,
        /// When the session ends unless it is used again.
        deadline: Option<Timestamp>,
    },
    /// That the id it repeats already lives longer; needed only where
    /// [`State::follows_deadline`](session_core::State::follows_deadline).
    Extend {
        /// The id.
        id: SessionId,
        /// When the session ends unless it is used again.
        deadline: Option<Timestamp>,
    },
    /// To forget its id: [`State::erase`](session_core::State::erase). Only a request that itself ended the session
    /// says this.
    Clear,
}

impl IdUpdate {
    /// The deadline moved: a new id is still new.
    pub(crate) fn extended(self, id: SessionId, deadline: Option<Timestamp>) -> Self {
        match self {
            Self::Set { .. } => Self::Set { id, deadline },
            _ => Self::Extend { id, deadline },
        }
    }
}
