//! What a change asks for, the rule that decides it, and how it is answered.

use crate::clock::{Timestamp, is_live};
use crate::error::Operation;
use crate::record::Record;
use crate::revision::Revision;

/// What must be true of the live record for a change to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// Nothing: insert or replace.
    Any,
    /// There is no live record.
    Absent,
    /// There is a live record, and it has this revision.
    Revision(Revision),
}

impl Condition {
    /// The rule without its details. Goes when every driver decides by [`ChangeRequest::decide`].
    #[must_use]
    pub fn decide(self, live: Option<Revision>, offered: Option<Revision>) -> OldDecision {
        if self.holds(live) {
            OldDecision::Apply
        } else if live.is_some() && live == offered {
            OldDecision::AlreadyApplied
        } else {
            OldDecision::Conflict
        }
    }

    fn holds(self, live: Option<Revision>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => live.is_none(),
            Self::Revision(expected) => live == Some(expected),
        }
    }
}

/// What [`Condition::decide`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldDecision {
    /// The condition holds.
    Apply,
    /// The live record has the offered revision.
    AlreadyApplied,
    /// The condition does not hold.
    Conflict,
}

/// The answer to a store or a removal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a conflict means that nothing was written"]
pub enum Change {
    /// The change happened.
    Applied,
    /// The condition did not hold, and nothing was written. Carries the live record, so that the caller needs no
    /// second call to read it.
    Conflict(Option<Record>),
}

impl Change {
    /// Whether the change happened.
    #[must_use]
    pub fn is_applied(&self) -> bool {
        matches!(self, Self::Applied)
    }
}

/// What [`Driver::touch`](crate::Driver::touch) asks for: a new deadline for the record at one revision.
///
/// A struct with named fields, so that the two revisions cannot be swapped by accident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// The revision that the live record must have.
    pub from: Revision,
    /// The revision that it gets.
    pub to: Revision,
    /// The deadline that it gets; `None` never expires.
    pub deadline: Option<Timestamp>,
}

impl Touch {
    /// One step of a touch that is made of a retrieve and a store: the record to store and its condition, or the answer
    /// where nothing is to be stored.
    pub(crate) fn step(self, found: Option<Record>) -> Result<(Record, Condition), bool> {
        match found {
            Some(record) if record.revision == self.to => Err(true),
            Some(record) if record.revision == self.from => {
                let touched = Record { expires: self.deadline, revision: self.to, ..record };
                Ok((touched, Condition::Revision(self.from)))
            }
            _ => Err(false),
        }
    }
}

/// A change in owned form: the arguments of [`store`](crate::Driver::store), [`remove`](crate::Driver::remove) or
/// [`touch`](crate::Driver::touch) without the key.
///
/// # For driver authors
/// A driver that queues changes, or passes them to another thread, keeps them in this form. [`decide`](Self::decide)
/// is the rule for all three operations, so a driver that compares in Rust needs no rule of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeRequest {
    /// Write the record if the condition holds.
    Store {
        /// The record to write.
        record: Record,
        /// What must be true of the live record.
        condition: Condition,
    },
    /// Remove the live record if the condition holds.
    Remove {
        /// What must be true of the live record.
        condition: Condition,
    },
    /// Move the deadline of the live record.
    Touch(Touch),
}

/// What a driver found under the key, judged by its clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing is stored under the key.
    Nothing,
    /// A record whose deadline has passed.
    Expired,
    /// A live record with this revision.
    Live(Revision),
    /// Bytes that cannot be read as a record.
    Damaged,
}

impl Found {
    /// What a record with this deadline and revision is at `now`.
    #[must_use]
    pub fn at(deadline: Option<Timestamp>, revision: Revision, now: Timestamp) -> Self {
        if is_live(deadline, now) { Self::Live(revision) } else { Self::Expired }
    }

    fn live(self) -> Option<Revision> {
        match self {
            Self::Live(revision) => Some(revision),
            Self::Nothing | Self::Expired | Self::Damaged => None,
        }
    }
}

/// What a driver does about a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Write the record, or the deadline and revision of a touch. Answer [`Change::Applied`].
    Write,
    /// Delete the stored bytes. Answer [`Change::Applied`].
    Delete,
    /// Write nothing: the live record has the offered revision, so this very change was made before. Answer
    /// [`Change::Applied`].
    AlreadyApplied,
    /// Write nothing: nothing is stored, and nothing is to be stored. Answer [`Change::Applied`].
    AlreadyAbsent,
    /// Write nothing. Answer [`Change::Conflict`] with the live record.
    Conflict,
    /// Write nothing. Fail with [`Corrupt`](crate::StoreErrorKind::Corrupt): there is nothing to compare with.
    Corrupt,
}

impl ChangeRequest {
    /// The operation that was asked for.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        match self {
            Self::Store { .. } => Operation::Store,
            Self::Remove { .. } => Operation::Remove,
            Self::Touch(_) => Operation::Touch,
        }
    }

    /// How many bytes of data the change carries.
    #[must_use]
    pub fn data_len(&self) -> usize {
        match self {
            Self::Store { record, .. } => record.data.len(),
            Self::Remove { .. } | Self::Touch(_) => 0,
        }
    }

    /// Decides the change by what is stored. A store whose record is past its deadline at `now` acts as a removal
    /// (E06).
    ///
    /// A damaged record is replaced and removed under `Any` only. Every other change of it is
    /// [`Corrupt`](Decision::Corrupt).
    #[must_use]
    pub fn decide(&self, found: Found, now: Timestamp) -> Decision {
        match self {
            Self::Store { record, condition } => {
                decide_store(found, *condition, record.revision, record.is_live(now))
            }
            Self::Remove { condition } => decide_remove(found, *condition),
            Self::Touch(touch) => decide_touch(found, *touch),
        }
    }
}

