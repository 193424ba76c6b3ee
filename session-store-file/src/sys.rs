//! System calls that never follow a link and never block on a pipe or a device.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::error::Fault;

/// Flags of every open.
pub(crate) const CAREFUL: OFlags =
    OFlags::CLOEXEC.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);
/// Flags for a directory that is read, locked or synchronised.
pub(crate) const DIRECTORY: OFlags = CAREFUL.union(OFlags::DIRECTORY).union(OFlags::RDONLY);

pub(crate) const NOT_A_FILE: &str = "the path of the record is not a regular file";

/// Creates a directory with mode 0700. Returns whether it was missing.
pub(crate) fn make_directory(at: BorrowedFd<'_>, name: &[u8]) -> Result<bool, Errno> {
    match rustix::fs::mkdirat(at, name, Mode::RWXU) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Opens a relative path with one `openat2`, without following links.
pub(crate) fn resolve(at: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    loop {
        match rustix::fs::openat2(at, path, CAREFUL | flags, Mode::empty(), resolve) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Why an existing path could not be opened: it may not be a regular file.
pub(crate) fn explain(at: BorrowedFd<'_>, path: &[u8], errno: Errno) -> Fault {
    match rustix::fs::statat(at, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => errno.into(),
            FileType::Symlink => Fault::corrupt("the path of the record is a symbolic link"),
            _ => Fault::corrupt(NOT_A_FILE),
        },
        Err(_) => errno.into(),
    }
}

/// Reads a file at an offset. Fails with `EINVAL` for a pipe or a socket.
pub(crate) fn read_at(file: impl AsFd, buffer: &mut [u8], at: u64) -> Result<usize, Errno> {
    loop {
        match rustix::io::pread(&file, &mut *buffer, at) {
            Err(Errno::INTR) => {}
            Err(Errno::SPIPE) => return Err(Errno::INVAL),
            other => return other,
        }
    }
}

/// Whether a failed [`read_at`] shows that the descriptor is not of a regular file.
pub(crate) fn is_not_a_file(errno: Errno) -> bool {
    matches!(errno, Errno::ISDIR | Errno::AGAIN | Errno::INVAL | Errno::NXIO)
}
