//! The changes: each decides and writes under the lock of its shard.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, OFlags};
use rustix::io::Errno;
use session_core::frame::{self, HEADER_LEN, WORDS_AT};
use session_core::{Condition, Decision, Key, Operation, Record, Revision, Stored, Timestamp, is_live};

use crate::error::Fault;
use crate::layout::{DIRECTORY, make_below};
use crate::place::Place;
use crate::publish;
use crate::read::{self, Found};
use crate::shard::Locked;
use crate::store::Inner;

/// A change that is asked for.
#[derive(Debug)]
pub(crate) enum Change {
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
    Stored(Stored),
    Touched(bool),
}

impl Change {
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

    /// Makes the change, or gives `None` where somebody else holds the lock just now.
    pub(crate) fn apply(&self, inner: &Inner, key: &Key, place: &Place) -> Result<Option<Answer>, Fault> {
        let Some(locked) = inner.lock(place.folder.shard())? else { return Ok(None) };
        let mut site = Site { inner, key, place, locked, now: inner.now() };
        let answer = match self {
            Self::Store { frame, revision, expires, when } => {
                site.store(frame, *revision, *expires, *when).map(Answer::Stored)
            }
            Self::Remove { when } => site.remove(*when).map(Answer::Stored),
            Self::Touch { from, to, deadline } => site.touch(*from, *to, *deadline).map(Answer::Touched),
        };
        answer.map(Some)
    }
}

/// Where a change is made: one key, whose shard is locked.
struct Site<'a> {
    inner: &'a Inner,
    key: &'a Key,
    place: &'a Place,
    locked: Locked<'a>,
    now: Timestamp,
}

