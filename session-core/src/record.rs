//! What a driver keeps under a key, and the conditions of a change.

use std::fmt;

use bytes::Bytes;

use crate::clock::{Timestamp, is_live};
use crate::error::{Error, ErrorKind, Operation, Result};

/// 64 bits that name one state of a record. The session layer draws new ones for every change, a moved deadline
/// included; a driver stores and compares them, as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Revision([u8; 8]);

impl Revision {
    /// A revision from its bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The bytes, in the order in which they are stored and compared.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0
    }

    /// A new revision from the operating system's random numbers.
    ///
    /// # Errors
    /// `Unavailable` where the operating system gives none.
    pub fn random() -> Result<Self> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(|cause| {
            Error::new(ErrorKind::Unavailable, Operation::Parse)
                .with_detail("no randomness")
                .with_source(cause)
        })?;
        Ok(Self(bytes))
    }
}

/// What a driver keeps under a key: opaque bytes, a deadline, a revision.
///
/// `Debug` shows the length of the data and never its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// The bytes. Empty is a value, different from no record.
    pub data: Bytes,
    /// The moment from which on the record is expired; `None` never expires.
    pub expires: Option<Timestamp>,
    /// Which state of the record this is.
    pub revision: Revision,
}

impl Record {
    /// A record.
    #[must_use]
    pub fn new(data: impl Into<Bytes>, expires: Option<Timestamp>, revision: Revision) -> Self {
        Self { data: data.into(), expires, revision }
    }

    /// Whether the record is live at `now`: see [`is_live`].
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        is_live(self.expires, now)
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("len", &self.data.len())
            .field("expires", &self.expires)
            .field("revision", &self.revision)
            .finish()
    }
}

/// What must be true of the live record for a change to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// Nothing: insert or replace.
    Any,
    /// No live record is there.
    Absent,
    /// A live record is there and has this revision.
    Revision(Revision),
}

impl Condition {
    /// Decides a change: the one place where the rule stands, for every driver that compares in Rust.
    ///
    /// `live` is the revision of the record that is live now, `offered` the one that the change would write (`None`
    /// for a removal).
    #[must_use]
    pub fn decide(self, live: Option<Revision>, offered: Option<Revision>) -> Decision {
        let holds = match self {
            Self::Any => true,
            Self::Absent => live.is_none(),
            Self::Revision(expected) => live == Some(expected),
        };
        if holds {
            Decision::Apply
        } else if live.is_some() && live == offered {
            Decision::AlreadyApplied
        } else {
            Decision::Conflict
        }
    }
}

/// What [`Condition::decide`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The condition holds: make the change.
    Apply,
    /// The live record has the offered revision: this very change has happened. Answer `Yes`, write nothing.
    AlreadyApplied,
    /// The condition does not hold: answer `Conflict` with what is live.
    Conflict,
}

/// The answer to a change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a conflict means that nothing was written"]
pub enum Stored {
    /// It happened.
    Yes,
    /// It did not, for the condition did not hold: here is what is live now, so that no second call is needed.
    Conflict(Option<Record>),
}

impl Stored {
    /// Whether the change happened.
    #[must_use]
    pub fn is_yes(&self) -> bool {
        matches!(self, Self::Yes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(n: u8) -> Revision {
        Revision::from_bytes([n; 8])
    }

    #[test]
    fn the_decision_table() {
        use Condition::{Absent, Any, Revision as At};
        use Decision::{AlreadyApplied, Apply, Conflict};
        let (one, two) = (revision(1), revision(2));
        for (when, live, offered, expected) in [
            (Any, None, Some(one), Apply),
            (Any, Some(one), Some(one), Apply),
            (Absent, None, Some(one), Apply),
            (Absent, Some(one), Some(two), Conflict),
            (Absent, Some(one), Some(one), AlreadyApplied),
            (At(one), Some(one), Some(two), Apply),
            (At(one), Some(two), Some(two), AlreadyApplied),
            (At(one), Some(two), Some(revision(3)), Conflict),
            (At(one), None, Some(two), Conflict),
            (At(one), Some(two), None, Conflict),
            (At(one), None, None, Conflict),
        ] {
            assert_eq!(when.decide(live, offered), expected, "{when:?} {live:?} {offered:?}");
        }
    }

    #[test]
    fn debug_shows_no_data() {
        let text = format!("{:?}", Record::new(&b"secret"[..], None, revision(1)));
        assert!(text.contains("len: 6") && !text.contains("secret"), "{text}");
    }
}
