//! The layout of an `index:` record: the sessions of one user.
//!
//! Version 1, all numbers little-endian:
//!
//! | offset | length | header |
//! |---|---|---|
//! | 0 | 1 | version, 1 |
//! | 1 | 1 | kind, 3 |
//! | 2 | 2 | length of the header, where the entries begin |
//! | 4 | 4 | zero |
//! | 8 | 8 | the user's epoch, 0 for none |
//! | 16 | | additions of later releases, kept unchanged |
//!
//! | offset | length | entry |
//! |---|---|---|
//! | 0 | 2 | length of the entry |
//! | 2 | 2 | length of the id part of the session's key |
//! | 4 | 2 | length of the id part of the key that it replaces, 0 for none |
//! | 6 | 2 | zero |
//! | 8 | 8 | entered, ms since the Unix epoch |
//! | 16 | 8 | absolute deadline; 2^64 - 1 for none |
//! | 24 | | the two id parts, then additions of later releases, kept unchanged |
//!
//! Its key is `index:` and the hexadecimal SHA-256 of a fixed tag and the user's name. While a request replaces an index
//! that the driver cannot read, the key with `-repair` after it has an empty record, for at most 40 s.

use std::collections::HashSet;

use bytes::Bytes;
use session_core::{Key, Prefix, Timestamp, is_live};
use sha2::{Digest, Sha256};

use crate::entry::Malformed;

const HEAD: [u8; 2] = [1, 3];
const HEADER_LEN: usize = 16;
const ENTRY_LEN: usize = 24;
const NONE: u64 = u64::MAX;
const KEY_TAG: &[u8] = b"session-kit user v1\0";

/// The sessions of a user.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Sessions with another epoch have ended.
    pub(crate) epoch: u64,
    pub(crate) entries: Vec<Listed>,
    extra: Bytes,
}

/// A session of the user. The session may have ended since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) key: Key,
    pub(crate) entered: Timestamp,
    pub(crate) deadline: Option<Timestamp>,
    /// The session that this one is about to replace, until that one has left the index.
    pub(crate) replaces: Option<Key>,
    extra: Bytes,
}

/// The key of a user's index.
pub(crate) fn key_of(user: &str) -> Key {
    key_in("index", user)
}

/// The key of a user's data.
pub(crate) fn data_key_of(user: &str) -> Key {
    key_in("user", user)
}

/// The key of the lease under which a damaged index is replaced.
pub(crate) fn lease_key_of(user: &str) -> Key {
    let key = key_of(user);
    Key::parse(&format!("{}-repair", key.as_str())).expect("the id part is still short")
}

fn key_in(prefix: &str, user: &str) -> Key {
    let hash = Sha256::new().chain_update(KEY_TAG).chain_update(user).finalize();
    Key::parse(&format!("{prefix}:{}", hex(&hash))).expect("a prefix and 64 digits are a key")
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])).collect()
}

impl Index {
    pub(crate) fn parse(data: &Bytes) -> Result<Self, Malformed> {
        let word = |at: usize| {
            let bytes = data.get(at..at + 8).and_then(|bytes| bytes.first_chunk());
            bytes.map(|bytes| u64::from_le_bytes(*bytes)).ok_or(Malformed)
        };
        let half = |at: usize| {
            let bytes = data.get(at..at + 2).and_then(|bytes| bytes.first_chunk());
            bytes.map(|bytes| usize::from(u16::from_le_bytes(*bytes))).ok_or(Malformed)
        };
        if data.get(..2) != Some(&HEAD[..]) || data.get(4..8) != Some(&[0; 4][..]) {
            return Err(Malformed);
        }
        let mut at = half(2)?;
        if at < HEADER_LEN || at > data.len() {
            return Err(Malformed);
        }
        let mut index = Self { epoch: word(8)?, extra: data.slice(HEADER_LEN..at), entries: Vec::new() };
        while at < data.len() {
            let end = at + half(at)?;
            let key_at = |id: std::ops::Range<usize>| {
                let id = data.get(id).and_then(|id| std::str::from_utf8(id).ok());
                Key::new(&Prefix::SESSION, id.ok_or(Malformed)?).map_err(|_| Malformed)
            };
            let id_end = at + ENTRY_LEN + half(at + 2)?;
            let replaced_end = id_end + half(at + 4)?;
            let replaces = if replaced_end > id_end { Some(key_at(id_end..replaced_end)?) } else { None };
            if end < replaced_end || end > data.len() {
                return Err(Malformed);
            }
            index.entries.push(Listed {
                key: key_at(at + ENTRY_LEN..id_end)?,
                entered: Timestamp::from_millis(word(at + 8)?),
                deadline: Some(word(at + 16)?).filter(|at| *at != NONE).map(Timestamp::from_millis),
                replaces,
                extra: data.slice(replaced_end..end),
            });
            at = end;
        }
        Ok(index)
    }

