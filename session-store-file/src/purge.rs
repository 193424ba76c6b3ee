//! Removing what has expired, and what dead processes have left.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{AtFlags, Dir, FileType, Stat};
use rustix::io::Errno;
use session_core::{Purged, StoreErrorKind, Timestamp, is_live};

use crate::error::Fault;
use crate::place::{self, FAN_OUT, FOLDERS, Folder, Hash, Place};
use crate::root::Anchor;
use crate::scan::{self, Seen};
use crate::store::Inner;

/// How many files one call looks at; then it says that there may be more.
const LOOKS: usize = 32_768;
/// How old leftovers are when they go. Nobody uses them any more, for a writer holds the lock until its file is
/// published; the hour is for those who look into what happened.
const LEFTOVER_AGE: Duration = Duration::from_secs(3_600);

/// Where the next purge of this handle begins.
#[derive(Debug)]
pub(crate) struct Lap {
    next: Mutex<u16>,
    /// How many files one call looks at; tests make it less.
    pub(crate) looks: usize,
}

impl Default for Lap {
    fn default() -> Self {
        Self { next: Mutex::new(0), looks: LOOKS }
    }
}

impl Lap {
    /// The next subdirectory, or `None` once at the end, after which it begins anew.
    fn next(&self) -> Option<Folder> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if usize::from(*next) >= FOLDERS {
            *next = 0;
            return None;
        }
        *next += 1;
        Some(Folder(*next - 1))
    }

    /// The next purge begins with the first, for this one says that there is no more.
    fn restart(&self) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = 0;
    }

    /// This one was not looked through to its end.
    fn put_back(&self, folder: Folder) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        *next = folder.0.min(*next);
    }

    /// Nothing can be done in the shard of this one, which is not to keep the others waiting for ever.
    fn skip_shard(&self, folder: Folder) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let end = (folder.shard() + 1) * FAN_OUT;
        if usize::from(*next) > folder.shard() * FAN_OUT && usize::from(*next) < end {
            *next = end as u16;
        }
    }
}

/// Removes at most `limit` expired records, going on where the last call of this handle has stopped.
///
/// What cannot be looked at or removed is passed by, and reported with an event and, by a call that removes nothing, as
/// an error.
pub(crate) fn purge(inner: &Inner, limit: usize) -> Result<Purged, Fault> {
    let anchor = inner.root.check_there()?;
    let mut work = Work { inner, anchor: &anchor, limit, removed: 0, looks: 0, fault: None };
    let more = work.lap()?;
    // A store that has vanished on the way has been purged of nothing that comes back.
    inner.root.check_there()?;
    match work.fault {
        Some(fault) if work.removed == 0 => Err(fault),
        fault => Ok(Purged { removed: work.removed as u64, more: more || fault.is_some() }),
    }
}

struct Work<'a> {
    inner: &'a Inner,
    anchor: &'a Anchor,
    limit: usize,
    removed: usize,
    looks: usize,
    /// The first that could not be done.
    fault: Option<Fault>,
}

/// How far a file or a subdirectory was dealt with.
enum Step {
    Done,
    /// The limit is reached, and this one is expired.
    Enough,
}

