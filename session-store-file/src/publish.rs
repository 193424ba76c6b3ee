//! Writing a file so that it is there whole or not at all.
//!
//! A new file is written under a name of its own, in the same directory, and then takes its place in one step. Over
//! an existing file that step is an exchange of the two names, and the old file, now under the temporary name, is
//! removed: a rename over it makes ext4 write the new blocks out at once, which takes as long as the disk does.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::root::CAREFUL;

/// Writes a new file that only its owner may read. If that fails nothing is left of it.
pub(crate) fn write(at: BorrowedFd<'_>, name: &[u8], bytes: &[u8], durable: bool) -> Result<(), Errno> {
    let flags = CAREFUL | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    let file = rustix::fs::openat(at, name, flags, Mode::RUSR | Mode::WUSR)?;
    let mut rest = bytes;
    let written = loop {
        match rustix::io::write(&file, rest) {
            // Never for a file; if so, it would go on for ever.
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

/// Gives the file its name, unless that is taken (`EEXIST`). Without `flags` it is linked and unlinked, as where there
/// is no renaming with flags.
pub(crate) fn create(at: BorrowedFd<'_>, temporary: &[u8], name: &[u8], flags: bool) -> Result<(), Errno> {
    if flags {
        match rustix::fs::renameat_with(at, temporary, at, name, RenameFlags::NOREPLACE) {
            Err(errno) if unsupported(errno) => {}
            other => return other,
        }
    }
    rustix::fs::linkat(at, temporary, at, name, AtFlags::empty())?;
    // It has its name, whatever becomes of the other one.
    discard(at, temporary);
    Ok(())
}

/// Puts the file in the place of the one that has the name. Without `flags` that is a plain renaming.
pub(crate) fn replace(at: BorrowedFd<'_>, temporary: &[u8], name: &[u8], flags: bool) -> Result<(), Errno> {
    if flags {
        match rustix::fs::renameat_with(at, temporary, at, name, RenameFlags::EXCHANGE) {
            Err(errno) if unsupported(errno) => {}
            Ok(()) => {
                // The new one is published, whatever becomes of the old: what is left is purged.
                discard(at, temporary);
                return Ok(());
            }
            Err(errno) => return Err(errno),
        }
    }
    rustix::fs::renameat(at, temporary, at, name)
}

/// Removes a temporary file, if it is still there.
pub(crate) fn discard(at: BorrowedFd<'_>, name: &[u8]) {
    match rustix::fs::unlinkat(at, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => tracing::debug!(%errno, "a temporary file stays until the purge"),
    }
}

/// The kernel or the file system has no renaming with these flags.
fn unsupported(errno: Errno) -> bool {
    matches!(errno, Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)
}