    pub(crate) fn data(&self) -> Bytes {
        let mut data = Vec::with_capacity(HEADER_LEN + self.extra.len() + 72 * self.entries.len());
        data.extend_from_slice(&HEAD);
        data.extend_from_slice(&((HEADER_LEN + self.extra.len()) as u16).to_le_bytes());
        data.extend_from_slice(&[0; 4]);
        data.extend_from_slice(&self.epoch.to_le_bytes());
        data.extend_from_slice(&self.extra);
        for Listed { key, entered, deadline, replaces, extra } in &self.entries {
            let id = key.id().as_bytes();
            let replaced = replaces.as_ref().map_or(&b""[..], |key| key.id().as_bytes());
            let len = ENTRY_LEN + id.len() + replaced.len() + extra.len();
            for length in [len, id.len(), replaced.len(), 0] {
                data.extend_from_slice(&(length as u16).to_le_bytes());
            }
            data.extend_from_slice(&entered.as_millis().to_le_bytes());
            data.extend_from_slice(&deadline.map_or(NONE, Timestamp::as_millis).to_le_bytes());
            data.extend_from_slice(id);
            data.extend_from_slice(replaced);
            data.extend_from_slice(extra);
        }
        data.into()
    }

    /// Adds a session, or changes the deadline of its entry.
    pub(crate) fn put(
        &mut self,
        key: &Key,
        deadline: Option<Timestamp>,
        replaces: Option<&Key>,
        now: Timestamp,
    ) {
        let replaces = replaces.cloned();
        match self.entries.iter_mut().find(|entry| entry.key == *key) {
            Some(entry) => (entry.deadline, entry.replaces) = (deadline, replaces),
            None => {
                let (key, extra) = (key.clone(), Bytes::new());
                self.entries.push(Listed { key, entered: now, deadline, replaces, extra });
            }
        }
    }