impl Site<'_> {
    fn store(
        &mut self,
        frame: &[u8],
        revision: Revision,
        expires: Option<Timestamp>,
        when: Condition,
    ) -> Result<Stored, Fault> {
        let late = !is_live(expires, self.now);
        let folder = if late || matches!(when, Condition::Revision(_)) {
            self.folder()?
        } else {
            Some(self.make_folder()?)
        };
        let Some(folder) = folder else {
            // Nothing is there.
            return Ok(if late && !matches!(when, Condition::Revision(_)) {
                Stored::Yes
            } else {
                Stored::Conflict(None)
            });
        };
        let found = self.find(folder.as_fd())?;
        let there = !matches!(found, Found::Nothing);
        let live = self.live(found, when)?;
        match when.decide(live.as_ref().map(|live| live.revision), Some(revision)) {
            Decision::Conflict => Ok(Stored::Conflict(live)),
            Decision::AlreadyApplied => {
                // Whoever made this change may have died before it was on the disk.
                self.sync(folder.as_fd(), true)?;
                Ok(Stored::Yes)
            }
            Decision::Apply if late => {
                if there {
                    self.unlink(folder.as_fd())?;
                }
                Ok(Stored::Yes)
            }
            Decision::Apply => self.publish(folder.as_fd(), frame, there).map(|()| Stored::Yes),
        }
    }

    fn remove(&mut self, when: Condition) -> Result<Stored, Fault> {
        let Some(folder) = self.folder()? else {
            return Ok(if when == Condition::Absent { Stored::Yes } else { Stored::Conflict(None) });
        };
        let found = self.find(folder.as_fd())?;
        // A damaged record can be removed like any other: this is how one gets rid of it.
        let damaged = matches!(found, Found::Damaged(_));
        let live = self.live(found, when)?;
        if when == Condition::Any && !damaged && live.is_none() {
            // A removal that was not answered may have got as far as this.
            self.sync(folder.as_fd(), false)?;
            return Ok(Stored::Conflict(None));
        }
        match when.decide(live.as_ref().map(|live| live.revision), None) {
            Decision::Apply if damaged || live.is_some() => {
                self.unlink(folder.as_fd())?;
                Ok(Stored::Yes)
            }
            Decision::Apply | Decision::AlreadyApplied => Ok(Stored::Yes),
            Decision::Conflict => Ok(Stored::Conflict(live)),
        }
    }

    /// Rewrites the two words of the frame where they stand, with one call.
    fn touch(&mut self, from: Revision, to: Revision, deadline: Option<Timestamp>) -> Result<bool, Fault> {
        let (root, shard) = (&self.inner.root, self.locked.directory());
        let file = match root.open_below(shard, self.place.below_shard(), OFlags::RDWR) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(false),
            Err(errno) => return Err(root.why_not(self.place, errno)),
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
            return match read::judge(&file, self.key, self.place)? {
                Found::Nothing | Found::Torn => Ok(false),
                Found::Damaged(what) | Found::Foreign(what) => Err(Fault::corrupt(what)),
                Found::TornWords => Err(Fault::corrupt(read::TORN_WORDS)),
                Found::Record(_) => Err(Fault::corrupt("the record changes although it is locked")),
            };
        };
        if !is_live(expires, self.now) {
            return Ok(false);
        }
        if revision == from && revision != to {
            let check = *header[16..].first_chunk().expect("a header is longer than that");
            let words = frame::encode_words(check, deadline, to);
            loop {
                match rustix::io::pwrite(&file, &words, WORDS_AT as u64) {
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(errno.into()),
                    Ok(len) if len == words.len() => break,
                    // Not for 32 bytes within a page; if so, the words are torn and whoever reads them sees it.
                    Ok(_) => return Err(Fault::from(Errno::IO).unknown()),
                }
            }
        } else if revision != to {
            return Ok(false);
        }
        if self.inner.durable() {
            rustix::fs::fdatasync(&file).map_err(|errno| Fault::from(errno).unknown())?;
        }
        Ok(true)
    }

    /// What is live. Something that is not ours stops every change, a damaged record every change with a condition.
    fn live(&self, found: Found, when: Condition) -> Result<Option<Record>, Fault> {
        match found {
            Found::Nothing | Found::Torn => Ok(None),
            Found::Record(record) => Ok(record.is_live(self.now).then_some(record)),
            Found::Damaged(_) if when == Condition::Any => Ok(None),
            Found::Damaged(what) | Found::Foreign(what) => Err(Fault::corrupt(what)),
            Found::TornWords => Err(Fault::corrupt(read::TORN_WORDS)),
        }
    }

    fn find(&self, folder: BorrowedFd<'_>) -> Result<Found, Fault> {
        match self.inner.root.open_below(folder, self.place.name(), OFlags::RDONLY) {
            // Nobody touches it now, so torn words are damaged ones.
            Ok(file) => Ok(match read::judge(&file, self.key, self.place)? {
                Found::TornWords => Found::Damaged(read::TORN_WORDS),
                found => found,
            }),
            Err(Errno::NOENT) => Ok(Found::Nothing),
            Err(errno) => Err(self.inner.root.why_not(self.place, errno)),
        }
    }

    fn folder(&self) -> Result<Option<OwnedFd>, Fault> {
        match self.inner.root.open_below(self.locked.directory(), self.place.sub(), DIRECTORY) {
            Ok(folder) => Ok(Some(folder)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    fn make_folder(&mut self) -> Result<OwnedFd, Fault> {
        let sub = self.place.folder.sub();
        let known = !self.inner.durable() || self.locked.is_durable(sub);
        if let (Some(folder), true) = (self.folder()?, known) {
            return Ok(folder);
        }
        make_below(self.locked.directory(), self.place.sub())?;
        if self.inner.durable() {
            rustix::fs::fsync(self.locked.directory())?;
            self.locked.set_durable(sub);
        }
        self.folder()?.ok_or_else(|| Errno::NOENT.into())
    }

    fn publish(&self, folder: BorrowedFd<'_>, frame: &[u8], there: bool) -> Result<(), Fault> {
        let temporary = self.inner.temporary_name();
        publish::write(folder, &temporary, frame, self.inner.durable())?;
        let name = self.place.name();
        let published = if there {
            publish::replace(folder, &temporary, name, self.inner.exchanges)
        } else {
            publish::create(folder, &temporary, name)
        };
        if let Err(errno) = published {
            publish::discard(folder, &temporary);
            return Err(match errno {
                // Not by this driver, which would hold the lock.
                Errno::EXIST => Fault::corrupt("something has just appeared where the record would be"),
                errno => errno.into(),
            });
        }
        self.sync(folder, false)
    }

    fn unlink(&self, folder: BorrowedFd<'_>) -> Result<(), Fault> {
        rustix::fs::unlinkat(folder, self.place.name(), AtFlags::empty())?;
        self.sync(folder, false)
    }

    /// Under `Power`, brings the names in the subdirectory to the disk, and the file too where that was not done.
    fn sync(&self, folder: BorrowedFd<'_>, file: bool) -> Result<(), Fault> {
        if !self.inner.durable() {
            return Ok(());
        }
        let sync = || -> Result<(), Errno> {
            if file {
                let root = &self.inner.root;
                rustix::fs::fsync(root.open_below(folder, self.place.name(), OFlags::RDONLY)?)?;
            }
            rustix::fs::fsync(folder)
        };
        sync().map_err(|errno| Fault::from(errno).unknown())
    }
}