/// [`ChangeRequest::decide`] for a store, for a driver that holds the parts. `lives` says whether the offered record
/// is live.
#[must_use]
pub fn decide_store(found: Found, condition: Condition, offered: Revision, lives: bool) -> Decision {
    if found == Found::Damaged && condition != Condition::Any {
        return Decision::Corrupt;
    }
    let live = found.live();
    if condition.holds(live) {
        match found {
            _ if lives => Decision::Write,
            Found::Nothing => Decision::AlreadyAbsent,
            _ => Decision::Delete,
        }
    } else if live == Some(offered) {
        Decision::AlreadyApplied
    } else {
        Decision::Conflict
    }
}

/// [`ChangeRequest::decide`] for a removal. Where nothing live is stored, only `Absent` is applied: the caller learns
/// whether this call removed the record. An expired record is left to `purge`.
#[must_use]
pub fn decide_remove(found: Found, condition: Condition) -> Decision {
    match found {
        Found::Damaged if condition == Condition::Any => Decision::Delete,
        Found::Damaged => Decision::Corrupt,
        Found::Live(revision) if condition.holds(Some(revision)) => Decision::Delete,
        Found::Live(_) => Decision::Conflict,
        Found::Nothing | Found::Expired if condition == Condition::Absent => Decision::AlreadyAbsent,
        Found::Nothing | Found::Expired => Decision::Conflict,
    }
}

/// [`ChangeRequest::decide`] for a touch. A [`Conflict`](Decision::Conflict) is answered with `false`.
#[must_use]
pub fn decide_touch(found: Found, touch: Touch) -> Decision {
    match found {
        Found::Live(revision) if revision == touch.to => Decision::AlreadyApplied,
        Found::Live(revision) if revision == touch.from => Decision::Write,
        Found::Damaged => Decision::Corrupt,
        Found::Live(_) | Found::Nothing | Found::Expired => Decision::Conflict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Revision = Revision::from_bytes([1; 8]);
    const TWO: Revision = Revision::from_bytes([2; 8]);
    const THREE: Revision = Revision::from_bytes([3; 8]);

    #[test]
    fn store_follows_the_table() {
        use Condition::{Absent, Any, Revision as At};
        use Decision::{AlreadyAbsent, AlreadyApplied, Conflict, Corrupt, Delete, Write};
        use Found::{Damaged, Expired, Live, Nothing};
        for (found, condition, offered, live, late) in [
            (Nothing, Any, ONE, Write, AlreadyAbsent),
            (Nothing, Absent, ONE, Write, AlreadyAbsent),
            (Nothing, At(ONE), TWO, Conflict, Conflict),
            (Expired, Any, ONE, Write, Delete),
            (Expired, Absent, ONE, Write, Delete),
            (Expired, At(ONE), TWO, Conflict, Conflict),
            (Live(ONE), Any, TWO, Write, Delete),
            (Live(ONE), Any, ONE, Write, Delete),
            (Live(ONE), Absent, TWO, Conflict, Conflict),
            (Live(ONE), Absent, ONE, AlreadyApplied, AlreadyApplied),
            (Live(ONE), At(ONE), TWO, Write, Delete),
            (Live(TWO), At(ONE), TWO, AlreadyApplied, AlreadyApplied),
            (Live(TWO), At(ONE), THREE, Conflict, Conflict),
            (Damaged, Any, ONE, Write, Delete),
            (Damaged, Absent, ONE, Corrupt, Corrupt),
            (Damaged, At(ONE), TWO, Corrupt, Corrupt),
        ] {
            for (lives, expected) in [(true, live), (false, late)] {
                assert_eq!(
                    decide_store(found, condition, offered, lives),
                    expected,
                    "{found:?} {condition:?} {offered:?} {lives}"
                );
            }
        }
    }

    #[test]
    fn remove_follows_the_table() {
        use Condition::{Absent, Any, Revision as At};
        use Decision::{AlreadyAbsent, Conflict, Corrupt, Delete};
        use Found::{Damaged, Expired, Live, Nothing};
        for (found, any, absent, at) in [
            (Nothing, Conflict, AlreadyAbsent, Conflict),
            (Expired, Conflict, AlreadyAbsent, Conflict),
            (Live(ONE), Delete, Conflict, Delete),
            (Live(TWO), Delete, Conflict, Conflict),
            (Damaged, Delete, Corrupt, Corrupt),
        ] {
            for (condition, expected) in [(Any, any), (Absent, absent), (At(ONE), at)] {
                assert_eq!(decide_remove(found, condition), expected, "{found:?} {condition:?}");
            }
        }
    }

    #[test]
    fn touch_follows_the_table() {
        use Decision::{AlreadyApplied, Conflict, Corrupt, Write};
        let touch = Touch { from: ONE, to: TWO, deadline: None };
        for (found, expected) in [
            (Found::Nothing, Conflict),
            (Found::Expired, Conflict),
            (Found::Live(ONE), Write),
            (Found::Live(TWO), AlreadyApplied),
            (Found::Live(THREE), Conflict),
            (Found::Damaged, Corrupt),
        ] {
            assert_eq!(decide_touch(found, touch), expected, "{found:?}");
        }
    }
}