    /// Drops the other entries. A session that was about to replace one of them has replaced it, or is given up.
    pub(crate) fn keep(&mut self, keeps: impl Fn(&Listed) -> bool) {
        let (kept, dropped): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.entries).into_iter().partition(|entry| keeps(entry));
        self.entries = kept;
        let dropped: HashSet<_> = dropped.into_iter().map(|entry| entry.key).collect();
        for entry in &mut self.entries {
            entry.replaces = entry.replaces.take().filter(|key| !dropped.contains(key));
        }
    }

    /// Drops these sessions. Each entry is looked up once, however many they are.
    pub(crate) fn drop_all(&mut self, gone: &[Key]) {
        let gone: HashSet<_> = gone.iter().collect();
        self.keep(|entry| !gone.contains(&entry.key));
    }

    /// A session that entered while a clock was ahead has entered now. Its deadline stays until the session's own is
    /// corrected: a session must not leave the index before its end.
    pub(crate) fn correct(&mut self, now: Timestamp) {
        self.entries.iter_mut().for_each(|entry| entry.entered = entry.entered.min(now));
    }

    /// Drops the sessions whose absolute deadline has passed.
    pub(crate) fn drop_expired(&mut self, now: Timestamp) {
        self.keep(|entry| is_live(entry.deadline, now));
    }

    /// When the record ends: with its last session. An epoch stays at least as long as it did before.
    pub(crate) fn deadline(&self, before: Option<Option<Timestamp>>) -> Option<Timestamp> {
        let kept = before.filter(|_| self.epoch != 0);
        let mut deadlines = self.entries.iter().map(|entry| entry.deadline).chain(kept);
        deadlines.try_fold(Timestamp::from_millis(0), |last, deadline| deadline.map(|at| last.max(at)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.epoch == 0 && self.extra.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &[u8] = include_bytes!("../golden/index-v1.bin");
    const REPLACES: &[u8] = include_bytes!("../golden/index-v1-replaces.bin");

    #[test]
    fn golden_index_is_read_and_written() {
        let mut by_hand = vec![1, 3, 20, 0, 0, 0, 0, 0];
        by_hand.extend(7_u64.to_le_bytes());
        by_hand.extend(b"more");
        for (id, deadline, extra) in [("first", 1_800_000_060_000_u64, &b"later"[..]), ("second", NONE, b"")]
        {
            by_hand.extend(((24 + id.len() + extra.len()) as u16).to_le_bytes());
            by_hand.extend((id.len() as u16).to_le_bytes());
            by_hand.extend([0; 4]);
            by_hand.extend(1_800_000_000_000_u64.to_le_bytes());
            by_hand.extend(deadline.to_le_bytes());
            by_hand.extend(id.as_bytes());
            by_hand.extend(extra);
        }
        assert_eq!(GOLDEN, by_hand);
        let index = Index::parse(&Bytes::from_static(GOLDEN)).unwrap();
        assert_eq!((index.epoch, index.entries.len(), index.data()), (7, 2, Bytes::from_static(GOLDEN)));
        assert_eq!(index.entries[0].deadline, Some(Timestamp::from_millis(1_800_000_060_000)));
        assert_eq!((index.entries[1].key.as_str(), index.entries[1].deadline), ("session:second", None));
        assert_eq!(
            key_of("ada").as_str(),
            "index:9b9846365ae546147c53054174cac8d5af6d4ca47d49549f5daef5eac4d6a2e7"
        );
    }

    #[test]
    fn golden_entry_names_the_session_that_it_replaces() {
        let mut by_hand = vec![1, 3, 16, 0, 0, 0, 0, 0];
        by_hand.extend([0; 8]);
        for (id, replaced, entered) in [("old", "", 1_800_000_000_000_u64), ("new", "old", 1_800_000_060_000)]
        {
            by_hand.extend([24 + 3 + replaced.len() as u8, 0, 3, 0, replaced.len() as u8, 0, 0, 0]);
            by_hand.extend(entered.to_le_bytes());
            by_hand.extend(NONE.to_le_bytes());
            by_hand.extend(id.as_bytes());
            by_hand.extend(replaced.as_bytes());
        }
        assert_eq!(REPLACES, by_hand);
        let mut index = Index::parse(&Bytes::from_static(REPLACES)).unwrap();
        assert_eq!(index.data(), REPLACES);
        let old = Key::parse("session:old").unwrap();
        assert_eq!((&index.entries[0].replaces, &index.entries[1].replaces), (&None, &Some(old.clone())));
        // The new session has replaced the old one.
        index.keep(|entry| entry.key != old);
        assert_eq!((index.entries.len(), &index.entries[0].replaces), (1, &None));
    }

    #[test]
    fn damaged_index_causes_no_panic() {
        for golden in [GOLDEN, REPLACES] {
            for at in 0..golden.len() {
                for byte in [0, 1, 0x7f, 0xff] {
                    let mut damaged = golden.to_vec();
                    damaged[at] = byte;
                    if let Ok(index) = Index::parse(&damaged.into()) {
                        drop(index.data());
                    }
                }
                if let Ok(index) = Index::parse(&Bytes::from_static(&golden[..at])) {
                    assert!(index.entries.len() < 2, "cut at {at}");
                }
            }
        }
    }

    #[test]
    fn record_ends_with_its_last_session() {
        let at = Timestamp::from_millis;
        let mut index = Index::default();
        index.put(&Key::parse("session:a").unwrap(), Some(at(5)), None, at(1));
        index.put(&Key::parse("session:b").unwrap(), Some(at(3)), None, at(1));
        assert_eq!(index.deadline(Some(Some(at(9)))), Some(at(5)));
        index.epoch = 1;
        assert_eq!((index.deadline(Some(Some(at(9)))), index.deadline(Some(None))), (Some(at(9)), None));
        index.put(&Key::parse("session:b").unwrap(), None, None, at(1));
        assert_eq!((index.deadline(None), index.entries.len()), (None, 2));
    }
}
