//! Pages of keys, in byte order.

use std::ops::Bound;

use session_core::frame::HEADER_LEN;
use session_core::{Cursor, Entry, Key, Operation, Page, Prefix, Result, Timestamp, is_live};
use sled::{IVec, Tree};

use crate::error::from_sled;
use crate::read;

/// A page that is filled a stretch at a time.
pub(crate) struct Walk {
    /// The last key that was examined, as bytes, or where the prefix begins.
    after: Vec<u8>,
    end: Vec<u8>,
    limit: usize,
    /// How many more records may be examined.
    looks: usize,
    entries: Vec<Entry>,
    ended: bool,
}

impl Walk {
    pub(crate) fn new(prefix: &Prefix, from: &Cursor, limit: usize, looks: usize) -> Result<Self> {
        // Every key of the prefix is after `prefix:` and before `prefix;`.
        let end = format!("{prefix};").into_bytes();
        let after = match from.key(prefix)? {
            Some(key) => key.as_bytes().to_vec(),
            None => format!("{prefix}:").into_bytes(),
        };
        Ok(Self { after, end, limit: limit.max(1), looks, entries: Vec::new(), ended: false })
    }

    /// Examines at most `stretch` records. Returns whether the page is complete.
    pub(crate) fn advance(&mut self, tree: &Tree, now: Timestamp, stretch: usize) -> Result<bool> {
        let range = (Bound::Excluded(self.after.as_slice()), Bound::Excluded(self.end.as_slice()));
        let mut walk = tree.range::<&[u8], _>(range);
        let mut last: Option<IVec> = None;
        let mut complete = false;
        for _ in 0..stretch {
            let Some(item) = walk.next() else {
                (self.ended, complete) = (true, true);
                break;
            };
            let (bytes, frame) = item.map_err(|cause| from_sled(cause, Operation::Traverse))?;
            let key = std::str::from_utf8(&bytes).ok().and_then(|text| Key::parse(text).ok());
            last = Some(bytes);
            // A page ends at a key of ours, because only that can be a cursor.
            let Some(key) = key else { continue };
            self.looks -= 1;
            self.entries.extend(entry(key, &frame, now));
            if self.entries.len() >= self.limit || self.looks == 0 {
                complete = true;
                break;
            }
        }
        if let Some(last) = last {
            self.after = last.to_vec();
        }
        Ok(complete)
    }

    pub(crate) fn page(self) -> Page {
        let next = (!self.ended).then(|| Cursor::from_bytes(self.after));
        Page { entries: self.entries, next }
    }
}

/// The entry of a live record. Expired and damaged records are skipped; a retrieve of a damaged record reports it.
fn entry(key: Key, frame: &[u8], now: Timestamp) -> Option<Entry> {
    let (expires, revision) =
        read::words_for(frame, &key).ok().filter(|(expires, _)| is_live(*expires, now))?;
    let size = frame.len().checked_sub(HEADER_LEN + key.as_bytes().len())?;
    Some(Entry::new(key).with_deadline(expires).with_revision(revision).with_size(size as u64))
}
