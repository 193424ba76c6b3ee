//! Scanning folders: in order, a bounded part of one folder at a time.
//!
//! A position is a folder and the last name seen in it. Names are hashes that never change, so a file that exists during
//! the whole scan is met exactly once, and any process can continue the scan. Positions of the kernel within a directory
//! are not used.

use std::collections::BinaryHeap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use session_core::frame::{self, FrameError, HEADER_LEN};
use session_core::{Key, Revision, StoreErrorKind, Timestamp};

use crate::error::Fault;
use crate::layout::LAYOUT;
use crate::open::Opened;
use crate::path::{self, FOLDERS, Folder, KeyHash, RecordPath};
use crate::read::{self, Contents};
use crate::root::Anchor;
use crate::sys::{self, CAREFUL, DIRECTORY};

/// How many names of a folder are held in memory at a time.
const PART: usize = 512;
/// How often a record is read again while a touch writes its deadline.
const TORN_TRIES: usize = 1_000;

/// The next names of a folder, in order.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) names: Vec<KeyHash>,
    /// Whether the folder has names after these.
    pub(crate) more: bool,
    /// Temporary files. Filled in the first part of a folder only, and used by the purge.
    pub(crate) temporary: Vec<Vec<u8>>,
}

/// The start of a file, decoded.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) key: Key,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) revision: Revision,
    pub(crate) size: u64,
}

/// The file behind a name in a folder.
#[derive(Debug)]
pub(crate) enum Seen {
    Record(Head),
    /// A file that power loss has truncated.
    Torn(Stat),
    /// A file that vanished, or that this driver did not write; an event reports the latter.
    Nothing,
}

/// All folders from one on.
pub(crate) fn folders(from: u16) -> impl Iterator<Item = Folder> {
    (usize::from(from)..FOLDERS).map(|index| Folder(index as u16))
}

/// Opens a folder, if it exists, below the directory that was checked to be the store.
pub(crate) fn open(store: &Opened, anchor: &Anchor, folder: Folder) -> Result<Option<OwnedFd>, Fault> {
    match store.root.open_below(anchor.root.as_fd(), folder.path().as_bytes(), DIRECTORY) {
        Ok(directory) => Ok(Some(directory)),
        Err(Errno::NOENT) => Ok(None),
        Err(Errno::LOOP | Errno::NOTDIR) => {
            tracing::warn!(directory = folder.path(), "path of a folder is not a directory");
            Ok(None)
        }
        Err(errno) => Err(errno.into()),
    }
}

/// The next names after `after`. Reads the whole directory and keeps the smallest names.
pub(crate) fn part(directory: &OwnedFd, folder: Folder, after: Option<&KeyHash>) -> Result<Part, Fault> {
    let mut smallest = BinaryHeap::with_capacity(PART + 1);
    let mut part = Part::default();
    let entries = match Dir::read_from(directory) {
        Ok(entries) => entries,
        // The folder was removed after it was opened.
        Err(Errno::NOENT) => return Ok(part),
        Err(errno) => return Err(errno.into()),
    };
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(Errno::NOENT) => break,
            Err(errno) => return Err(errno.into()),
        };
        let name = entry.file_name().to_bytes();
        let hash = path::parse_name(name).filter(|hash| Folder::of(hash) == folder);
        if let Some(hash) = hash {
            if after.is_none_or(|after| hash > *after) {
                smallest.push(hash);
            }
            if smallest.len() > PART {
                smallest.pop();
                part.more = true;
            }
        } else if after.is_some() || matches!(name, b"." | b"..") {
            // Reported with the first part.
        } else if !path::is_temporary(name) {
            report_stray(&folder.path(), name);
        } else if part.temporary.len() < PART {
            part.temporary.push(name.to_owned());
        }
    }
    part.names = smallest.into_sorted_vec();
    Ok(part)
}

/// Reports unknown files in the root, before its first folder, and in a shard, before the first folder of the shard.
pub(crate) fn report_strays(store: &Opened, anchor: &Anchor, folder: Folder) -> Result<(), Fault> {
    if folder.0 == 0 {
        report(store, anchor, b".", |name| {
            path::parse_directory(name).is_some()
                || [LAYOUT.as_bytes(), b"lost+found"].contains(&name)
                || path::is_temporary(name)
        })?;
    }
    if folder.sub() == 0 {
        let shard = format!("{:02x}", folder.shard());
        report(store, anchor, shard.as_bytes(), |name| path::parse_directory(name).is_some())?;
    }
    Ok(())
}

