//! Pages of keys.

use std::os::fd::AsFd as _;

use session_core::{Cursor, Entry, Page, Prefix, StoreErrorKind, is_live};

use crate::error::Fault;
use crate::layout::StoreId;
use crate::place::{Folder, Hash};
use crate::scan::{self, Seen};
use crate::store::Inner;

/// A page holds at most this many entries, and looks at four times as many files.
const LONGEST_PAGE: usize = 1_024;
const LOOKS: usize = 4 * LONGEST_PAGE;
/// The first byte of a cursor. The id of the store follows, the subdirectory, and the name last seen in it, if any.
const CURSOR_VERSION: u8 = 1;

/// Where a traversal goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    store: Option<StoreId>,
    folder: u16,
    after: Option<Hash>,
}

impl Position {
    /// The position that a cursor names, or `None` where it is none of ours.
    pub(crate) fn parse(cursor: &Cursor) -> Option<Self> {
        if cursor.is_start() {
            return Some(Self { store: None, folder: 0, after: None });
        }
        let (&version, rest) = cursor.as_bytes().split_first()?;
        let (&store, rest) = rest.split_first_chunk()?;
        let (&folder, rest) = rest.split_first_chunk()?;
        let folder = u16::from_be_bytes(folder);
        let after: Option<Hash> = match rest {
            [] => None,
            name => Some(name.try_into().ok()?),
        };
        let fits = after.is_none_or(|after| Folder::of(&after) == Folder(folder));
        let ours = version == CURSOR_VERSION && scan::is_folder(folder) && fits;
        ours.then_some(Self { store: Some(store), folder, after })
    }

    fn cursor(store: &StoreId, folder: Folder, after: Option<&Hash>) -> Cursor {
        let after = after.map_or(&[][..], |after| &after[..]);
        Cursor::from_bytes([&[CURSOR_VERSION][..], store, &folder.0.to_be_bytes(), after].concat())
    }
}

/// The part of a traversal that begins at a position.
pub(crate) fn page(inner: &Inner, prefix: &Prefix, from: Position, limit: usize) -> Result<Page, Fault> {
    let anchor = inner.root.check_there()?;
    let store = anchor.id;
    if from.store.is_some_and(|id| id != store) {
        return Err(Fault::new(StoreErrorKind::InvalidCursor, "the cursor is of another store"));
    }
    let limit = limit.clamp(1, LONGEST_PAGE);
    let now = inner.now();
    let (mut entries, mut looks) = (Vec::new(), 0);
    let mut after = from.after;
    for folder in scan::folders(from.folder) {
        inner.check_open()?;
        if after.is_none() {
            scan::report_strays(inner, &anchor, folder)?;
        }
        let Some(directory) = scan::open(inner, &anchor, folder)? else {
            after = None;
            continue;
        };
        loop {
            let part = {
                // Where entries move while they are listed, nobody is to move them.
                let locked = (!inner.root.is_steady()).then(|| inner.wait_lock(folder.shard()));
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
                    let next = Position::cursor(&store, folder, Some(hash));
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
    // What was looked through is the store of before: if another has taken its place, that has not been seen.
    if inner.root.check_there()?.id != store {
        return Err(Fault::new(StoreErrorKind::InvalidCursor, "the store was made again"));
    }
    Ok(Page::last(entries))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_back_to_its_position_and_nothing_else_is_one() {
        let hash = [0xab; 32];
        let folder = Folder::of(&hash);
        for after in [None, Some(hash)] {
            let cursor = Position::cursor(&[7; 16], folder, after.as_ref());
            let position = Position { store: Some([7; 16]), folder: folder.0, after };
            assert_eq!(Position::parse(&cursor), Some(position));
            let bytes = cursor.as_bytes();
            for len in 1..bytes.len() {
                if len != 19 {
                    assert_eq!(Position::parse(&Cursor::from_bytes(bytes[..len].to_vec())), None, "{len}");
                }
            }
            assert_eq!(Position::parse(&Cursor::from_bytes([bytes, &[0]].concat())), None);
        }
        let elsewhere = Position::cursor(&[7; 16], Folder(folder.0 ^ 1), Some(&hash));
        assert_eq!(Position::parse(&elsewhere), None);
        assert_eq!(Position::parse(&Position::cursor(&[7; 16], Folder(4096), None)), None);
    }
}
