//! The changes: each decides and writes under the lock of its shard.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, OFlags};
use rustix::io::Errno;
use session_core::frame::{self, HEADER_LEN, WORDS_AT};
use session_core::{Change, Condition, Key, OldDecision, Operation, Record, Revision, Timestamp, is_live};

use crate::error::Fault;
use crate::place::Place;
use crate::publish;
use crate::read::{self, Found, On};
use crate::root::{self, DIRECTORY, make_below};
use crate::shard::Locked;
use crate::store::Inner;

/// A change that is asked for.
#[derive(Debug)]
pub(crate) enum ChangeRequest {
    /// The frame is made before the lock is taken.
    Store {
        frame: Vec<u8>,
        revision: Revision,
        expires: Option<Timestamp>,
        when: Condition,
    },
    Remove {
        when: Condition,
    },
    Touch {
        from: Revision,
        to: Revision,
        deadline: Option<Timestamp>,
    },
}

/// What it is answered with.
#[derive(Debug)]
pub(crate) enum Answer {
    Stored(Change),
    Touched(bool),
}

/// How far a change has come.
#[derive(Debug)]
pub(crate) enum Tried {
    Done(Answer),
    /// Somebody else holds the lock just now.
    Busy,
    /// A large record is in the way, which a thread of the driver is to look at.
    Large,
}

impl Tried {
    /// The answer, or `None` where the change is to be tried again.
    pub(crate) fn done(self) -> Option<Answer> {
        match self {
            Self::Done(answer) => Some(answer),
            Self::Busy | Self::Large => None,
        }
    }
}

impl ChangeRequest {
    pub(crate) fn store(key: &Key, record: &Record, when: Condition) -> Self {
        let frame = frame::encode(key, record);
        Self::Store { frame, revision: record.revision, expires: record.expires, when }
    }

    pub(crate) fn operation(&self) -> Operation {
        match self {
            Self::Store { .. } => Operation::Store,
            Self::Remove { .. } => Operation::Remove,
            Self::Touch { .. } => Operation::Touch,
        }
    }

    /// Makes the change, unless it has to wait, or its caller has `gone`. That is asked under the lock: what a caller
    /// changes after it has dropped this needs the same lock, so that this comes before it or not at all.
    pub(crate) fn apply(
        &self,
        inner: &Inner,
        key: &Key,
        place: &Place,
        on: On,
        gone: Option<&AtomicBool>,
    ) -> Result<Tried, Fault> {
        let Some(locked) = inner.lock(place.folder.shard())? else { return Ok(Tried::Busy) };
        if gone.is_some_and(|gone| gone.load(Ordering::Acquire)) {
            return Ok(Tried::Busy);
        }
        let mut site = Site { inner, key, place, locked, now: inner.now(), on };
        let answer = match self {
            Self::Store { frame, revision, expires, when } => {
                site.store(frame, *revision, *expires, *when)?.map(Answer::Stored)
            }
            Self::Remove { when } => site.remove(*when)?.map(Answer::Stored),
            Self::Touch { from, to, deadline } => site.touch(*from, *to, *deadline)?.map(Answer::Touched),
        };
        Ok(answer.map_or(Tried::Large, Tried::Done))
    }
}

/// Where a change is made: one key, whose shard is locked. `None` for an answer is a large record in the way.
struct Site<'a> {
    inner: &'a Inner,
    key: &'a Key,
    place: &'a Place,
    locked: Locked<'a>,
    now: Timestamp,
    on: On,
}

