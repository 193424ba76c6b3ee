//! The position of a traversal, and its bytes.
//!
//! | offset | length | field |
//! |---|---|---|
//! | 0 | 1 | version, 2 |
//! | 1 | 1 | bit 0: second round; bit 1: a moving slot was seen |
//! | 2 | 8 | hash of the owners of all slots at the start; 0 on a single server |
//! | 10 | 8 | the cursor of `SCAN` |
//! | 18 | 8 | hash of the server's `run_id`, where it is known, and of its epoch in a cluster |
//! | 26 | | `host:port` of the scanned primary; empty on a single server |
//! | last 4 | 4 | checksum of everything before |
//!
//! Numbers are big-endian. The checksum detects cursors of other drivers. It does not protect against forgery.

use session_core::{Cursor, Result, StoreError};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) node: String,
    pub(crate) owners: u64,
    pub(crate) round: u8,
    pub(crate) moving: bool,
    pub(crate) cursor: u64,
    /// The server process that issued the cursor of `SCAN`, and its epoch, as a hash.
    pub(crate) run: u64,
}

const VERSION: u8 = 2;

impl Position {
    /// The position in a cursor; `None` at the start.
    pub(crate) fn read(cursor: &Cursor) -> Result<Option<Self>> {
        if cursor.is_start() {
            return Ok(None);
        }
        Self::parse(cursor.as_bytes()).map(Some).ok_or_else(invalid)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (bytes, check) = bytes.split_last_chunk::<4>()?;
        let ([VERSION, flags], rest) = bytes.split_first_chunk()? else { return None };
        let (owners, rest) = rest.split_first_chunk()?;
        let (cursor, rest) = rest.split_first_chunk()?;
        let (run, node) = rest.split_first_chunk()?;
        (*check == check_of(bytes) && *flags < 4).then_some(())?;
        Some(Self {
            node: std::str::from_utf8(node).ok()?.to_owned(),
            owners: u64::from_be_bytes(*owners),
            round: flags & 1,
            moving: flags & 2 != 0,
            cursor: u64::from_be_bytes(*cursor),
            run: u64::from_be_bytes(*run),
        })
    }

    pub(crate) fn write(&self) -> Cursor {
        let mut bytes = vec![VERSION, self.round & 1 | u8::from(self.moving) << 1];
        bytes.extend_from_slice(&self.owners.to_be_bytes());
        bytes.extend_from_slice(&self.cursor.to_be_bytes());
        bytes.extend_from_slice(&self.run.to_be_bytes());
        bytes.extend_from_slice(self.node.as_bytes());
        let check = check_of(&bytes);
        bytes.extend_from_slice(&check);
        Cursor::from_bytes(bytes)
    }
}

fn check_of(bytes: &[u8]) -> [u8; 4] {
    let hash = hash(bytes).to_be_bytes();
    [hash[0] ^ hash[4], hash[1] ^ hash[5], hash[2] ^ hash[6], hash[3] ^ hash[7]]
}

/// FNV-1a. The standard library's hasher may differ between processes and versions.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

pub(crate) fn invalid() -> StoreError {
    StoreError::invalid_cursor("not a cursor of this store")
}

#[cfg(test)]
mod tests {
    use session_core::StoreErrorKind;

    use super::*;

    #[test]
    fn cursor_reads_back_or_is_invalid() {
        let node = "127.0.0.1:7000".to_owned();
        let position = Position { node, owners: 7, round: 1, moving: true, cursor: u64::MAX, run: 8 };
        let written = position.write();
        assert_eq!(Position::read(&written).unwrap(), Some(position));
        assert_eq!(Position::read(&Cursor::start()).unwrap(), None);
        let bytes = written.as_bytes();
        for at in 0..bytes.len() {
            let mut other = bytes.to_vec();
            other[at] ^= 1;
            for wrong in [other, bytes[..at].to_vec()] {
                if !wrong.is_empty() {
                    let error = Position::read(&Cursor::from_bytes(wrong)).unwrap_err();
                    assert_eq!(error.kind(), StoreErrorKind::InvalidCursor);
                }
            }
        }
    }
}
