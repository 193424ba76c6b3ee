//! Traversal in pages, and the result of a purge.

use std::fmt;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::error::{Result, StoreError};
use crate::key::{Key, Prefix};
use crate::revision::Revision;

/// The position of a traversal, as opaque bytes of the driver. Any process that opens the store can use it.
///
/// # For driver authors
/// A cursor may come from a client. Bytes that your driver cannot have created, or no longer supports, MUST fail with
/// `InvalidCursor`. A well-formed cursor of another driver MAY be accepted and then lists live keys only. The driver MUST
/// NOT panic or start again from the beginning.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Cursor(Bytes);

impl Cursor {
    /// The beginning.
    #[must_use]
    pub const fn start() -> Self {
        Self(Bytes::new())
    }

    /// A cursor from the bytes of [`as_bytes`](Self::as_bytes). Empty bytes are the beginning.
    #[must_use]
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The bytes, for storage or transfer.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A cursor that continues after `key`. For drivers that list keys in byte order.
    #[must_use]
    pub fn after(key: &Key) -> Self {
        Self(Bytes::copy_from_slice(key.as_bytes()))
    }

    /// The key passed to [`after`](Self::after), or `None` at the beginning.
    ///
    /// # Errors
    /// `InvalidCursor` if the bytes are not a key of `prefix`.
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
        // The bytes may contain a key.
        write!(f, "Cursor({} bytes)", self.0.len())
    }
}

/// The deadline of an entry, as far as the driver knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryDeadline {
    /// Unknown, because the driver would have to read the record.
    Unknown,
    /// The record never expires.
    Never,
    /// The record expires at this moment.
    At(Timestamp),
}

/// A live key in a page.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// Its deadline, if known without extra cost.
    pub deadline: EntryDeadline,
    /// Its revision, if known without extra cost.
    pub revision: Option<Revision>,
    /// The length of its data in bytes, if known without extra cost.
    pub size: Option<u64>,
}

impl Entry {
    /// An entry with a key only.
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

/// A part of a traversal. May be shorter or longer than the limit, or empty. Only `next: None` ends the traversal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The live keys.
    pub entries: Vec<Entry>,
    /// The cursor of the next page, or `None` at the end.
    pub next: Option<Cursor>,
}

impl Page {
    /// The last page.
    #[must_use]
    pub const fn last(entries: Vec<Entry>) -> Self {
        Self { entries, next: None }
    }
}

/// The result of a purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Purged {
    /// The number of removed records.
    pub removed: u64,
    /// Whether more expired records may remain.
    pub more: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_of_another_prefix_or_of_none_is_invalid() {
        let users = Prefix::new("user").unwrap();
        let key = Key::parse("user:a").unwrap();
        assert_eq!(Cursor::start().key(&users).unwrap(), None);
        assert_eq!(Cursor::after(&key).key(&users).unwrap(), Some(key));
        for wrong in [&b"user2:a"[..], b"use:a", b"aaa:x", b"user:", b"user", b"\x01user:a", b"\0", b"\xff"] {
            let error = Cursor::from_bytes(wrong.to_vec()).key(&users).unwrap_err();
            assert_eq!(error.kind(), crate::StoreErrorKind::InvalidCursor, "{wrong:?}");
        }
    }
}
