//! Where a copy stands.

use std::fmt;

use session_core::{Cursor, Prefix, Result, StoreError};

const VERSION: u8 = 1;

/// The position of a copy, from which a later one can continue.
///
/// It contains a cursor of the old store, and so usually a key. Keep its bytes where you keep the store. `Debug` shows the
/// prefix only.
///
/// The bytes, version 1:
///
/// | offset | length | content |
/// |---|---|---|
/// | 0 | 1 | version, 1 |
/// | 1 | 1 | length of the prefix, n |
/// | 2 | n | the prefix |
/// | 2 + n | | the cursor of the old store |
#[derive(Clone, PartialEq, Eq)]
pub struct Position {
    pub(crate) prefix: Prefix,
    pub(crate) cursor: Cursor,
}

impl Position {
    /// The bytes, for storage.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let prefix = self.prefix.as_str().as_bytes();
        // A prefix has at most 32 bytes.
        [&[VERSION, prefix.len() as u8], prefix, self.cursor.as_bytes()].concat()
    }

    /// A position from the bytes of [`to_bytes`](Self::to_bytes).
    ///
    /// # Errors
    /// `InvalidCursor` for other bytes. Whether the cursor is the old store's shows when the copy begins.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let parsed = bytes.split_first().filter(|(version, _)| **version == VERSION).and_then(|(_, rest)| {
            let (len, rest) = rest.split_first()?;
            let (prefix, cursor) = rest.split_at_checked(usize::from(*len))?;
            let prefix = Prefix::new(std::str::from_utf8(prefix).ok()?.to_owned()).ok()?;
            Some(Self { prefix, cursor: Cursor::from_bytes(cursor.to_vec()) })
        });
        parsed.ok_or_else(|| StoreError::invalid_cursor("not a position of a copy"))
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Position").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use session_conformance::testing::Rng;

    use super::*;

    #[test]
    fn position_has_its_documented_bytes() {
        let position = Position { prefix: Prefix::SESSION, cursor: Cursor::from_bytes(&b"session:a"[..]) };
        let bytes = b"\x01\x07sessionsession:a";
        assert_eq!(position.to_bytes(), bytes);
        assert_eq!(Position::from_bytes(bytes).unwrap(), position);
        assert_eq!(format!("{position:?}"), "Position { prefix: Prefix(session), .. }");
    }

    #[test]
    fn other_bytes_are_no_position() {
        for wrong in [
            &b""[..],
            b"\x01",
            b"\x02\x07session",
            b"\x01\x08session",
            b"\x01\x01A",
            b"\x01\x00",
            b"\x01\x01\xff",
        ] {
            let error = Position::from_bytes(wrong).unwrap_err();
            assert_eq!(error.kind(), session_core::StoreErrorKind::InvalidCursor, "{wrong:?}");
        }
        let rng = &mut Rng::with_seed(7);
        for _ in 0..10_000 {
            let bytes: Vec<u8> = (0..rng.usize(0..40)).map(|_| rng.u8(0..70)).collect();
            if let Ok(position) = Position::from_bytes(&bytes) {
                assert_eq!(position.to_bytes(), bytes);
            }
        }
    }
}
