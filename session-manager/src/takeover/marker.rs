//! The record of an old session that was taken over, closed, or prepared by an import.
//!
//! It is under `handover:` and the hexadecimal SHA-256 of a fixed tag and the old id. It has no deadline of its own inside; the
//! record's deadline counts. All numbers are little-endian:
//!
//! | offset | length | marker |
//! |---|---|---|
//! | 0 | 1 | version, 1 |
//! | 1 | 1 | kind: 5 taken over or closed, 6 prepared |
//! | 2 | 6 | zero |
//! | 8 | 8 | kind 5: when it was taken over, 0 after a logout; kind 6: when a takeover began, or 0. ms since the Unix epoch |
//! | 16 | | kind 5: additions of later releases, ignored; kind 6: the record of a session |

use bytes::Bytes;
use session_core::{Key, Timestamp};
use sha2::{Digest, Sha256};

use crate::index::hex;
use crate::request::OldId;
use crate::table::{Content, Table};

const TAKEN: [u8; 8] = [1, 5, 0, 0, 0, 0, 0, 0];
const PREPARED: [u8; 8] = [1, 6, 0, 0, 0, 0, 0, 0];
const KEY_TAG: &[u8] = b"session-kit handover v1\0";

pub(crate) enum Marker {
    /// Taken over at this moment, or closed.
    Taken(Timestamp),
    /// An import has stored what the session becomes. A takeover began at this moment, if it is not 0.
    Prepared(Timestamp, Box<Table>),
}

impl Marker {
    /// A damaged marker counts as closed: its session was taken over or is lost.
    pub(crate) fn parse(data: &Bytes) -> Self {
        let part = |head: &[u8; 8]| data.strip_prefix(head).and_then(|rest| rest.first_chunk().copied());
        if let Some(at) = part(&PREPARED)
            && let Ok(Content::Session(table)) = Table::parse(data.slice(16..))
        {
            return Self::Prepared(Timestamp::from_millis(u64::from_le_bytes(at)), Box::new(table));
        }
        Self::Taken(Timestamp::from_millis(part(&TAKEN).map_or(0, u64::from_le_bytes)))
    }

    pub(crate) fn at(&self) -> Timestamp {
        match self {
            Self::Taken(at) | Self::Prepared(at, _) => *at,
        }
    }

    pub(crate) fn encode(&self) -> Bytes {
        let at = self.at().as_millis().to_le_bytes();
        match self {
            Self::Taken(_) => [TAKEN, at].concat().into(),
            Self::Prepared(_, table) => [&PREPARED, &at[..], table.data()].concat().into(),
        }
    }
}

pub(crate) fn marker_key(old: &OldId) -> Key {
    let hash = Sha256::new().chain_update(KEY_TAG).chain_update(old.as_bytes()).finalize();
    Key::parse(&format!("handover:{}", hex(&hash))).expect("a prefix and 64 digits are a key")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Header;

    #[test]
    fn markers_have_their_layout() {
        let at = Timestamp::from_millis(0x0102_0304);
        let taken = Marker::Taken(at).encode();
        assert_eq!(taken[..], [1, 5, 0, 0, 0, 0, 0, 0, 4, 3, 2, 1, 0, 0, 0, 0]);
        assert!(matches!(Marker::parse(&taken), Marker::Taken(found) if found == at));
        let table =
            crate::table::Draft::filtered(Header::new(std::time::Duration::ZERO, None), &[], |_| true);
        let prepared = Marker::Prepared(at, Box::new(table.stamped(at))).encode();
        assert_eq!(prepared[..16], [1, 6, 0, 0, 0, 0, 0, 0, 4, 3, 2, 1, 0, 0, 0, 0]);
        assert!(matches!(Marker::parse(&prepared), Marker::Prepared(found, _) if found == at));
        // Damage never opens anything.
        for len in 0..prepared.len() {
            assert!(matches!(Marker::parse(&prepared.slice(..len)), Marker::Taken(_)), "{len}");
        }
    }
}