impl Site<'_> {
    fn store(
        &mut self,
        frame: &[u8],
        revision: Revision,
        expires: Option<Timestamp>,
        when: Condition,
    ) -> Result<Option<Change>, Fault> {
        let late = !is_live(expires, self.now);
        let folder = if late || matches!(when, Condition::Revision(_)) {
            self.folder()?
        } else {
            Some(self.make_folder()?)
        };
        let Some(folder) = folder else {
            // Nothing is there.
            let gone = late && !matches!(when, Condition::Revision(_));
            return Ok(Some(if gone { Change::Applied } else { Change::Conflict(None) }));
        };
        let found = self.find(folder.as_fd())?;
        if matches!(found, Found::Large) {
            return Ok(None);
        }
        let there = !matches!(found, Found::Nothing);
        let live = self.live(found, when)?;
        match when.decide(live.as_ref().map(|live| live.revision), Some(revision)) {
            OldDecision::Conflict => return Ok(Some(Change::Conflict(live))),
            OldDecision::AlreadyApplied => self.publish_again(folder.as_fd(), live.as_ref())?,
            OldDecision::Apply if late && there => self.unlink(folder.as_fd())?,
            // Whoever removed what was there may have died before that was on the disk.
            OldDecision::Apply if late => self.sync(folder.as_fd())?,
            OldDecision::Apply => self.publish(folder.as_fd(), frame, there)?,
        }
        Ok(Some(Change::Applied))
    }

    fn remove(&mut self, when: Condition) -> Result<Option<Change>, Fault> {
        let Some(folder) = self.folder()? else {
            let gone = when == Condition::Absent;
            return Ok(Some(if gone { Change::Applied } else { Change::Conflict(None) }));
        };
        let found = self.find(folder.as_fd())?;
        if matches!(found, Found::Large) {
            return Ok(None);
        }
        // A damaged record can be removed like any other: this is how one gets rid of it.
        let damaged = matches!(found, Found::Damaged(_));
        let live = self.live(found, when)?;
        if !damaged && live.is_none() {
            // Whoever hears that nothing is there relies on it: a removal that was not answered may have got as far
            // as this.
            self.sync(folder.as_fd())?;
            let gone = when == Condition::Absent;
            return Ok(Some(if gone { Change::Applied } else { Change::Conflict(None) }));
        }
        if when.decide(live.as_ref().map(|live| live.revision), None) == OldDecision::Conflict {
            return Ok(Some(Change::Conflict(live)));
        }
        self.unlink(folder.as_fd())?;
        Ok(Some(Change::Applied))
    }

    /// Rewrites the two words of the frame where they stand, with one call.
    fn touch(
        &mut self,
        from: Revision,
        to: Revision,
        deadline: Option<Timestamp>,
    ) -> Result<Option<bool>, Fault> {
        // What is synchronised afterwards, for whoever stored the record may have died before that.
        let folder = if self.inner.durable() { self.folder()? } else { None };
        let (shard, below) = (self.locked.directory(), self.place.below_shard());
        let file = match self.inner.root.open_below(shard, below, OFlags::RDWR) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(Some(false)),
            Err(errno) => return Err(root::why_not(shard, below, errno)),
        };
        let mut head = [0; HEADER_LEN + Key::MAX_LEN];
        let len = match read::read(&file, &mut head, 0) {
            Ok(len) => len,
            Err(Errno::INVAL | Errno::AGAIN | Errno::ISDIR) => {
                return Err(Fault::corrupt("what stands where the record would be is no file"));
            }
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
            // Read all of it, to say what it is.
            return match read::judge(self.inner, &file, self.key, self.place, self.on)? {
                Found::Large => Ok(None),
                Found::Nothing | Found::Torn => Ok(Some(false)),
                Found::Damaged(what) | Found::Foreign(what) => Err(Fault::corrupt(what)),
                Found::TornWords => Err(Fault::corrupt(read::TORN_WORDS)),
                Found::Record(_) => Err(Fault::corrupt("the record changes although it is locked")),
            };
        };
        if !is_live(expires, self.now) {
            return Ok(Some(false));
        }
        if revision != from && revision != to {
            return Ok(Some(false));
        }
        // A touch that was made already is written again where it is to be on the disk: the kernel keeps showing words
        // that it could not write, and whoever synchronises them later hears of no error.
        if revision != to || self.inner.durable() {
            let deadline = if revision == to { expires } else { deadline };
            let check = *header[16..].first_chunk().expect("a header is longer than that");
            let words = frame::encode_words(check, deadline, to);
            loop {
                match rustix::io::pwrite(&file, &words, WORDS_AT as u64) {
                    Err(Errno::INTR) => {}
                    Err(errno) if revision == to => return Err(Fault::from(errno).unknown()),
                    Err(errno) => return Err(Fault::of_change(errno)),
                    Ok(len) if len == words.len() => break,
                    // Not for 32 bytes within a page; if so, the words are torn and whoever reads them sees it.
                    Ok(_) => return Err(Fault::from(Errno::IO).unknown()),
                }
            }
        }
        if let Some(folder) = folder {
            let synced = rustix::fs::fdatasync(&file).and_then(|()| rustix::fs::fsync(&folder));
            synced.map_err(|errno| Fault::from(errno).unknown())?;
        }
        Ok(Some(true))
    }

    /// What is live. Something that is not ours stops every change, a damaged record every change with a condition.
    fn live(&self, found: Found, when: Condition) -> Result<Option<Record>, Fault> {
        match found {
            Found::Nothing | Found::Torn | Found::Large => Ok(None),
            Found::Record(record) => Ok(record.is_live(self.now).then_some(record)),
            Found::Damaged(_) if when == Condition::Any => Ok(None),
            Found::Damaged(what) | Found::Foreign(what) => Err(Fault::corrupt(what)),
            Found::TornWords => Err(Fault::corrupt(read::TORN_WORDS)),
        }
    }

    fn find(&self, folder: BorrowedFd<'_>) -> Result<Found, Fault> {
        match self.inner.root.open_below(folder, self.place.name(), OFlags::RDONLY) {
            // Nobody touches it now, so torn words are damaged ones.
            Ok(file) => Ok(match read::judge(self.inner, &file, self.key, self.place, self.on)? {
                Found::TornWords => Found::Damaged(read::TORN_WORDS),
                found => found,
            }),
            Err(Errno::NOENT) => Ok(Found::Nothing),
            Err(errno) => Err(root::why_not(folder, self.place.name(), errno)),
        }
    }

    /// The subdirectory, if it is there. Under `Power` its name is on the disk from now on, whoever has made it.
    fn folder(&mut self) -> Result<Option<OwnedFd>, Fault> {
        let sub = self.place.folder.sub();
        match self.inner.root.open_below(self.locked.directory(), self.place.sub(), DIRECTORY) {
            Ok(folder) => {
                if self.inner.durable() && !self.locked.is_durable(sub) {
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
        make_below(self.locked.directory(), self.place.sub())?;
        self.folder()?.ok_or_else(|| Errno::NOENT.into())
    }

    fn publish(&self, folder: BorrowedFd<'_>, frame: &[u8], there: bool) -> Result<(), Fault> {
        let temporary = self.inner.temporary_name();
        publish::write(folder, &temporary, frame, self.inner.durable())?;
        let name = self.place.name();
        let published = if there {
            publish::replace(folder, &temporary, name, self.inner.flags)
        } else {
            publish::create(folder, &temporary, name, self.inner.flags)
        };
        if let Err(errno) = published {
            publish::discard(folder, &temporary);
            return Err(match errno {
                // Not by this driver, which would hold the lock.
                Errno::EXIST => Fault::corrupt("something has just appeared where the record would be"),
                errno => Fault::of_change(errno),
            });
        }
        self.sync(folder)
    }

    /// Under `Power`, publishes once more what a store has found to be made already. Whoever made it may have died, or
    /// been told of an error, before it was on the disk; after such an error the kernel keeps showing what it could not
    /// write and reports nothing to whoever synchronises it later. Which of these it was is not known here.
    fn publish_again(&self, folder: BorrowedFd<'_>, live: Option<&Record>) -> Result<(), Fault> {
        let Some(live) = live.filter(|_| self.inner.durable()) else { return Ok(()) };
        self.publish(folder, &frame::encode(self.key, live), true).map_err(Fault::unknown)
    }

    fn unlink(&self, folder: BorrowedFd<'_>) -> Result<(), Fault> {
        rustix::fs::unlinkat(folder, self.place.name(), AtFlags::empty()).map_err(Fault::of_change)?;
        self.sync(folder)
    }

    /// Under `Power`, brings the names in the subdirectory to the disk.
    fn sync(&self, folder: BorrowedFd<'_>) -> Result<(), Fault> {
        if !self.inner.durable() {
            return Ok(());
        }
        rustix::fs::fsync(folder).map_err(|errno| Fault::from(errno).unknown())
    }
}
