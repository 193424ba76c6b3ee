//! Looking through the directories: in order, a bounded part of one at a time.
//!
//! A position is a subdirectory and the name last seen in it. Names are hashes that never change, so a file that is
//! there all the time is met exactly once, whatever comes and goes around it, and any process can go on from there.
//! What the kernel says about a position within a directory is not relied on: only the names are.

use std::collections::BinaryHeap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, OFlags, Stat};
use rustix::io::Errno;
use session_core::frame::{self, FrameError, HEADER_LEN};
use session_core::{Key, Revision, Timestamp};

use crate::error::Fault;
use crate::layout::LAYOUT;
use crate::place::{self, FAN_OUT, FOLDERS, Folder, Hash, Place};
use crate::read::{self, Found};
use crate::root::{self, Anchor, CAREFUL, DIRECTORY};
use crate::store::Inner;

/// How many names of a directory are kept in memory at a time.
const PART: usize = 512;

/// The next names of a directory, in order.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) names: Vec<Hash>,
    /// Whether there are more after these.
    pub(crate) more: bool,
    /// Temporary files, for the purge. Seen with the first part of a directory only.
    pub(crate) temporary: Vec<Vec<u8>>,
}

/// What the beginning of a file says, which is enough to list it.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) key: Key,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) revision: Revision,
    pub(crate) size: u64,
}

/// What a name of a directory leads to.
#[derive(Debug)]
pub(crate) enum Seen {
    Record(Head),
    /// A file that power loss has cut short.
    Torn(Stat),
    /// It has gone meanwhile, or is none of ours; an event has told of the latter.
    Nothing,
}

/// All subdirectories from one on.
pub(crate) fn folders(from: u16) -> impl Iterator<Item = Folder> {
    (usize::from(from)..FOLDERS).map(|index| Folder(index as u16))
}

/// Opens a subdirectory, if there is one: in the directory that was found to be the store, for by its path nothing
/// would be found in a moment when that is away.
pub(crate) fn open(inner: &Inner, anchor: &Anchor, folder: Folder) -> Result<Option<OwnedFd>, Fault> {
    match inner.root.open_below(anchor.root.as_fd(), folder.path().as_bytes(), DIRECTORY) {
        Ok(directory) => Ok(Some(directory)),
        Err(Errno::NOENT) => Ok(None),
        Err(Errno::LOOP | Errno::NOTDIR) => {
            tracing::warn!(directory = folder.path(), "what stands where a directory would be is none");
            Ok(None)
        }
        Err(errno) => Err(errno.into()),
    }
}

/// The next names after `after`: the directory is read to its end, and only the smallest are kept.
pub(crate) fn part(directory: &OwnedFd, folder: Folder, after: Option<&Hash>) -> Result<Part, Fault> {
    let mut smallest = BinaryHeap::with_capacity(PART + 1);
    let mut part = Part::default();
    let entries = match Dir::read_from(directory) {
        Ok(entries) => entries,
        // It was removed after it was opened.
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
        let hash = place::parse_name(name).filter(|hash| Folder::of(hash) == folder);
        if let Some(hash) = hash {
            if after.is_none_or(|after| hash > *after) {
                smallest.push(hash);
            }
            if smallest.len() > PART {
                smallest.pop();
                part.more = true;
            }
        } else if after.is_some() || matches!(name, b"." | b"..") {
            // The first part has told of it.
        } else if !place::is_temporary(name) {
            stray(&folder.path(), name);
        } else if part.temporary.len() < PART {
            part.temporary.push(name.to_owned());
        }
    }
    part.names = smallest.into_sorted_vec();
    Ok(part)
}

/// Tells of what stands in the root and in a shard and is none of ours.
pub(crate) fn report_strays(inner: &Inner, anchor: &Anchor, folder: Folder) -> Result<(), Fault> {
    if folder.0 == 0 {
        report(inner, anchor, b".", |name| {
            place::parse_directory(name).is_some()
                || [LAYOUT.as_bytes(), b"lost+found"].contains(&name)
                || place::is_temporary(name)
        })?;
    }
    if folder.sub() == 0 {
        let shard = format!("{:02x}", folder.shard());
        report(inner, anchor, shard.as_bytes(), |name| place::parse_directory(name).is_some())?;
    }
    Ok(())
}

