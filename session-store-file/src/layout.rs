//! What makes a directory a store: the file `layout`, with the version of the layout and a random id of the store.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, Dir, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use session_core::{Operation, Result, Revision, StoreError, StoreErrorKind};

use crate::config::{Durability, FileConfig};
use crate::error::Fault;
use crate::place::{self, TEMPORARY};
use crate::publish;
use crate::root::{CAREFUL, DIRECTORY};

pub(crate) const LAYOUT: &str = "layout";
const FIRST_LINE: &str = "session-store-file";
const VERSION: u32 = 1;

/// The random id of a store. Cursors carry it.
pub(crate) type StoreId = [u8; 16];

/// Opens the directory of the configuration, made if that is asked for, and its path without symbolic links.
pub(crate) fn open_directory(config: &FileConfig) -> Result<(PathBuf, OwnedFd)> {
    let made = make_directory(config)?;
    let path = std::fs::canonicalize(&config.root)
        .map_err(|cause| refuse(&config.root, "the directory cannot be reached").with_source(cause))?;
    let failed = |errno| Fault::from(errno).at(format!("{}", path.display())).during(Operation::Open);
    let root = rustix::fs::open(&path, DIRECTORY, Mode::empty()).map_err(failed)?;
    let stat = rustix::fs::fstat(&root).map_err(failed)?;
    if Mode::from_raw_mode(stat.st_mode).contains(Mode::WOTH) {
        return Err(refuse(&path, "everybody may write to the directory"));
    }
    let access = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    rustix::fs::accessat(CWD, &path, access, AtFlags::EACCESS).map_err(failed)?;
    // Exclusively, as shards are locked: NFS makes that a lock on a range, for which it wants a file to write to.
    match rustix::fs::flock(&root, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => rustix::fs::flock(&root, FlockOperation::Unlock).map_err(failed)?,
        // Somebody else is trying the same.
        Err(Errno::WOULDBLOCK) => {}
        Err(errno) => {
            let cause = std::io::Error::from(errno);
            return Err(refuse(&path, "the file system cannot lock directories").with_source(cause));
        }
    }
    // Under `Power` always: who made the directory may have died before it was on the disk.
    if made || config.durability == Durability::Power {
        sync_parent(&path, &root).map_err(failed)?;
    }
    Ok((path, root))
}

/// Makes the directory if that is asked for; whether it was missing.
fn make_directory(config: &FileConfig) -> Result<bool> {
    if !config.create_directory {
        return Ok(false);
    }
    match std::fs::DirBuilder::new().mode(0o700).create(&config.root) {
        Ok(()) => Ok(true),
        Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(cause) => {
            let what = "the directory cannot be made";
            let full = matches!(Errno::from_io_error(&cause), Some(Errno::NOSPC | Errno::DQUOT));
            let error = if full {
                let detail = format!("{}: {what}", config.root.display());
                StoreError::new(StoreErrorKind::Full, Operation::Open).with_detail(detail)
            } else {
                refuse(&config.root, what)
            };
            Err(error.with_source(cause))
        }
    }
}

/// Brings the name of the directory to the disk.
fn sync_parent(path: &Path, root: &OwnedFd) -> Result<(), Errno> {
    let Some(parent) = path.parent() else { return Ok(()) };
    match rustix::fs::open(parent, DIRECTORY, Mode::empty()) {
        Ok(parent) => rustix::fs::fsync(parent),
        // It may be passed through and not read, so it is synchronised with all else.
        Err(Errno::ACCESS) => rustix::fs::syncfs(root),
        Err(errno) => Err(errno),
    }
}

/// The layout file and the id in it, or `None` where there is no such file.
pub(crate) fn read(root: BorrowedFd<'_>, path: &Path) -> Result<Option<(OwnedFd, StoreId)>, Fault> {
    let wrong = |what: &str| Fault::new(StoreErrorKind::Misconfigured, format!("{}: {what}", path.display()));
    let file = match rustix::fs::openat(root, LAYOUT, CAREFUL | OFlags::RDONLY, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::NXIO) => return Err(wrong("its layout file is no file")),
        Err(errno) => return Err(Fault::from(errno).at(format!("{}/{LAYOUT}", path.display()))),
    };
    let mut bytes = [0; 256];
    let len = match rustix::io::pread(&file, &mut bytes, 0) {
        Ok(len) => len,
        Err(Errno::ISDIR | Errno::SPIPE | Errno::INVAL | Errno::AGAIN) => {
            return Err(wrong("its layout file is no file"));
        }
        Err(errno) => return Err(errno.into()),
    };
    let text = bytes.get(..len).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or("");
    let mut lines = text.lines();
    if lines.next() != Some(FIRST_LINE) {
        return Err(wrong("its layout file is not of this driver"));
    }
    let version = lines.next().and_then(|line| line.strip_prefix("layout ")?.parse::<u32>().ok());
    match version {
        Some(VERSION) => {}
        Some(other) => {
            return Err(wrong(&format!("its layout is of version {other}, and this driver knows {VERSION}")));
        }
        None => return Err(wrong("its layout file has no version")),
    }
    let id = lines.next().and_then(|line| u128::from_str_radix(line.strip_prefix("id ")?, 16).ok());
    let id = id.ok_or_else(|| wrong("its layout file has no id"))?;
    Ok(Some((file, id.to_be_bytes())))
}

/// Makes an empty directory a store.
pub(crate) fn make(
    config: &FileConfig,
    root: BorrowedFd<'_>,
    path: &Path,
) -> Result<(OwnedFd, StoreId), Fault> {
    let wrong = |what: &str| Fault::new(StoreErrorKind::Misconfigured, format!("{}: {what}", path.display()));
    if !config.create {
        return Err(wrong("it is no store, and create is off"));
    }
    for entry in Dir::read_from(root)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        // Another process may be making it just now, or have died in it.
        let ours = place::is_temporary(name) || name == LAYOUT.as_bytes();
        if !ours && ![&b"."[..], b"..", b"lost+found"].contains(&name) {
            return Err(wrong("it is no store, and not empty"));
        }
    }
    let random = || Revision::random().map_err(|_| Fault::new(StoreErrorKind::Unavailable, "no randomness"));
    let (high, low) = (random()?.to_bytes(), random()?.to_bytes());
    let id = [high, low].concat().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let text = format!("{FIRST_LINE}\nlayout {VERSION}\nid {id}\n");
    let temporary = format!("{TEMPORARY}{id}");
    publish::write(root, temporary.as_bytes(), text.as_bytes(), true)?;
    let published = publish::create(root, temporary.as_bytes(), LAYOUT.as_bytes(), true);
    publish::discard(root, temporary.as_bytes());
    match published {
        // Whoever was first made the store.
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    rustix::fs::fsync(root)?;
    read(root, path)?.ok_or_else(|| wrong("its layout file has vanished"))
}

pub(crate) fn refuse(path: &Path, what: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Misconfigured, Operation::Open)
        .with_detail(format!("{}: {what}", path.display()))
}
