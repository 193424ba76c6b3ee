//! Events of the session layer, for `tracing` and for an observer.

use std::fmt;

use crate::outcome::EndReason;

/// The target of all `tracing` events of this crate.
pub(crate) const TARGET: &str = "session_kit";

/// Something that happened to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A request loaded it.
    Loaded,
    /// It was stored for the first time.
    Created,
    /// It got a new id, and the tag of the event is its new one.
    Rotated {
        /// Its tag before.
        from: SessionTag,
    },
    /// It got a new id because its renewal timeout had passed, and the tag of the event is its new one.
    Renewed {
        /// Its tag before.
        from: SessionTag,
    },
    /// Its renewal timeout has passed, and it could not get a new id. The next request tries again.
    RenewalFailed,
    /// This request ended it, found it ended, or was refused access.
    Ended(EndReason),
    /// A commit conflicted with another request's write and replayed its log this many times.
    Replayed {
        /// The number of replays.
        times: u32,
    },
    /// A commit arrived after its session had ended, and wrote nothing.
    ResurrectionPrevented,
    /// The deadline of a session that was only read could not be moved. The next request tries again.
    TouchFailed,
    /// A request sent a well-formed id without a record. Many of these suggest that a client guesses ids.
    UnknownId,
    /// A request sent malformed ids.
    MalformedId {
        /// The number of malformed values.
        count: usize,
    },
    /// A request sent more well-formed ids than are looked at. A logout ends the sessions of the others only.
    IgnoredIds {
        /// The number of ids that were not looked at.
        count: usize,
    },
    /// The stored record is damaged: that of a session, or with no session, the index or the data of a user.
    Corrupt,
    /// The stored value of this key did not decode, and a migration or a default took its place.
    Recovered {
        /// The session's own key.
        key: Box<str>,
    },
    /// A session of another system became this session, which [`Event::Created`] reported.
    TakenOver,
    /// A request presented a session of another system that was taken over or closed before. It got no session.
    TakenBefore,
    /// A session of another system could not be decoded or its signature is wrong. The request got no session.
    OldUnreadable,
    /// The store of the old system, which owns the logins, failed. The session of ours stays as it is for this request.
    OldAway,
    /// A session of another system could not be ended there.
    OldEndFailed,
    /// A session has ended or lost its user, and could not be removed from the index of that user. The next use of the
    /// index removes it.
    LeaveFailed,
    /// A session, or the epoch of its user, was stored, and this process has not swept for a day, although the driver keeps expired records until a
    /// sweep. Reported once. Start [`Sessions::sweep`](crate::Sessions::sweep), unless another process sweeps the store.
    SweepMissing,
    /// The sweep failed. It continues at the next interval.
    SweepFailed,
    /// The sweep removed expired records.
    Swept {
        /// The number of records.
        removed: u64,
    },
}

impl Event {
    /// The name of the variant in snake case, such as `unknown_id`: a label for metrics and alarms. It has no values of the
    /// event. Names stay the same in all releases.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Created => "created",
            Self::Rotated { .. } => "rotated",
            Self::Renewed { .. } => "renewed",
            Self::RenewalFailed => "renewal_failed",
            Self::Ended(_) => "ended",
            Self::Replayed { .. } => "replayed",
            Self::ResurrectionPrevented => "resurrection_prevented",
            Self::TouchFailed => "touch_failed",
            Self::UnknownId => "unknown_id",
            Self::MalformedId { .. } => "malformed_id",
            Self::IgnoredIds { .. } => "ignored_ids",
            Self::Corrupt => "corrupt",
            Self::Recovered { .. } => "recovered",
            Self::TakenOver => "taken_over",
            Self::TakenBefore => "taken_before",
            Self::OldUnreadable => "old_unreadable",
            Self::OldAway => "old_away",
            Self::OldEndFailed => "old_end_failed",
            Self::LeaveFailed => "leave_failed",
            Self::SweepMissing => "sweep_missing",
            Self::SweepFailed => "sweep_failed",
            Self::Swept { .. } => "swept",
        }
    }
}

