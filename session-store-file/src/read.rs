//! Reading a file and judging its contents.

use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};

use bytes::Bytes;
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use session_core::frame::{self, FrameError, HEADER_LEN};
use session_core::{Key, Record, is_live};

use crate::error::Fault;
use crate::open::Opened;
use crate::path::RecordPath;
use crate::sys;

/// Most files fit into a buffer of this size and are read with one call.
const BUFFER: usize = 16 << 10;
/// The largest file: the options bound the data.
const LARGEST: usize = (1 << 30) + HEADER_LEN + Key::MAX_LEN;
/// How often a record is read again while a touch writes its deadline, before it is read under the lock.
const TORN_TRIES: usize = 64;
const MAGIC: &[u8] = b"SKRF";

/// The thread that reads a file. The caller's thread reads no large file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thread {
    Caller,
    Worker,
}

/// The contents of the path of a record.
#[derive(Debug)]
pub(crate) enum Contents {
    Nothing,
    /// A file so large that a worker thread has to read it.
    Large,
    /// A file that power loss has truncated, so its store was never acknowledged as surviving power loss. It counts as
    /// absent.
    Torn,
    Record(Record),
    /// A damaged record of this driver, and what is wrong with it.
    Damaged(&'static str),
    /// A file that this driver did not write. It belongs to another program, so it is never replaced or removed.
    Foreign(&'static str),
    /// A record whose deadline and revision do not match their checksum: damaged, or being touched.
    TornWords,
}

/// The live record of a key. The outer `None` means that a worker thread has to read it, because it is large or needs a
/// lock that is taken.
pub(crate) fn retrieve(
    store: &Opened,
    key: &Key,
    path: &RecordPath,
    thread: Thread,
) -> Result<Option<Option<Record>>, Fault> {
    for _ in 0..TORN_TRIES {
        store.check_open()?;
        match read_by_path(store, key, path, thread)? {
            Contents::TornWords => std::thread::yield_now(),
            contents => return answer(store, contents),
        }
    }
    let Some(_locked) = store.lock(path.folder.shard())? else { return Ok(None) };
    answer(store, read_by_path(store, key, path, thread)?)
}

fn read_by_path(store: &Opened, key: &Key, path: &RecordPath, thread: Thread) -> Result<Contents, Fault> {
    let root = &store.root;
    match root.open_path(path.below_root(), OFlags::RDONLY) {
        Ok(file) => return judge(store, &file, key, path, thread),
        Err(Errno::NOENT) => {}
        Err(errno) => return Err(root.explain(path.below_root(), errno)),
    }
    // The directory may have been absent when the record was opened and present when it is checked, so the record is
    // opened again below the directory that was checked.
    let anchor = root.check_present()?;
    match root.open_below(anchor.root.as_fd(), path.below_root(), OFlags::RDONLY) {
        Ok(file) => judge(store, &file, key, path, thread),
        Err(Errno::NOENT) => Ok(Contents::Nothing),
        Err(errno) => Err(root.explain(path.below_root(), errno)),
    }
}

fn answer(store: &Opened, contents: Contents) -> Result<Option<Option<Record>>, Fault> {
    match contents {
        Contents::Large => Ok(None),
        Contents::Nothing | Contents::Torn => Ok(Some(None)),
        Contents::Record(record) => Ok(Some(is_live(record.expires, store.now()).then_some(record))),
        Contents::Damaged(what) | Contents::Foreign(what) => Err(Fault::corrupt(what)),
        Contents::TornWords => Err(Fault::corrupt(TORN_WORDS)),
    }
}

pub(crate) const TORN_WORDS: &str = "deadline and revision of the record are damaged";

/// Reads the whole file and judges it.
pub(crate) fn judge(
    store: &Opened,
    file: &OwnedFd,
    key: &Key,
    path: &RecordPath,
    thread: Thread,
) -> Result<Contents, Fault> {
    let limit = match thread {
        Thread::Caller => store.config.offload_threshold.saturating_add(HEADER_LEN + Key::MAX_LEN),
        Thread::Worker => usize::MAX,
    };
    let bytes = match read_whole(file, limit)? {
        Whole::Bytes(bytes) => bytes,
        Whole::Large => return Ok(Contents::Large),
        Whole::Foreign(what) => return Ok(foreign(what, path)),
    };
    Ok(match frame::decode_for(&bytes, key) {
        Ok(Some(record)) => Contents::Record(record),
        Ok(None) => foreign("the file holds the record of another key", path),
        Err(FrameError::TornWords) => Contents::TornWords,
        Err(error) => judge_broken(error, &bytes, Some(key), path),
    })
}

/// Judges bytes that are not a valid frame, and emits an event.
pub(crate) fn judge_broken(
    error: FrameError,
    bytes: &[u8],
    key: Option<&Key>,
    path: &RecordPath,
) -> Contents {
    let start = bytes.len().min(HEADER_LEN);
    let zeros = bytes.iter().take(HEADER_LEN).all(|&byte| byte == 0);
    let ours = bytes.starts_with(MAGIC) || MAGIC.starts_with(&bytes[..start]);
    match error {
        // Blocks that were never written read as zeros.
        _ if zeros => torn(path),
        FrameError::Short if ours => match key {
            Some(key) if is_complete(bytes, key) => damaged("a length in the record is damaged", path),
            _ => torn(path),
        },
        FrameError::Version(_) => foreign("the record has an unknown format version", path),
        FrameError::TornWords => damaged(TORN_WORDS, path),
        FrameError::Damaged => damaged("the checksum of the record does not match", path),
        _ => foreign("the file is not a record", path),
    }
}

/// Whether a record that looks truncated is complete and has a damaged length.
fn is_complete(bytes: &[u8], key: &Key) -> bool {
    let data_at = HEADER_LEN + key.as_bytes().len();
    let (Some(body), Some(check)) = (bytes.get(data_at..), bytes.get(16..24)) else { return false };
    let record = Record::new(Bytes::copy_from_slice(body), None, session_core::Revision::from_bytes([0; 8]));
    frame::encode(key, &record).get(16..24) == Some(check)
}

fn torn(path: &RecordPath) -> Contents {
    event(path, "truncated file counts as absent");
    Contents::Torn
}

fn damaged(what: &'static str, path: &RecordPath) -> Contents {
    event(path, what);
    Contents::Damaged(what)
}

fn foreign(what: &'static str, path: &RecordPath) -> Contents {
    event(path, what);
    Contents::Foreign(what)
}

/// Shows the start of the file name only: enough to find the file, too little to test guessed keys.
fn event(path: &RecordPath, what: &'static str) {
    let name = String::from_utf8_lossy(&path.name()[..8]);
    tracing::warn!(directory = path.folder.path(), name = %format_args!("{name}…"), "{what}");
}

enum Whole {
    Bytes(Bytes),
    Large,
    Foreign(&'static str),
}

/// All bytes of a regular file of at most `limit` bytes.
fn read_whole(file: &OwnedFd, limit: usize) -> Result<Whole, Fault> {
    thread_local!(static PAGE: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER]));
    let first = PAGE.with_borrow_mut(|page| match sys::read_at(file, page, 0) {
        Ok(len) => Ok((len, Bytes::copy_from_slice(&page[..len]))),
        Err(errno) => Err(errno),
    });
    let (len, first) = match first {
        Ok(read) => read,
        Err(errno) if sys::is_not_a_file(errno) => return Ok(Whole::Foreign(sys::NOT_A_FILE)),
        Err(errno) => return Err(errno.into()),
    };
    if 0 < len && len < BUFFER {
        return Ok(Whole::Bytes(first));
    }
    let stat = rustix::fs::fstat(file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(Whole::Foreign(sys::NOT_A_FILE));
    }
    let size = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
    // Checked before memory is allocated: a file without the magic number is not a record, however large it is.
    if len < BUFFER || size == len || !first.starts_with(MAGIC) {
        return Ok(Whole::Bytes(first));
    }
    if size > LARGEST {
        return Ok(Whole::Foreign("the file is larger than any record"));
    }
    if size > limit {
        return Ok(Whole::Large);
    }
    let mut all = Vec::new();
    all.try_reserve_exact(size).map_err(|_| Fault::from(Errno::NOMEM))?;
    all.extend_from_slice(&first);
    all.resize(size, 0);
    let mut at = len;
    while at < size {
        match sys::read_at(file, &mut all[at..], at as u64)? {
            0 => break,
            more => at += more,
        }
    }
    all.truncate(at);
    Ok(Whole::Bytes(all.into()))
}
