//! How the keys of a prefix are paged through, and what a cleanup reports.

use std::fmt;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::key::Key;
use crate::record::Revision;

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

/// One live key that a traversal met.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// Its deadline: `None` where it is not cheap to know, `Some(None)` where there is none.
    pub expires: Option<Option<Timestamp>>,
    /// Its revision, where that is cheap to know.
    pub revision: Option<Revision>,
    /// The length of its data in bytes, where that is cheap to know.
    pub size: Option<u64>,
}

impl Entry {
    /// An entry of which only the key is known.
    #[must_use]
    pub const fn new(key: Key) -> Self {
        Self { key, expires: None, revision: None, size: None }
    }

    /// Adds the deadline.
    #[must_use]
    pub const fn with_expires(mut self, expires: Option<Timestamp>) -> Self {
        self.expires = Some(expires);
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