impl Work<'_> {
    /// Goes through the subdirectories, and once more through those before the first if that was not the very first:
    /// they had their turn in earlier calls, and something may have expired since. Whether there may be more.
    fn lap(&mut self) -> Result<bool, Fault> {
        let mut first = None;
        let mut again = false;
        loop {
            self.inner.check_open()?;
            if self.looks >= self.inner.lap.looks {
                if again {
                    self.inner.lap.restart();
                }
                return Ok(!again);
            }
            let Some(folder) = self.inner.lap.next() else {
                if again || first.is_none_or(|first| first == Folder(0)) {
                    return Ok(false);
                }
                again = true;
                continue;
            };
            let first = *first.get_or_insert(folder);
            if again && folder >= first {
                self.inner.lap.restart();
                return Ok(false);
            }
            match self.folder(folder) {
                Ok(Step::Done) => {}
                Ok(Step::Enough) => {
                    self.inner.lap.put_back(folder);
                    return Ok(true);
                }
                Err(fault) if fault.kind() == StoreErrorKind::Closed => return Err(fault),
                Err(fault) => {
                    self.inner.lap.skip_shard(folder);
                    self.failed(fault, folder);
                    // Waiting for a lock has taken long enough for one call.
                    return Ok(true);
                }
            }
        }
    }

    fn failed(&mut self, fault: Fault, folder: Folder) {
        tracing::warn!(
            directory = folder.path(),
            ?fault,
            "a purge passes by what it cannot look at or remove"
        );
        self.fault.get_or_insert(fault);
    }

    fn folder(&mut self, folder: Folder) -> Result<Step, Fault> {
        scan::report_strays(self.inner, self.anchor, folder)?;
        if folder == Folder(0) {
            self.layouts()?;
        }
        let Some(directory) = scan::open(self.inner, self.anchor, folder)? else { return Ok(Step::Done) };
        let mut after = None;
        loop {
            let part = scan::part(&directory, folder, after.as_ref())?;
            for name in &part.temporary {
                if self.is_leftover(&directory, name)? {
                    let _locked = self.inner.wait_lock(folder.shard())?;
                    // Once more: it may have been published, and another be written under its name.
                    if self.is_leftover(&directory, name)? {
                        self.unlink(&directory, folder, name);
                    }
                }
            }
            for hash in &part.names {
                if let Step::Enough = self.file(&directory, folder, hash)? {
                    return Ok(Step::Enough);
                }
            }
            if !part.more {
                return Ok(Step::Done);
            }
            after = part.names.last().copied();
        }
    }

    fn file(&mut self, directory: &OwnedFd, folder: Folder, hash: &Hash) -> Result<Step, Fault> {
        self.looks += 1;
        match scan::look(directory.as_fd(), hash) {
            Err(fault) => {
                self.failed(fault, folder);
                return Ok(Step::Done);
            }
            Ok(seen) if !self.goes(&seen) => return Ok(Step::Done),
            Ok(_) if self.removed >= self.limit => return Ok(Step::Enough),
            Ok(_) => {}
        }
        let _locked = self.inner.wait_lock(folder.shard())?;
        match scan::look(directory.as_fd(), hash) {
            Ok(seen) if self.goes(&seen) => {
                let unlinked = self.unlink(directory, folder, Place::at(hash).name());
                // Torn files are no records that have expired.
                self.removed += usize::from(unlinked && matches!(seen, Seen::Record(_)));
            }
            Ok(_) => {}
            Err(fault) => self.failed(fault, folder),
        }
        Ok(Step::Done)
    }

    /// Whether what was seen is to be removed now.
    fn goes(&self, seen: &Seen) -> bool {
        match seen {
            Seen::Record(head) => !is_live(head.expires, self.inner.now()),
            Seen::Torn(stat) => self.is_old(stat),
            Seen::Nothing => false,
        }
    }

    /// Removes what was left by whoever died while making the layout. It needs no lock: a layout is there.
    fn layouts(&mut self) -> Result<(), Fault> {
        for entry in Dir::read_from(&self.anchor.root)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if place::is_temporary(name) && self.is_leftover(&self.anchor.root, name)? {
                self.unlink(&self.anchor.root, Folder(0), name);
            }
        }
        Ok(())
    }

    fn is_leftover(&self, directory: &OwnedFd, name: &[u8]) -> Result<bool, Fault> {
        match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => {
                let file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
                Ok(file && self.is_old(&stat))
            }
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    fn is_old(&self, stat: &Stat) -> bool {
        let written = u64::try_from(stat.st_mtime).unwrap_or(0).saturating_mul(1_000);
        self.inner.now().saturating_since(Timestamp::from_millis(written)) >= LEFTOVER_AGE
    }

    fn unlink(&mut self, directory: &OwnedFd, folder: Folder, name: &[u8]) -> bool {
        match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
            Ok(()) => true,
            Err(Errno::NOENT) => false,
            Err(errno) => {
                self.failed(errno.into(), folder);
                false
            }
        }
    }
}
