//! Writing a file atomically: readers see the old file or the whole new one.
//!
//! A new file is written under a temporary name in the same directory and then moved to its name. Over an existing
//! file the two names are exchanged, and the old file is unlinked. A plain rename over a file would make ext4 write
//! the new blocks to disk at once.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::sys::CAREFUL;

/// Writes a new file with mode 0600. Removes it if writing fails.
pub(crate) fn write(at: BorrowedFd<'_>, name: &[u8], bytes: &[u8], durable: bool) -> Result<(), Errno> {
    let flags = CAREFUL | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    let file = rustix::fs::openat(at, name, flags, Mode::RUSR | Mode::WUSR)?;
    let mut rest = bytes;
    let written = loop {
        match rustix::io::write(&file, rest) {
            // Does not happen for a file; retrying it could loop forever.
            Ok(0) if !rest.is_empty() => break Err(Errno::IO),
            Ok(len) => rest = &rest[len.min(rest.len())..],
            Err(Errno::INTR) => {}
            Err(errno) => break Err(errno),
        }
        if rest.is_empty() {
            break Ok(());
        }
    };
    let written = written.and_then(|()| if durable { rustix::fs::fsync(&file) } else { Ok(()) });
    if written.is_err() {
        discard(at, name);
    }
    written
}

/// Gives the file its name; fails with `EEXIST` if the name is taken. Without `flags`, or where the file system has no
/// `RENAME_NOREPLACE`, it links and unlinks.
pub(crate) fn create(at: BorrowedFd<'_>, temporary: &[u8], name: &[u8], flags: bool) -> Result<(), Errno> {
    if flags {
        match rustix::fs::renameat_with(at, temporary, at, name, RenameFlags::NOREPLACE) {
            Err(errno) if is_unsupported(errno) => {}
            other => return other,
        }
    }
    rustix::fs::linkat(at, temporary, at, name, AtFlags::empty())?;
    // Published: a failure to unlink the temporary name is left to the purge.
    discard(at, temporary);
    Ok(())
}

/// Replaces the file that has the name. Without `flags`, or where the file system has no `RENAME_EXCHANGE`, it is a
/// plain rename.
pub(crate) fn replace(at: BorrowedFd<'_>, temporary: &[u8], name: &[u8], flags: bool) -> Result<(), Errno> {
    if flags {
        match rustix::fs::renameat_with(at, temporary, at, name, RenameFlags::EXCHANGE) {
            Err(errno) if is_unsupported(errno) => {}
            Ok(()) => {
                // Published: a failure to unlink the old file is left to the purge.
                discard(at, temporary);
                return Ok(());
            }
            Err(errno) => return Err(errno),
        }
    }
    rustix::fs::renameat(at, temporary, at, name)
}

/// Removes a temporary file, if it still exists.
pub(crate) fn discard(at: BorrowedFd<'_>, name: &[u8]) {
    match rustix::fs::unlinkat(at, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => tracing::debug!(%errno, "temporary file is left to the purge"),
    }
}

fn is_unsupported(errno: Errno) -> bool {
    matches!(errno, Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)
}
