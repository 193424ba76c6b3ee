//! Pages of keys.

use std::os::fd::AsFd as _;

use session_core::{Cursor, Entry, Page, Prefix, Result, StoreError, StoreErrorKind, is_live};

use crate::error::Fault;
use crate::layout::StoreId;
use crate::open::Opened;
use crate::path::{FOLDERS, Folder, KeyHash};
use crate::scan::{self, Seen};

/// The largest page, in entries. A page examines four times as many files.
const LONGEST_PAGE: usize = 1_024;
const LOOKS: usize = 4 * LONGEST_PAGE;
/// The first byte of a cursor. The id of the store, the folder, and the last name seen in it, if any, follow.
const CURSOR_VERSION: u8 = 1;

/// Where a traversal continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    store: Option<StoreId>,
    folder: u16,
    after: Option<KeyHash>,
}

impl Position {
    pub(crate) fn from_cursor(cursor: &Cursor) -> Result<Self> {
        if cursor.is_start() {
            return Ok(Self { store: None, folder: 0, after: None });
        }
        Self::parse(cursor.as_bytes())
            .ok_or_else(|| StoreError::invalid_cursor("not a cursor of this driver"))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (&version, rest) = bytes.split_first()?;
        let (&store, rest) = rest.split_first_chunk()?;
        let (&folder, rest) = rest.split_first_chunk()?;
        let folder = u16::from_be_bytes(folder);
        let after: Option<KeyHash> = match rest {
            [] => None,
            name => Some(name.try_into().ok()?),
        };
        let fits = after.is_none_or(|after| Folder::of(&after) == Folder(folder));
        let ours = version == CURSOR_VERSION && usize::from(folder) < FOLDERS && fits;
        ours.then_some(Self { store: Some(store), folder, after })
    }

    fn cursor(store: &StoreId, folder: Folder, after: Option<&KeyHash>) -> Cursor {
        let after = after.map_or(&[][..], |after| &after[..]);
        Cursor::from_bytes([&[CURSOR_VERSION][..], store, &folder.0.to_be_bytes(), after].concat())
    }
}

/// The page that begins at a position.
pub(crate) fn page(store: &Opened, prefix: &Prefix, from: Position, limit: usize) -> Result<Page, Fault> {
    let anchor = store.root.check_present()?;
    let id = anchor.id;
    if from.store.is_some_and(|from| from != id) {
        return Err(Fault::new(StoreErrorKind::InvalidCursor, "cursor is from another store"));
    }
    let limit = limit.clamp(1, LONGEST_PAGE);
    let now = store.now();
    let (mut entries, mut looks) = (Vec::new(), 0);
    let mut after = from.after;
    for folder in scan::folders(from.folder) {
        store.check_open()?;
        if after.is_none() {
            scan::report_strays(store, &anchor, folder)?;
        }
        let Some(directory) = scan::open(store, &anchor, folder)? else {
            after = None;
            continue;
        };
        loop {
            let part = {
                let locked = (!store.root.has_stable_listing).then(|| store.wait_lock(folder.shard()));
                let _locked = locked.transpose()?;
                scan::part(&directory, folder, after.as_ref())?
            };
            for hash in &part.names {
                looks += 1;
                if let Seen::Record(head) = scan::look(directory.as_fd(), hash)?
                    && head.key.is_in(prefix)
                    && is_live(head.expires, now)
                {
                    let entry = Entry::new(head.key).with_deadline(head.expires);
                    entries.push(entry.with_revision(head.revision).with_size(head.size));
                }
                if entries.len() >= limit || looks >= LOOKS {
                    let next = Position::cursor(&id, folder, Some(hash));
                    return Ok(Page { entries, next: Some(next) });
                }
            }
            if !part.more {
                break;
            }
            after = part.names.last().copied();
        }
        after = None;
    }
    // The scan read the store that was checked first. If another store has replaced it, its keys were not listed.
    if store.root.check_present()?.id != id {
        return Err(Fault::new(StoreErrorKind::InvalidCursor, "store was replaced"));
    }
    Ok(Page::last(entries))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_round_trip_and_other_bytes_are_refused() {
        let hash = [0xab; 32];
        let folder = Folder::of(&hash);
        for after in [None, Some(hash)] {
            let cursor = Position::cursor(&[7; 16], folder, after.as_ref());
            let position = Position { store: Some([7; 16]), folder: folder.0, after };
            assert_eq!(Position::from_cursor(&cursor).ok(), Some(position));
            let bytes = cursor.as_bytes();
            for len in 1..bytes.len() {
                if len != 19 {
                    assert_eq!(Position::parse(&bytes[..len]), None, "{len}");
                }
            }
            assert_eq!(Position::parse(&[bytes, &[0]].concat()), None);
        }
        let elsewhere = Position::cursor(&[7; 16], Folder(folder.0 ^ 1), Some(&hash));
        assert_eq!(Position::parse(elsewhere.as_bytes()), None);
        assert_eq!(Position::parse(Position::cursor(&[7; 16], Folder(4096), None).as_bytes()), None);
    }
}
