//! How the keys of a prefix are paged through, and what a cleanup reports.

use std::fmt;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::error::{Result, StoreError};
use crate::key::{Key, Prefix};
use crate::revision::Revision;

/// Where a traversal goes on: bytes that only the driver understands and any process may use.
///
/// # For driver authors
/// Bytes that are not yours, or that you can no longer follow, MUST be answered with `InvalidCursor`, never with a
/// panic and never with a fresh start.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Cursor(Bytes);

impl Cursor {
    /// The beginning.
    #[must_use]
    pub const fn start() -> Self {
        Self(Bytes::new())
    }

    /// A cursor from bytes that [`as_bytes`](Self::as_bytes) gave; none at all mean the beginning.
    #[must_use]
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The bytes, to be kept or sent elsewhere.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A cursor that continues after `key`, for a driver whose engine lists keys in their byte order.
    #[must_use]
    pub fn after(key: &Key) -> Self {
        Self(Bytes::copy_from_slice(key.as_bytes()))
    }

    /// The key that [`after`](Self::after) was given, or `None` at the beginning.
    ///
    /// # Errors
    /// `InvalidCursor` where the bytes are no key of `prefix`.
    pub fn key(&self, prefix: &Prefix) -> Result<Option<Key>> {
        if self.is_start() {
            return Ok(None);
        }
        std::str::from_utf8(&self.0)
            .ok()
            .and_then(|text| Key::parse(text).ok())
            .filter(|key| key.is_in(prefix))
            .map(Some)
            .ok_or_else(|| StoreError::invalid_cursor("not a cursor of this driver and prefix"))
    }

    /// Whether this is the beginning.
    #[must_use]
    pub fn is_start(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A cursor may hold the last key seen.
        write!(f, "Cursor({} bytes)", self.0.len())
    }
}

/// The deadline of an entry, as far as the driver knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryDeadline {
    /// The engine would have to read the record to know it.
    Unknown,
    /// The record never expires.
    Never,
    /// The record expires at this moment.
    At(Timestamp),
}

/// One live key that a traversal met.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// Its deadline, where that is cheap to know.
    pub deadline: EntryDeadline,
    /// Its revision, where that is cheap to know.
    pub revision: Option<Revision>,
    /// The length of its data in bytes, where that is cheap to know.
    pub size: Option<u64>,
}

impl Entry {
    /// An entry of which only the key is known.
    #[must_use]
    pub const fn new(key: Key) -> Self {
        Self { key, deadline: EntryDeadline::Unknown, revision: None, size: None }
    }

    /// Adds the deadline.
    #[must_use]
    pub const fn with_deadline(mut self, deadline: Option<Timestamp>) -> Self {
        self.deadline = match deadline {
            Some(deadline) => EntryDeadline::At(deadline),
            None => EntryDeadline::Never,
        };
        self
    }

    /// Adds the revision.
    #[must_use]
    pub const fn with_revision(mut self, revision: Revision) -> Self {
        self.revision = Some(revision);
        self
    }

    /// Adds the length of the data, in bytes.
    #[must_use]
    pub const fn with_size(mut self, size: u64) -> Self {
        self.size = Some(size);
        self
    }
}

/// A part of a traversal. It may be shorter or longer than the limit, even empty; only `next: None` ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The live keys of this part.
    pub entries: Vec<Entry>,
    /// Where to go on, or `None` at the end.
    pub next: Option<Cursor>,
}

impl Page {
    /// The page of a store that holds nothing more.
    #[must_use]
    pub const fn last(entries: Vec<Entry>) -> Self {
        Self { entries, next: None }
    }
}

/// What a purge did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Purged {
    /// How many expired records it removed.
    pub removed: u64,
    /// Whether there may be more to remove.
    pub more: bool,
}