fn report(store: &Opened, anchor: &Anchor, below: &[u8], known: impl Fn(&[u8]) -> bool) -> Result<(), Fault> {
    let directory = match store.root.open_below(anchor.root.as_fd(), below, DIRECTORY) {
        Ok(directory) => directory,
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::LOOP | Errno::NOTDIR) => {
            report_stray(".", below);
            return Ok(());
        }
        Err(errno) => return Err(errno.into()),
    };
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") && !known(name) {
            report_stray(&String::from_utf8_lossy(below), name);
        }
    }
    Ok(())
}

fn report_stray(directory: &str, name: &[u8]) {
    // Of a hash only the start: enough to find the file, too little to test guessed keys.
    let (name, more) = if path::parse_name(name).is_some() { (&name[..8], "…") } else { (name, "") };
    let name = String::from_utf8_lossy(name) + more;
    tracing::warn!(directory, ?name, "unknown file is ignored");
}

/// Reads the start of a file. A file that the disk cannot read, or that belongs to another user, does not stop the scan.
pub(crate) fn look(directory: BorrowedFd<'_>, hash: &KeyHash) -> Result<Seen, Fault> {
    let path = RecordPath::at(hash);
    match look_at(directory, hash, &path) {
        Err(LookError::Disk(errno)) => {
            tracing::warn!(directory = path.folder.path(), %errno, "disk cannot read a file");
            Ok(Seen::Nothing)
        }
        Err(LookError::Fault(fault)) => Err(fault),
        Ok(seen) => Ok(seen),
    }
}

enum LookError {
    /// The blocks or the metadata of this file are damaged.
    Disk(Errno),
    Fault(Fault),
}

impl From<Errno> for LookError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::IO | Errno::UCLEAN | Errno::BADMSG | Errno::NODATA => Self::Disk(errno),
            errno => Self::Fault(errno.into()),
        }
    }
}

fn look_at(directory: BorrowedFd<'_>, hash: &KeyHash, path: &RecordPath) -> Result<Seen, LookError> {
    let stray = || {
        report_stray(&path.folder.path(), path.name());
        Ok(Seen::Nothing)
    };
    let file = match rustix::fs::openat(directory, path.name(), CAREFUL | OFlags::RDONLY, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(Seen::Nothing),
        Err(errno) => {
            let corrupt = sys::explain(directory, path.name(), errno).kind() == StoreErrorKind::Corrupt;
            if corrupt || errno == Errno::ACCESS && is_of_another_user(directory, path.name())? {
                return stray();
            }
            return Err(errno.into());
        }
    };
    for _ in 0..TORN_TRIES {
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return stray();
        }
        let mut bytes = [0; HEADER_LEN + Key::MAX_LEN];
        let len = sys::read_at(&file, &mut bytes, 0)?;
        let bytes = &bytes[..len];
        let error = match head(bytes, stat.st_size, hash) {
            Ok(head) => return Ok(Seen::Record(head)),
            Err(FrameError::TornWords) => {
                std::thread::yield_now();
                continue;
            }
            Err(error) => error,
        };
        return Ok(match read::judge_broken(error, bytes, None, path) {
            Contents::Torn => Seen::Torn(stat),
            _ => Seen::Nothing,
        });
    }
    // Emits the event: a touch takes microseconds, so words that stay torn are damaged.
    read::judge_broken(FrameError::TornWords, b"SKRF", None, path);
    Ok(Seen::Nothing)
}

/// Processes that share a store run as one user, which owns the folder.
fn is_of_another_user(directory: BorrowedFd<'_>, name: &[u8]) -> Result<bool, Errno> {
    let file = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(file.st_uid != rustix::fs::fstat(directory)?.st_uid)
}

/// Checks the key against the file name and the size against the length of the file. The data is not read.
fn head(bytes: &[u8], size: i64, hash: &KeyHash) -> Result<Head, FrameError> {
    let header = bytes.first_chunk().ok_or(FrameError::Short)?;
    let length = frame::frame_len(header)? as u64;
    let size = u64::try_from(size).unwrap_or(0);
    if size < length {
        return Err(FrameError::Short);
    }
    if size > length {
        return Err(FrameError::Damaged);
    }
    let key_len = usize::from(u16::from_le_bytes([header[6], header[7]]));
    let key = bytes.get(HEADER_LEN..HEADER_LEN + key_len).and_then(|text| std::str::from_utf8(text).ok());
    let key = key.and_then(|text| Key::parse(text).ok()).filter(|key| path::hash(key) == *hash);
    let key = key.ok_or(FrameError::Damaged)?;
    let (expires, revision) = frame::decode_words(header)?;
    Ok(Head { key, expires, revision, size: length - (HEADER_LEN + key_len) as u64 })
}
