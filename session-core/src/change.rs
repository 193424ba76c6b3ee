//! A change: its request, the rule that decides it, its answer.

use crate::clock::{Timestamp, is_live};
use crate::error::Operation;
use crate::record::Record;
use crate::revision::Revision;

/// The condition under which a change happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// No requirement: a store inserts or replaces. A removal still needs a live record to remove.
    Any,
    /// No live record is stored.
    Absent,
    /// The live record has this revision.
    Revision(Revision),
}

impl Condition {
    fn holds(self, live: Option<Revision>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => live.is_none(),
            Self::Revision(expected) => live == Some(expected),
        }
    }
}

/// The answer to [`Driver::store`](crate::Driver::store) and [`Driver::remove`](crate::Driver::remove).
///
/// Applications receive it only if they call these methods themselves. The commit of a session in `session-manager`
/// reports an outcome instead.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a conflict means that nothing was written"]
pub enum Change {
    /// The requested state is in effect. This call made the change, an earlier attempt had made it, or no live record
    /// was left to remove.
    Applied,
    /// The change was not made, and nothing was written. Contains the live record, if any, which saves the caller a
    /// read.
    Conflict(Option<Record>),
}

impl Change {
    /// Whether the requested state is in effect.
    #[must_use]
    pub fn is_applied(&self) -> bool {
        matches!(self, Self::Applied)
    }
}

/// The request of [`Driver::touch`](crate::Driver::touch): a new deadline for a record at a known revision.
///
/// The named fields prevent swapping the two revisions by accident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// The revision that the live record must have.
    pub from: Revision,
    /// Its new revision. If the live record has it already, the touch counts as made and changes nothing, even if `from`
    /// is the same revision (B35).
    pub to: Revision,
    /// Its new deadline. `None` never expires.
    pub deadline: Option<Timestamp>,
}

impl Touch {
    /// The second half of a touch that consists of a retrieve and a store: the record to store and its condition, or
    /// the answer if no store is needed. `Err` is that answer, not a failure.
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

/// A change as one value: the arguments of [`store`](crate::Driver::store), [`remove`](crate::Driver::remove) or
/// [`touch`](crate::Driver::touch) without the key.
///
/// # For driver authors
/// Use it to queue changes or to send them to another thread. [`decide`](Self::decide) implements the rule of all three
/// operations, so a driver that compares in Rust need not write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeRequest {
    /// Write the record if the condition holds.
    Store {
        /// The record to write.
        record: Record,
        /// The condition.
        condition: Condition,
    },
    /// Remove the live record if the condition holds.
    Remove {
        /// The condition.
        condition: Condition,
    },
    /// Move the deadline of the live record.
    Touch(Touch),
}

/// The stored state of a key, judged by the driver's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// No record.
    Nothing,
    /// A record whose deadline has passed.
    Expired,
    /// A live record with this revision.
    Live(Revision),
    /// Bytes that cannot be read as a record.
    Damaged,
}

impl Found {
    /// The state of a stored record at `now`.
    #[must_use]
    pub fn of(stored: Option<&Record>, now: Timestamp) -> Self {
        stored.map_or(Self::Nothing, |record| Self::at(record.expires, record.revision, now))
    }

    /// The state of a record with this deadline and revision at `now`.
    #[inline]
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

/// The result of the rule: the driver's next step.
///
/// A touch answers `true` for [`Change::Applied`] and `false` for [`Change::Conflict`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Write the record, or the deadline and revision of a touch. Answer [`Change::Applied`].
    Write,
    /// Delete the stored record. Answer [`Change::Applied`].
    Delete,
    /// Change nothing that a caller can observe. The live record has the offered revision, so an earlier attempt made
    /// this change. A driver may write the same bytes again to make them durable. Answer [`Change::Applied`].
    AlreadyApplied,
    /// Write nothing. No live record is stored, as asked. Answer [`Change::Applied`].
    AlreadyAbsent,
    /// Write nothing. Answer [`Change::Conflict`] with the live record, if any.
    Conflict,
    /// Write nothing. Fail with [`Corrupt`](crate::StoreErrorKind::Corrupt), because the revision is unreadable.
    Corrupt,
}

impl ChangeRequest {
    /// The requested operation.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        match self {
            Self::Store { .. } => Operation::Store,
            Self::Remove { .. } => Operation::Remove,
            Self::Touch(_) => Operation::Touch,
        }
    }

    /// The length of the record's data in bytes; 0 for a removal or a touch.
    #[must_use]
    pub fn data_len(&self) -> usize {
        match self {
            Self::Store { record, .. } => record.data.len(),
            Self::Remove { .. } | Self::Touch(_) => 0,
        }
    }

    /// Decides the change. A store whose record is already expired at `now` acts as a removal (E08). A damaged record
    /// can be replaced or removed under `Any` only.
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

/// [`ChangeRequest::decide`] for a store, given its fields. `lives` says whether the offered record is live.
#[inline]
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

/// [`ChangeRequest::decide`] for a removal. Expired records are left to `purge`.
///
/// Damaged records apart, only `Absent` is applied without a live record. So under `Any` and `Revision` a caller knows
/// whether its own call removed the record. A damaged record is deleted under `Any` and is `Corrupt` otherwise.
#[inline]
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

/// [`ChangeRequest::decide`] for a touch. See [`Decision`] for its answers.
#[inline]
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
        let same = Touch { from: ONE, to: ONE, deadline: None };
        assert_eq!(decide_touch(Found::Live(ONE), same), AlreadyApplied);
    }
}
