//! Changes: each one compares and writes under the lock of its shard.
//!
//! The file of a record is `<shard>/<folder>/<SHA-256 of the key>`, below the directory of the store. The words of this
//! module:
//!
//! | word | meaning |
//! |---|---|
//! | shard | one of 64 directories of the store, and the unit of locking: see `shard.rs` |
//! | folder | one of the 64 directories of a shard; its first store creates it, and the driver never removes it |
//! | frame | the encoded record, which is the whole content of its file: see `session_core::frame` |
//! | words | the 32 bytes of a frame at `WORDS_AT`: deadline, revision and their check; a touch rewrites only these |
//! | torn | a file that is too short or begins with zeros, because power loss cut it off; it counts as absent |
//! | torn words | words that do not match their check: a touch in progress or, while the shard is locked, damage |
//! | damaged | a record of this driver with wrong bytes; it fails with `Corrupt` |
//! | foreign | a file that is not a record of this key and format; it is never replaced or removed |
//! | large | a file too long to read on the caller's thread: see `offload_threshold` |
//! | `Power` | the option `Durability::Power`: a change is on disk before it is acknowledged (`Opened::is_durable`) |
//!
//! A torn file arises under `Process`. There a file gets its name without a sync, and power loss may keep the name but
//! not the bytes. Under `Power` a file is synchronised before it gets its name. So power loss
//! tears no file that was acknowledged as surviving it. Other damage may hit an acknowledged record, so it fails with
//! `Corrupt` instead of reading as absent. A file that such damage cuts off looks torn: the two cannot be told apart.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, OFlags};
use rustix::io::Errno;
use session_core::frame::{self, HEADER_LEN, WORDS_AT};
use session_core::offload::Caller;
use session_core::{Change, ChangeRequest, Condition, Decision, Found, Key, Record, Timestamp, Touch};

use crate::error::Fault;
use crate::open::Opened;
use crate::path::RecordPath;
use crate::publish;
use crate::read::{self, Contents, Thread};
use crate::shard::Locked;
use crate::sys::{self, DIRECTORY};

/// A change, and the frame that a store writes.
#[derive(Debug)]
pub(crate) struct Attempt {
    request: ChangeRequest,
    frame: Option<Vec<u8>>,
}

/// How an attempt ended.
#[derive(Debug)]
pub(crate) enum Tried {
    Done(Change),
    /// Nothing was done: another holder has the lock, or the caller is gone.
    ///
    /// On the caller's thread, `FileStore::change` runs the attempt a few times more and then sends it to a worker
    /// thread. There, `Workers::run` repeats it after a pause, until `busy_timeout` has passed and the call fails with
    /// `Unavailable`. It drops the attempt if the caller is gone.
    Busy,
    /// A large record is stored, which a worker thread has to read: `FileStore::change` sends the attempt to one. An
    /// attempt on a worker thread never ends so.
    Large,
}

impl Attempt {
    pub(crate) fn new(request: ChangeRequest) -> Self {
        Self { request, frame: None }
    }

    /// Makes the change. Answers a touch as [`Change::Applied`] or `Conflict(None)`.
    ///
    /// After taking the lock it checks whether the caller has dropped its future, and if so does nothing. The caller's
    /// next change of this key needs the same lock, so this change takes effect before that one or not at all (C14).
    ///
    /// `caller` is given on a worker thread only. Without it, this is the caller's own thread.
    pub(crate) fn run(
        &mut self,
        store: &Opened,
        key: &Key,
        path: &RecordPath,
        caller: Option<Caller<'_>>,
    ) -> Result<Tried, Fault> {
        let thread = if caller.is_some() { Thread::Worker } else { Thread::Caller };
        // Encoded before the lock is taken, and once for all runs of this attempt.
        let frame = match &self.request {
            ChangeRequest::Store { record, .. } => {
                self.frame.get_or_insert_with(|| frame::encode(key, record)).as_slice()
            }
            ChangeRequest::Remove { .. } | ChangeRequest::Touch(_) => &[],
        };
        let Some(locked) = store.lock(path.folder.shard())? else { return Ok(Tried::Busy) };
        if caller.is_some_and(|caller| caller.is_gone()) {
            return Ok(Tried::Busy);
        }
        let mut site = Site { store, key, path, locked, now: store.now(), thread };
        let done = match &self.request {
            ChangeRequest::Touch(touch) => site.touch(&self.request, *touch)?,
            request => site.write(request, frame)?,
        };
        Ok(done.map_or(Tried::Large, Tried::Done))
    }
}

/// A key whose shard is locked. `write` and `touch` return `None` if a worker thread has to read a large record.
struct Site<'a> {
    store: &'a Opened,
    key: &'a Key,
    path: &'a RecordPath,
    locked: Locked<'a>,
    now: Timestamp,
    thread: Thread,
}