fn report(inner: &Inner, anchor: &Anchor, below: &[u8], known: impl Fn(&[u8]) -> bool) -> Result<(), Fault> {
    let directory = match inner.root.open_below(anchor.root.as_fd(), below, DIRECTORY) {
        Ok(directory) => directory,
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::LOOP | Errno::NOTDIR) => {
            stray(".", below);
            return Ok(());
        }
        Err(errno) => return Err(errno.into()),
    };
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") && !known(name) {
            stray(&String::from_utf8_lossy(below), name);
        }
    }
    Ok(())
}

fn stray(directory: &str, name: &[u8]) {
    // Of the hash of a key the beginning only: it finds the file, and is not enough to try keys on.
    let (name, more) = if place::parse_name(name).is_some() { (&name[..8], "…") } else { (name, "") };
    let name = String::from_utf8_lossy(name) + more;
    tracing::warn!(directory, ?name, "not a file of this store; it is left alone");
}

/// Reads the beginning of a file. One that the disk cannot give, or that is another user's, stops nobody who looks
/// through the store.
pub(crate) fn look(directory: BorrowedFd<'_>, hash: &Hash) -> Result<Seen, Fault> {
    let place = Place::at(hash);
    match look_at(directory, hash, &place) {
        Err(Trouble::Disk(errno)) => {
            tracing::warn!(directory = place.folder.path(), %errno, "the disk cannot read a file");
            Ok(Seen::Nothing)
        }
        Err(Trouble::Fault(fault)) => Err(fault),
        Ok(seen) => Ok(seen),
    }
}

/// What went wrong in looking at one file.
enum Trouble {
    /// The blocks of this file, or what the file system knows of it, are damaged.
    Disk(Errno),
    Fault(Fault),
}

impl From<Errno> for Trouble {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::IO | Errno::UCLEAN | Errno::BADMSG | Errno::NODATA => Self::Disk(errno),
            errno => Self::Fault(errno.into()),
        }
    }
}

fn look_at(directory: BorrowedFd<'_>, hash: &Hash, place: &Place) -> Result<Seen, Trouble> {
    let file = match rustix::fs::openat(
        directory,
        place.name(),
        CAREFUL | OFlags::RDONLY,
        rustix::fs::Mode::empty(),
    ) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(Seen::Nothing),
        Err(errno) => {
            let fault = root::why_not(directory, place.name(), errno);
            let foreign = fault.kind() == session_core::StoreErrorKind::Corrupt
                || errno == Errno::ACCESS && is_of_another_user(directory, place.name())?;
            if !foreign {
                return Err(errno.into());
            }
            stray(&place.folder.path(), place.name());
            return Ok(Seen::Nothing);
        }
    };
    // A touch takes no time at all, so words that stay torn are damaged.
    for _ in 0..1_000 {
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            stray(&place.folder.path(), place.name());
            return Ok(Seen::Nothing);
        }
        let mut bytes = [0; HEADER_LEN + Key::MAX_LEN];
        let len = read::read(&file, &mut bytes, 0)?;
        let bytes = &bytes[..len];
        let error = match head(bytes, stat.st_size, hash) {
            Ok(head) => return Ok(Seen::Record(head)),
            Err(FrameError::TornWords) => {
                std::thread::yield_now();
                continue;
            }
            Err(error) => error,
        };
        return Ok(match read::name(error, bytes, None, place) {
            Found::Torn => Seen::Torn(stat),
            _ => Seen::Nothing,
        });
    }
    read::name(FrameError::TornWords, b"SKRF", None, place);
    Ok(Seen::Nothing)
}

/// Those who share a store are one user, and so are its directories and its files.
fn is_of_another_user(directory: BorrowedFd<'_>, name: &[u8]) -> Result<bool, Errno> {
    let file = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(file.st_uid != rustix::fs::fstat(directory)?.st_uid)
}

/// The data is not read: the name of the file vouches for the key, and the length of the file for the size.
fn head(bytes: &[u8], size: i64, hash: &Hash) -> Result<Head, FrameError> {
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
    let key = key.and_then(|text| Key::parse(text).ok()).filter(|key| place::hash(key) == *hash);
    let key = key.ok_or(FrameError::Damaged)?;
    let (expires, revision) = frame::decode_words(header)?;
    Ok(Head { key, expires, revision, size: length - (HEADER_LEN + key_len) as u64 })
}

/// Whether there are as many subdirectories as a position may name.
pub(crate) const fn is_folder(index: u16) -> bool {
    (index as usize) < FAN_OUT * FAN_OUT
}
