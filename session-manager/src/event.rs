//! What the session layer tells of, to `tracing` and to an observer.

use std::fmt;

use crate::outcome::EndReason;

/// Something that happened to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A request loaded it.
    Loaded,
    /// It was stored for the first time.
    Created,
    /// It got a new id.
    Rotated,
    /// This request ended it, found that it had ended, or was refused it.
    Ended(EndReason),
    /// A commit met another request's write and replayed its log this many times.
    Replayed {
        /// How many times.
        times: u32,
    },
    /// A commit came after the end of its session and wrote nothing.
    ResurrectionPrevented,
    /// The deadline of a session that was only read could not be moved; the next request tries again.
    TouchFailed,
    /// A request brought a well-formed id under which nothing is stored. Many of these are somebody guessing.
    UnknownId,
    /// A request brought this many values that are no ids.
    MalformedId {
        /// How many.
        count: usize,
    },
    /// The stored record is damaged.
    Corrupt,
    /// The sweep failed; it goes on at its next time.
    SweepFailed,
    /// The sweep removed this many expired records.
    Swept {
        /// How many.
        removed: u64,
    },
}

/// A session's name in logs: a hash of its key under a secret of this process, so that the lines of one session can
/// be told together and its id cannot be told at all.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionTag(pub(crate) u64);

impl fmt::Display for SessionTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for SessionTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionTag({self})")
    }
}

/// Who wants to know of events, besides `tracing`: for metrics and alarms.
pub trait Observer: Send + Sync + 'static {
    /// Called in place, on the request's task: it MUST NOT block. `session` is missing where no session is concerned.
    fn event(&self, session: Option<SessionTag>, event: &Event);
}

/// Tells `tracing`, with target `session_kit`. The tag is computed only if somebody listens.
pub(crate) fn trace(tag: &dyn Fn() -> Option<SessionTag>, event: &Event) {
    macro_rules! tell {
        ($level:expr) => {
            tracing::event!(target: "session_kit", $level, session = %Shown(tag()), event = ?event)
        };
    }
    match event {
        Event::Loaded => tell!(tracing::Level::TRACE),
        Event::Created | Event::Replayed { .. } | Event::Swept { .. } => tell!(tracing::Level::DEBUG),
        Event::Rotated | Event::Ended(_) | Event::UnknownId | Event::MalformedId { .. } => {
            tell!(tracing::Level::INFO)
        }
        Event::ResurrectionPrevented | Event::Corrupt | Event::TouchFailed | Event::SweepFailed => {
            tell!(tracing::Level::WARN)
        }
    }
}

struct Shown(Option<SessionTag>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(tag) => tag.fmt(f),
            None => f.write_str("-"),
        }
    }
}
