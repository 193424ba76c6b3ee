//! Walking the keys of a prefix, in the order of their bytes.

use std::ops::Bound;

use bytes::Bytes;
use session_core::frame::HEADER_LEN;
use session_core::{
    Cursor, Entry, Key, Operation, Page, Prefix, Result, StoreError, StoreErrorKind, Timestamp, is_live,
};
use sled::{IVec, Tree};

use crate::error::from_sled;
use crate::store::times;

/// A cursor is this byte and the last key that was looked at.
const MARK: u8 = 1;

/// A walk through part of the tree, a stretch at a time.
pub(crate) struct Walk {
    after: Vec<u8>,
    end: Vec<u8>,
    limit: usize,
    /// How many more records are looked at.
    looks: usize,
    entries: Vec<Entry>,
    over: bool,
}

impl Walk {
    pub(crate) fn new(prefix: &Prefix, from: &Cursor, limit: usize, looks: usize) -> Result<Self> {
        let first = format!("{prefix}:").into_bytes();
        // Every key of the prefix is after `prefix:` and before `prefix;`.
        let end = format!("{prefix};").into_bytes();
        let after = match from.as_bytes() {
            [] => first,
            [MARK, key @ ..] if key.starts_with(&first) && key.len() > first.len() => key.to_vec(),
            _ => return Err(StoreError::new(StoreErrorKind::InvalidCursor, Operation::Traverse)),
        };
        Ok(Self { after, end, limit: limit.max(1), looks, entries: Vec::new(), over: false })
    }

    /// Looks at no more than `stretch` records. Whether the page is complete.
    pub(crate) fn go_on(&mut self, tree: &Tree, now: Timestamp, stretch: usize) -> Result<bool> {
        let range = (Bound::Excluded(self.after.as_slice()), Bound::Excluded(self.end.as_slice()));
        let mut walk = tree.range::<&[u8], _>(range);
        let mut last: Option<IVec> = None;
        let mut complete = false;
        for _ in 0..stretch {
            if self.entries.len() >= self.limit || self.looks == 0 {
                complete = true;
                break;
            }
            let Some(item) = walk.next() else {
                (self.over, complete) = (true, true);
                break;
            };
            let (bytes, frame) = item.map_err(|cause| from_sled(cause, Operation::Traverse))?;
            self.looks -= 1;
            self.entries.extend(entry(&bytes, &frame, now));
            last = Some(bytes);
        }
        if let Some(last) = last {
            self.after = last.to_vec();
        }
        Ok(complete)
    }

    pub(crate) fn page(self) -> Page {
        if self.over {
            return Page::last(self.entries);
        }
        let next = [&[MARK][..], &self.after].concat();
        Page { entries: self.entries, next: Some(Cursor::from_bytes(Bytes::from(next))) }
    }
}

/// What is reported of a record: nothing if it has expired, is damaged, or is what a stranger put into the tree. None
/// of these ends anybody's walk; whoever asks for a damaged record by its key is told.
fn entry(key: &[u8], frame: &[u8], now: Timestamp) -> Option<Entry> {
    let key = Key::parse(std::str::from_utf8(key).ok()?).ok()?;
    let (expires, revision) = times(frame).ok().filter(|(expires, _)| is_live(*expires, now))?;
    let size = frame.len().checked_sub(HEADER_LEN + key.as_bytes().len())?;
    Some(Entry::new(key).with_deadline(expires).with_revision(revision).with_size(size as u64))
}
