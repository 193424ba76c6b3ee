//! Reading a file and judging what it is.

use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};

use bytes::Bytes;
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use session_core::frame::{self, FrameError, HEADER_LEN};
use session_core::{Key, Record, is_live};

use crate::error::Fault;
use crate::place::Place;
use crate::store::Inner;

/// Most files are read with one call into a buffer of this size.
const BUFFER: usize = 16 << 10;
/// No record is larger: the options refuse such data.
const LARGEST: usize = (1 << 30) + HEADER_LEN + Key::MAX_LEN;
/// How often a record is read again whose deadline a touch is just writing, before it is read under the lock.
const TORN_TRIES: usize = 64;
const MAGIC: &[u8] = b"SKRF";

/// On whose thread something is read: on the caller's nothing that takes long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Callers,
    Own,
}

/// What stands in a record's place.
#[derive(Debug)]
pub(crate) enum Found {
    Nothing,
    /// A file so large that a thread of the driver is to read it.
    Large,
    /// A file that power loss has cut short: it counts as absent.
    Torn,
    Record(Record),
    /// A record of ours that is damaged, and how.
    Damaged(&'static str),
    /// Something that this driver did not write: it is never replaced and never removed.
    Foreign(&'static str),
    /// A record whose deadline or revision do not fit their check: damaged, or just being touched.
    TornWords,
}

/// The live record of a key, or `None` in the place of an answer where a thread of the driver is to look, for the lock
/// is needed and taken, or the record is large.
pub(crate) fn retrieve(
    inner: &Inner,
    key: &Key,
    place: &Place,
    on: On,
) -> Result<Option<Option<Record>>, Fault> {
    for _ in 0..TORN_TRIES {
        inner.check_open()?;
        match by_path(inner, key, place, on)? {
            Found::TornWords => std::thread::yield_now(),
            found => return answer(inner, found),
        }
    }
    let Some(_locked) = inner.lock(place.folder.shard())? else { return Ok(None) };
    answer(inner, by_path(inner, key, place, on)?)
}

fn by_path(inner: &Inner, key: &Key, place: &Place, on: On) -> Result<Found, Fault> {
    let root = &inner.root;
    match root.open_path(place.below_root(), OFlags::RDONLY) {
        Ok(file) => return judge(inner, &file, key, place, on),
        Err(Errno::NOENT) => {}
        Err(errno) => return Err(root.why_not(place.below_root(), errno)),
    }
    // The directory may have been away when the record was looked for, and back when the directory is looked for. So
    // the record is looked for in the very directory that is there.
    let anchor = root.check_there()?;
    match root.open_below(anchor.root.as_fd(), place.below_root(), OFlags::RDONLY) {
        Ok(file) => judge(inner, &file, key, place, on),
        Err(Errno::NOENT) => Ok(Found::Nothing),
        Err(errno) => Err(root.why_not(place.below_root(), errno)),
    }
}

fn answer(inner: &Inner, found: Found) -> Result<Option<Option<Record>>, Fault> {
    match found {
        Found::Large => Ok(None),
        Found::Nothing | Found::Torn => Ok(Some(None)),
        Found::Record(record) => Ok(Some(is_live(record.expires, inner.now()).then_some(record))),
        Found::Damaged(what) | Found::Foreign(what) => Err(Fault::corrupt(what)),
        Found::TornWords => Err(Fault::corrupt(TORN_WORDS)),
    }
}

pub(crate) const TORN_WORDS: &str = "the deadline and revision of the record are damaged";

/// Reads the whole file and says what it is.
pub(crate) fn judge(inner: &Inner, file: &OwnedFd, key: &Key, place: &Place, on: On) -> Result<Found, Fault> {
    let most = match on {
        On::Callers => inner.config.offload_from.saturating_add(HEADER_LEN + Key::MAX_LEN),
        On::Own => usize::MAX,
    };
    let bytes = match whole(file, most)? {
        Whole::Bytes(bytes) => bytes,
        Whole::Large => return Ok(Found::Large),
        Whole::Strange(what) => return Ok(foreign(what, place)),
    };
    Ok(match frame::decode_for(&bytes, key) {
        Ok(Some(record)) => Found::Record(record),
        Ok(None) => foreign("the file holds the record of another key", place),
        Err(FrameError::TornWords) => Found::TornWords,
        Err(error) => name(error, &bytes, Some(key), place),
    })
}

/// What bytes are that are no frame, with an event.
pub(crate) fn name(error: FrameError, bytes: &[u8], key: Option<&Key>, place: &Place) -> Found {
    let start = bytes.len().min(HEADER_LEN);
    let zeros = bytes.iter().take(HEADER_LEN).all(|&byte| byte == 0);
    let ours = bytes.starts_with(MAGIC) || MAGIC.starts_with(&bytes[..start]);
    match error {
        // Blocks that were never written read as zeros.
        _ if zeros => torn(place),
        FrameError::Short if ours => match key {
            Some(key) if is_whole(bytes, key) => damaged("a length in the record is damaged", place),
            _ => torn(place),
        },
        FrameError::Version(_) => foreign("the record has a version that this release does not know", place),
        FrameError::TornWords => damaged(TORN_WORDS, place),
        FrameError::Damaged => damaged("the checksum of the record does not fit", place),
        _ => foreign("the file is no record", place),
    }
}

/// Whether all bytes of a record are there and only one of its lengths is wrong, which makes it look cut short.
fn is_whole(bytes: &[u8], key: &Key) -> bool {
    let data_at = HEADER_LEN + key.as_bytes().len();
    let (Some(body), Some(check)) = (bytes.get(data_at..), bytes.get(16..24)) else { return false };
    let record = Record::new(Bytes::copy_from_slice(body), None, session_core::Revision::from_bytes([0; 8]));
    frame::encode(key, &record).get(16..24) == Some(check)
}

fn torn(place: &Place) -> Found {
    event(place, "a file that was cut short counts as absent");
    Found::Torn
}

fn damaged(what: &'static str, place: &Place) -> Found {
    event(place, what);
    Found::Damaged(what)
}

fn foreign(what: &'static str, place: &Place) -> Found {
    event(place, what);
    Found::Foreign(what)
}

/// The beginning of the name finds the file, and is not enough to try keys on.
fn event(place: &Place, what: &'static str) {
    let name = String::from_utf8_lossy(&place.name()[..8]);
    tracing::warn!(directory = place.folder.path(), name = %format_args!("{name}…"), "{what}");
}

enum Whole {
    Bytes(Bytes),
    Large,
    Strange(&'static str),
}

/// All bytes of a file, unless it is no file or has more than `most`.
fn whole(file: &OwnedFd, most: usize) -> Result<Whole, Fault> {
    thread_local!(static PAGE: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER]));
    let first = PAGE.with_borrow_mut(|page| match read(file, page, 0) {
        Ok(len) => Ok((len, Bytes::copy_from_slice(&page[..len]))),
        Err(errno) => Err(errno),
    });
    let (len, first) = match first {
        Ok(read) => read,
        Err(Errno::ISDIR | Errno::AGAIN | Errno::INVAL | Errno::NXIO) => return Ok(Whole::Strange(NO_FILE)),
        Err(errno) => return Err(errno.into()),
    };
    if 0 < len && len < BUFFER {
        return Ok(Whole::Bytes(first));
    }
    let stat = rustix::fs::fstat(file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(Whole::Strange(NO_FILE));
    }
    let size = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
    // Before memory is taken for it: what does not begin as a record does is none, however large it is.
    if len < BUFFER || size == len || !first.starts_with(MAGIC) {
        return Ok(Whole::Bytes(first));
    }
    if size > LARGEST {
        return Ok(Whole::Strange("the file is larger than any record"));
    }
    if size > most {
        return Ok(Whole::Large);
    }
    let mut all = Vec::new();
    all.try_reserve_exact(size).map_err(|_| Fault::from(Errno::NOMEM))?;
    all.extend_from_slice(&first);
    all.resize(size, 0);
    let mut at = len;
    while at < size {
        match read(file, &mut all[at..], at as u64)? {
            0 => break,
            more => at += more,
        }
    }
    all.truncate(at);
    Ok(Whole::Bytes(all.into()))
}

const NO_FILE: &str = "what stands where the record would be is no file";

/// Reads at an offset, for a file; what cannot be read at one is no file.
pub(crate) fn read(file: impl AsFd, buffer: &mut [u8], at: u64) -> Result<usize, Errno> {
    loop {
        match rustix::io::pread(&file, &mut *buffer, at) {
            Err(Errno::INTR) => {}
            Err(Errno::SPIPE) => return Err(Errno::INVAL),
            other => return other,
        }
    }
}