impl Site<'_> {
    /// Stores or removes.
    fn write(&mut self, request: &ChangeRequest, frame: &[u8]) -> Result<Option<Change>, Fault> {
        let creates = matches!(request, ChangeRequest::Store { record, condition }
            if record.is_live(self.now) && !matches!(condition, Condition::Revision(_)));
        let folder = if creates { Some(self.make_folder()?) } else { self.folder()? };
        let contents = match &folder {
            Some(folder) => self.read(folder.as_fd())?,
            None => Contents::Nothing,
        };
        let exists = !matches!(contents, Contents::Nothing);
        let (found, live, damage) = match contents {
            Contents::Nothing => (Found::Nothing, None, None),
            Contents::Large => return Ok(None),
            // Absent, because power loss tears only files that were not acknowledged as surviving it. Treated as an
            // expired record: a store replaces it, and a removal leaves it to the purge.
            Contents::Torn => (Found::Expired, None, None),
            Contents::Record(record) => {
                let found = Found::at(record.expires, record.revision, self.now);
                (found, Some(record).filter(|_| found != Found::Expired), None)
            }
            Contents::Damaged(what) => (Found::Damaged, None, Some(what)),
            Contents::Foreign(what) => return Err(Fault::corrupt(what)),
            // Torn words normally mean a touch in progress. The lock is held here, so they are damage.
            Contents::TornWords => (Found::Damaged, None, Some(read::TORN_WORDS)),
        };
        match (request.decide(found, self.now), folder) {
            (Decision::Corrupt, _) => return Err(Fault::corrupt(damage.unwrap_or_default())),
            (Decision::Conflict, Some(folder)) if live.is_none() => {
                // Under `Power`, the caller may report the absence as final, but the removal that caused it may not be
                // on disk: its process died or its sync failed, so it was never acknowledged. A touch needs no such
                // sync: its `false` does not tell an absent record from a newer one.
                self.sync(folder.as_fd())?;
                return Ok(Some(Change::Conflict(None)));
            }
            // No sync for a live record, because the answer acknowledges no change. As with a retrieve, power loss may
            // undo the record if its store was never acknowledged. A change that replaces it is synchronised.
            (Decision::Conflict, _) => return Ok(Some(Change::Conflict(live))),
            (Decision::AlreadyApplied, Some(folder)) => self.publish_again(folder.as_fd(), live.as_ref())?,
            (Decision::AlreadyAbsent, Some(folder)) => self.sync(folder.as_fd())?,
            (Decision::Delete, Some(folder)) => self.unlink(folder.as_fd())?,
            (Decision::Write, Some(folder)) => self.publish(folder.as_fd(), frame, exists)?,
            // Without a folder the record is absent. `Conflict` was handled above, and a store that may write has made
            // the folder. So the decision is `AlreadyAbsent`.
            (_, None) => {}
        }
        Ok(Some(Change::Applied))
    }

    /// Rewrites deadline and revision in place, with one call.
    fn touch(&mut self, request: &ChangeRequest, touch: Touch) -> Result<Option<Change>, Fault> {
        let conflict = Ok(Some(Change::Conflict(None)));
        // `folder` also synchronises the name of the folder: the process that created it may have died before that.
        let folder = if self.store.is_durable() { self.folder()? } else { None };
        let (shard, below) = (self.locked.directory(), self.path.below_shard());
        let file = match self.store.root.open_below(shard, below, OFlags::RDWR) {
            Ok(file) => file,
            Err(Errno::NOENT) => return conflict,
            Err(errno) => return Err(sys::explain(shard, below, errno)),
        };
        let mut head = [0; HEADER_LEN + Key::MAX_LEN];
        let len = match sys::read_at(&file, &mut head, 0) {
            Ok(len) => len,
            Err(errno) if sys::is_not_a_file(errno) => return Err(Fault::corrupt(sys::NOT_A_FILE)),
            Err(errno) => return Err(errno.into()),
        };
        let size = rustix::fs::fstat(&file)?.st_size;
        let (header, rest) = head.split_first_chunk::<HEADER_LEN>().expect("the array begins with a header");
        let words = frame::decode_words(header);
        let whole = len >= HEADER_LEN
            && words.is_ok()
            && frame::frame_len(header).is_ok_and(|length| u64::try_from(size) == Ok(length as u64))
            && rest.get(..self.key.as_bytes().len()) == Some(self.key.as_bytes());
        let (Ok((expires, revision)), true) = (words, whole) else {
            // The whole file is read to find out what is wrong with it.
            return match read::judge(self.store, &file, self.key, self.path, self.thread)? {
                Contents::Large => Ok(None),
                Contents::Nothing | Contents::Torn => conflict,
                Contents::Damaged(what) | Contents::Foreign(what) => Err(Fault::corrupt(what)),
                Contents::TornWords => Err(Fault::corrupt(read::TORN_WORDS)),
                Contents::Record(_) => Err(Fault::corrupt("the record changed while its shard was locked")),
            };
        };
        let repeated = match request.decide(Found::at(expires, revision, self.now), self.now) {
            Decision::Write => false,
            Decision::AlreadyApplied => true,
            _ => return conflict,
        };
        // Under `Power` a repeated touch writes again: after a failed write the kernel keeps showing the words that are
        // not on disk, and a later fsync reports no error.
        if !repeated || self.store.is_durable() {
            let deadline = if repeated { expires } else { touch.deadline };
            // The check of key and data, which the check of the words covers.
            let check = *header[16..].first_chunk().expect("a header is longer than 24 bytes");
            let words = frame::encode_words(check, deadline, touch.to);
            loop {
                match rustix::io::pwrite(&file, &words, WORDS_AT as u64) {
                    Err(Errno::INTR) => {}
                    Err(errno) if repeated => return Err(Fault::from(errno).unknown()),
                    Err(errno) => return Err(Fault::of_change(errno)),
                    Ok(len) if len == words.len() => break,
                    // Does not happen for 32 bytes within a page. If it did, readers would detect torn words.
                    Ok(_) => return Err(Fault::from(Errno::IO).unknown()),
                }
            }
        }
        if let Some(folder) = folder {
            let synced = rustix::fs::fdatasync(&file).and_then(|()| rustix::fs::fsync(&folder));
            synced.map_err(|errno| Fault::from(errno).unknown())?;
        }
        Ok(Some(Change::Applied))
    }

    fn read(&self, folder: BorrowedFd<'_>) -> Result<Contents, Fault> {
        match self.store.root.open_below(folder, self.path.name(), OFlags::RDONLY) {
            Ok(file) => read::judge(self.store, &file, self.key, self.path, self.thread),
            Err(Errno::NOENT) => Ok(Contents::Nothing),
            Err(errno) => Err(sys::explain(folder, self.path.name(), errno)),
        }
    }

    /// Opens the folder, if it exists. Under `Power` it makes sure that the name of the folder is on disk.
    fn folder(&mut self) -> Result<Option<OwnedFd>, Fault> {
        let sub = self.path.folder.sub();
        match self.store.root.open_below(self.locked.directory(), self.path.sub(), DIRECTORY) {
            Ok(folder) => {
                if self.store.is_durable() && !self.locked.is_durable(sub) {
                    rustix::fs::fsync(self.locked.directory())?;
                    self.locked.set_durable(sub, true);
                }
                Ok(Some(folder))
            }
            Err(Errno::NOENT) => {
                self.locked.set_durable(sub, false);
                Ok(None)
            }
            Err(errno) => Err(errno.into()),
        }
    }

    fn make_folder(&mut self) -> Result<OwnedFd, Fault> {
        if let Some(folder) = self.folder()? {
            return Ok(folder);
        }
        sys::make_directory(self.locked.directory(), self.path.sub())?;
        self.folder()?.ok_or_else(|| Errno::NOENT.into())
    }

    fn publish(&self, folder: BorrowedFd<'_>, frame: &[u8], exists: bool) -> Result<(), Fault> {
        let temporary = self.store.temporary_name();
        publish::write(folder, &temporary, frame, self.store.is_durable())?;
        let (name, flags) = (self.path.name(), self.store.rename_flags);
        let published = if exists {
            publish::replace(folder, &temporary, name, flags)
        } else {
            publish::create(folder, &temporary, name, flags)
        };
        if let Err(errno) = published {
            publish::discard(folder, &temporary);
            return Err(match errno {
                // Another handle of this driver would need the lock that this one holds.
                Errno::EXIST => Fault::corrupt("another program created a file at the path of the record"),
                errno => Fault::of_change(errno),
            });
        }
        self.sync(folder)
    }

    /// Under `Power`, publishes a record again that an earlier attempt has stored. That attempt may have failed or died
    /// before the record was on disk; after a disk error the kernel keeps showing what it could not write, and reports
    /// nothing to a later fsync.
    fn publish_again(&self, folder: BorrowedFd<'_>, live: Option<&Record>) -> Result<(), Fault> {
        let Some(live) = live.filter(|_| self.store.is_durable()) else { return Ok(()) };
        self.publish(folder, &frame::encode(self.key, live), true).map_err(Fault::unknown)
    }

    fn unlink(&self, folder: BorrowedFd<'_>) -> Result<(), Fault> {
        rustix::fs::unlinkat(folder, self.path.name(), AtFlags::empty()).map_err(Fault::of_change)?;
        self.sync(folder)
    }

    /// Under `Power`, writes the names in the folder to disk.
    fn sync(&self, folder: BorrowedFd<'_>) -> Result<(), Fault> {
        if !self.store.is_durable() {
            return Ok(());
        }
        rustix::fs::fsync(folder).map_err(|errno| Fault::from(errno).unknown())
    }
}
