//! Where a traversal stands, as the bytes of a cursor.
//!
//! | offset | length | what |
//! |---|---|---|
//! | 0 | 1 | version, 2 |
//! | 1 | 1 | bit 0: the second round; bit 1: a slot was seen on its way |
//! | 2 | 8 | who owned the slots when the walk began, as a hash; 0 on a single server |
//! | 10 | 8 | SCAN's own cursor |
//! | 18 | 8 | the run of the server that gave it, as a hash; 0 where that is not known |
//! | 26 | | `host:port` of the primary that is scanned; empty on a single server |
//! | last 4 | 4 | a check of all before |
//!
//! Numbers are big-endian. The check is there to tell what is no cursor of ours from one that is, not against anybody.

use session_core::{Cursor, Operation, Result, StoreError, StoreErrorKind};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stand {
    pub(crate) node: String,
    pub(crate) owners: u64,
    pub(crate) round: u8,
    pub(crate) moving: bool,
    pub(crate) cursor: u64,
    /// Which process gave the cursor: to another one it says nothing.
    pub(crate) run: u64,
}

/// The first byte of a cursor's bytes.
const VERSION: u8 = 2;

impl Stand {
    /// Where a cursor stands; `None` at the start.
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

/// FNV-1a, the same in every process and for ever, which the standard library's hasher does not promise.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

pub(crate) fn invalid() -> StoreError {
    StoreError::new(StoreErrorKind::InvalidCursor, Operation::Traverse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_what_was_written_or_invalid() {
        let node = "127.0.0.1:7000".to_owned();
        let stand = Stand { node, owners: 7, round: 1, moving: true, cursor: u64::MAX, run: 8 };
        let written = stand.write();
        assert_eq!(Stand::read(&written).unwrap(), Some(stand));
        assert_eq!(Stand::read(&Cursor::start()).unwrap(), None);
        let bytes = written.as_bytes();
        for at in 0..bytes.len() {
            let mut bent = bytes.to_vec();
            bent[at] ^= 1;
            for wrong in [bent, bytes[..at].to_vec()] {
                if !wrong.is_empty() {
                    let error = Stand::read(&Cursor::from_bytes(wrong)).unwrap_err();
                    assert_eq!(error.kind(), StoreErrorKind::InvalidCursor);
                }
            }
        }
    }
}
