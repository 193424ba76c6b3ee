//! The results of a copy and a comparison. Numbers only: a report shows no ids.

use crate::position::Position;

/// The result of a copy, in numbers of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CopyReport {
    /// Stored in the new store by this copy.
    pub copied: u64,
    /// Already in the new store, equal: copied before an interruption, or by another copy.
    pub present: u64,
    /// Listed, and then ended, expired, or moved by an application.
    pub gone: u64,
    /// In the new store with another content, and left in both stores. This happens if the new store was not empty before
    /// the migration, if a process changes the old store without [`Migrating`](crate::Migrating), or if the new store evicts.
    pub different: u64,
    /// Larger than the new store permits, and left in the old store.
    pub too_large: u64,
    /// Damaged in one of the stores, and left there.
    pub damaged: u64,
    /// How many bytes of data `copied` had.
    pub bytes: u64,
}

impl CopyReport {
    /// Whether the copy has left no record behind.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.different == 0 && self.too_large == 0 && self.damaged == 0
    }
}

/// How far a copy is. It is passed to the callback of [`copy`](crate::copy()) once per page.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The result so far, without the copies before an interruption.
    pub report: CopyReport,
    /// Where a later copy can continue. `None` at the end.
    pub position: Option<Position>,
}

/// The result of a comparison, in numbers of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct VerifyReport {
    /// In both stores, with equal data, deadline and revision.
    pub equal: u64,
    /// In the old store only.
    pub missing: u64,
    /// With other data in the new store.
    pub other_data: u64,
    /// With equal data and another deadline.
    pub other_deadline: u64,
    /// With equal data and deadline, and another revision.
    pub other_revision: u64,
    /// Damaged in the old store.
    pub damaged_old: u64,
    /// Damaged in the new store.
    pub damaged_new: u64,
    /// Readable records of the new store, whether or not the old one has them.
    pub in_new: u64,
}

impl VerifyReport {
    /// How many records keep the comparison from being clean.
    #[must_use]
    pub const fn differences(&self) -> u64 {
        self.missing
            + self.other_data
            + self.other_deadline
            + self.other_revision
            + self.damaged_old
            + self.damaged_new
    }

    /// Whether the new store has every record of the old one, equal, and every record of the new one is readable.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.differences() == 0
    }
}