/// A session's name in logs and events: a hash of its key with a secret that each [`Sessions`](crate::Sessions) draws when
/// it is built. It connects the lines of one session and reveals nothing of the id. A new id of the session has a new tag
/// ([`Event::Rotated`]), and so has each process.
///
/// [`Session::tag`](crate::Session::tag), [`SessionRef::tag`](crate::SessionRef::tag),
/// [`Found::tag`](crate::Found::tag) and [`Sessions::tag`](crate::Sessions::tag) return the tag that events have. An
/// application can so find the connections of a session that has ended:
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::Mutex;
/// use session_manager::{Event, Observer, SessionTag};
///
/// struct Sockets(Mutex<HashMap<SessionTag, Vec<tokio::sync::mpsc::Sender<()>>>>);
///
/// impl Observer for Sockets {
///     fn event(&self, session: Option<SessionTag>, event: &Event) {
///         let gone = match event {
///             Event::Ended(_) => session,
///             // A connection of another request than the one that rotated has ended too.
///             Event::Rotated { from } => Some(*from),
///             _ => None,
///         };
///         // The other end of a channel closes its socket.
///         drop(gone.and_then(|tag| self.0.lock().ok()?.remove(&tag)));
///     }
/// }
/// ```
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

/// Receives events in addition to `tracing`, for metrics and alarms.
pub trait Observer: Send + Sync + 'static {
    /// Called on the request's task: it MUST NOT block. `session` is `None` for events without a session.
    fn event(&self, session: Option<SessionTag>, event: &Event);
}

macro_rules! send {
    ($level:ident, $tag:expr, $event:expr) => {
        tracing::event!(
            target: TARGET,
            tracing::Level::$level,
            session = %$tag().map_or_else(|| "-".to_owned(), |tag| tag.to_string()),
            event = ?$event
        )
    };
}

/// Sends the event to `tracing`. The tag is computed only if a subscriber listens.
pub(crate) fn trace(tag: &dyn Fn() -> Option<SessionTag>, event: &Event) {
    match event {
        Event::Loaded => trace_loaded(tag),
        Event::Created | Event::TakenBefore | Event::Replayed { .. } | Event::Swept { .. } => {
            send!(DEBUG, tag, event)
        }
        Event::Rotated { .. } | Event::Renewed { .. } | Event::Ended(_) | Event::UnknownId => {
            send!(INFO, tag, event)
        }
        Event::MalformedId { .. } | Event::IgnoredIds { .. } | Event::TakenOver => send!(INFO, tag, event),
        Event::ResurrectionPrevented
        | Event::Corrupt
        | Event::Recovered { .. }
        | Event::RenewalFailed
        | Event::TouchFailed
        | Event::OldUnreadable
        | Event::OldAway
        | Event::OldEndFailed
        | Event::LeaveFailed
        | Event::SweepMissing
        | Event::SweepFailed => {
            send!(WARN, tag, event)
        }
    }
}

/// [`trace`] for the event that nearly each request causes, and that hardly a process listens to.
#[inline]
pub(crate) fn trace_loaded(tag: &dyn Fn() -> Option<SessionTag>) {
    send!(TRACE, tag, Event::Loaded);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One event of each variant. A new variant does not compile until it is listed here.
    macro_rules! each {
        ($($variant:ident $fields:tt),* $(,)?) => {{
            let _ = |event: &Event| match event {
                $(Event::$variant { .. } => {})*
            };
            [$(each!(@event $variant $fields)),*]
        }};
        (@event $variant:ident ()) => { Event::$variant };
        (@event $variant:ident ($value:expr)) => { Event::$variant($value) };
        (@event $variant:ident {$($fields:tt)*}) => { Event::$variant { $($fields)* } };
    }

    #[test]
    fn name_of_each_event_is_its_variant_in_snake_case() {
        let from = SessionTag(1);
        let all = each![
            Loaded(),
            Created(),
            Rotated { from },
            Renewed { from },
            RenewalFailed(),
            Ended(EndReason::Expired),
            Replayed { times: 1 },
            ResurrectionPrevented(),
            TouchFailed(),
            UnknownId(),
            MalformedId { count: 1 },
            IgnoredIds { count: 1 },
            Corrupt(),
            Recovered { key: "secret".into() },
            TakenOver(),
            TakenBefore(),
            OldUnreadable(),
            OldAway(),
            OldEndFailed(),
            LeaveFailed(),
            SweepMissing(),
            SweepFailed(),
            Swept { removed: 1 },
        ];
        for event in all {
            let debug = format!("{event:?}");
            let variant = debug.split([' ', '(']).next().unwrap_or_default();
            let mut expected = String::new();
            for (at, char) in variant.chars().enumerate() {
                expected.extend((at > 0 && char.is_ascii_uppercase()).then_some('_'));
                expected.push(char.to_ascii_lowercase());
            }
            assert_eq!(event.name(), expected);
        }
    }
}
