//! The file `layout`: it marks a directory as a store, and holds the layout version and the random id of the store.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Dir, Mode, OFlags};
use rustix::io::Errno;
use session_core::{Revision, StoreErrorKind};

use crate::error::Fault;
use crate::path::{self, TEMPORARY};
use crate::publish;
use crate::sys::{self, CAREFUL};

pub(crate) const LAYOUT: &str = "layout";
const FIRST_LINE: &str = "session-store-file";
const VERSION: u32 = 1;

/// The random id of a store. Cursors carry it.
pub(crate) type StoreId = [u8; 16];

/// Opens the layout file and reads the id. `None` if the layout file is missing.
pub(crate) fn read(root: BorrowedFd<'_>, path: &Path) -> Result<Option<(OwnedFd, StoreId)>, Fault> {
    let wrong = |what: &str| wrong(path, what);
    let file = match rustix::fs::openat(root, LAYOUT, CAREFUL | OFlags::RDONLY, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) if sys::is_not_a_file(errno) => return Err(wrong("layout is not a regular file")),
        Err(errno) => return Err(Fault::from(errno).at(format!("{}/{LAYOUT}", path.display()))),
    };
    let mut bytes = [0; 256];
    let len = match sys::read_at(&file, &mut bytes, 0) {
        Ok(len) => len,
        Err(errno) if sys::is_not_a_file(errno) => return Err(wrong("layout is not a regular file")),
        Err(errno) => return Err(errno.into()),
    };
    let text = bytes.get(..len).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or("");
    let mut lines = text.lines();
    if lines.next() != Some(FIRST_LINE) {
        return Err(wrong("layout file is from another program"));
    }
    let version = lines.next().and_then(|line| line.strip_prefix("layout ")?.parse::<u32>().ok());
    match version {
        Some(VERSION) => {}
        Some(other) => {
            return Err(wrong(&format!(
                "layout has version {other}, this release supports version {VERSION}"
            )));
        }
        None => return Err(wrong("layout file has no version")),
    }
    let id = lines.next().and_then(|line| u128::from_str_radix(line.strip_prefix("id ")?, 16).ok());
    let id = id.ok_or_else(|| wrong("layout file has no id"))?;
    Ok(Some((file, id.to_be_bytes())))
}

/// Makes an empty directory a store.
pub(crate) fn make(root: BorrowedFd<'_>, path: &Path) -> Result<(OwnedFd, StoreId), Fault> {
    for entry in Dir::read_from(root)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        // Another process may be doing the same, or was killed while it did.
        let ours = path::is_temporary(name) || name == LAYOUT.as_bytes();
        if !ours && ![&b"."[..], b"..", b"lost+found"].contains(&name) {
            return Err(wrong(path, "directory is not a store and not empty"));
        }
    }
    let random = || Revision::random().map_err(|error| Fault::new(error.kind(), "no random bytes for an id"));
    let (high, low) = (random()?.to_bytes(), random()?.to_bytes());
    let id = [high, low].concat().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let text = format!("{FIRST_LINE}\nlayout {VERSION}\nid {id}\n");
    let temporary = format!("{TEMPORARY}{id}");
    publish::write(root, temporary.as_bytes(), text.as_bytes(), true)?;
    let published = publish::create(root, temporary.as_bytes(), LAYOUT.as_bytes(), true);
    publish::discard(root, temporary.as_bytes());
    match published {
        // With `EXIST` another process made the store first.
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    rustix::fs::fsync(root)?;
    read(root, path)?.ok_or_else(|| wrong(path, "layout file vanished"))
}

pub(crate) fn wrong(path: &Path, what: &str) -> Fault {
    Fault::new(StoreErrorKind::Misconfigured, what.to_owned()).at(path.display())
}
