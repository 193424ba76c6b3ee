//! Stored records.

use std::fmt;

use bytes::Bytes;

use crate::clock::{Timestamp, is_live};
use crate::error::{Result, StoreError};
use crate::revision::Revision;

/// A value that a driver stores under a key: opaque bytes, a deadline and a revision.
///
/// `Debug` shows the length of the data, not its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// The bytes. Empty data is a valid value.
    pub data: Bytes,
    /// The moment at which the record expires. `None` never expires.
    pub expires: Option<Timestamp>,
    /// The revision of this state of the record.
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

/// Checks the length of a record's data against a driver's `max_record_bytes`, if it has one.
///
/// # Errors
/// `TooLarge`.
pub fn check_record_bytes(len: usize, max_record_bytes: impl Into<Option<u64>>) -> Result<()> {
    match max_record_bytes.into() {
        Some(limit) if len as u64 > limit => Err(StoreError::too_large(len, limit)),
        _ => Ok(()),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(n: u8) -> Revision {
        Revision::from_bytes([n; 8])
    }

    #[test]
    fn debug_hides_the_data() {
        let text = format!("{:?}", Record::new(&b"secret"[..], None, revision(1)));
        assert!(text.contains("len: 6") && !text.contains("secret"), "{text}");
    }
}
