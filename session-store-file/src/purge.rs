//! Removing what has expired, and what dead processes have left.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{AtFlags, Stat};
use rustix::io::Errno;
use session_core::{Purged, Timestamp, is_live};

use crate::error::Fault;
use crate::place::{FOLDERS, Folder, Hash, Place};
use crate::pool;
use crate::scan::{self, Seen};
use crate::store::Inner;

/// How many files one call looks at; then it says that there may be more.
const LOOKS: usize = 32_768;
/// How old leftovers are when they go. Nobody uses them any more, for a writer holds the lock until its file is
/// published; the hour is for those who look into what happened.
const LEFTOVER_AGE: Duration = Duration::from_secs(3_600);
const PAUSE: Duration = Duration::from_micros(200);

/// Where the next purge of this handle begins.
#[derive(Debug, Default)]
pub(crate) struct Lap(Mutex<u16>);

impl Lap {
    /// The next subdirectory, or `None` once at the end, after which it begins anew.
    fn next(&self) -> Option<Folder> {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if usize::from(*next) >= FOLDERS {
            *next = 0;
            return None;
        }
        *next += 1;
        Some(Folder(*next - 1))
    }

    /// This one was not looked through to its end.
    fn put_back(&self, folder: Folder) {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *next = folder.0.min(*next);
    }
}

/// Why a purge stops in the middle of a subdirectory.
enum Stop {
    Enough,
    /// Another process holds the lock for too long.
    Busy,
}

/// Removes at most `limit` expired records, going on where the last call of this handle has stopped.
pub(crate) fn purge(inner: &Inner, limit: usize) -> Result<Purged, Fault> {
    let mut work = Work { inner, limit, removed: 0, looks: 0 };
    inner.root.check_there()?;
    loop {
        inner.check_open()?;
        let removed = |work: &Work<'_>, more| Purged { removed: work.removed as u64, more };
        if work.looks >= LOOKS {
            return Ok(removed(&work, true));
        }
        let Some(folder) = inner.lap.next() else {
            inner.root.check_there()?;
            return Ok(removed(&work, false));
        };
        match work.folder(folder) {
            Ok(None) => {}
            Ok(Some(Stop::Enough)) => {
                inner.lap.put_back(folder);
                return Ok(removed(&work, true));
            }
            Ok(Some(Stop::Busy)) if work.removed > 0 => {
                inner.lap.put_back(folder);
                return Ok(removed(&work, true));
            }
            Ok(Some(Stop::Busy)) => {
                inner.lap.put_back(folder);
                let detail = "another process holds the lock of a shard";
                return Err(Fault::new(session_core::ErrorKind::Unavailable, detail));
            }
            Err(fault) => {
                inner.lap.put_back(folder);
                return Err(fault);
            }
        }
    }
}

struct Work<'a> {
    inner: &'a Inner,
    limit: usize,
    removed: usize,
    looks: usize,
}

impl Work<'_> {
    fn folder(&mut self, folder: Folder) -> Result<Option<Stop>, Fault> {
        scan::report_strays(self.inner, folder)?;
        let Some(directory) = scan::open(self.inner, folder)? else { return Ok(None) };
        let mut after = None;
        loop {
            let part = scan::part(&directory, folder, after.as_ref())?;
            for name in &part.temporary {
                self.leftover(&directory, folder, name)?;
            }
            for hash in &part.names {
                self.looks += 1;
                let expired = match scan::look(self.inner, directory.as_fd(), hash)? {
                    Seen::Record(head) => !is_live(head.expires, self.inner.now()),
                    Seen::Torn(stat) => self.is_old(&stat),
                    Seen::Nothing => false,
                };
                if !expired {
                    continue;
                }
                if self.removed >= self.limit {
                    return Ok(Some(Stop::Enough));
                }
                match self.remove(&directory, folder, hash)? {
                    Some(true) => self.removed += 1,
                    Some(false) => {}
                    None => return Ok(Some(Stop::Busy)),
                }
            }
            if !part.more {
                return Ok(None);
            }
            after = part.names.last().copied();
        }
    }

    /// Removes a file if, under the lock, it is still to go; whether an expired record was removed, or `None` where
    /// the lock was not to be had.
    fn remove(&self, directory: &OwnedFd, folder: Folder, hash: &Hash) -> Result<Option<bool>, Fault> {
        let Some(_locked) = self.lock(folder)? else { return Ok(None) };
        let expired = match scan::look(self.inner, directory.as_fd(), hash)? {
            Seen::Record(head) if !is_live(head.expires, self.inner.now()) => true,
            Seen::Torn(stat) if self.is_old(&stat) => false,
            _ => return Ok(Some(false)),
        };
        match rustix::fs::unlinkat(directory, Place::at(hash).name(), AtFlags::empty()) {
            Ok(()) => Ok(Some(expired)),
            Err(Errno::NOENT) => Ok(Some(false)),
            Err(errno) => Err(errno.into()),
        }
    }

    fn leftover(&self, directory: &OwnedFd, folder: Folder, name: &[u8]) -> Result<(), Fault> {
        let stat = || match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Fault::from(errno)),
        };
        if !stat()?.is_some_and(|stat| self.is_old(&stat)) {
            return Ok(());
        }
        let Some(_locked) = self.lock(folder)? else { return Ok(()) };
        if stat()?.is_some_and(|stat| self.is_old(&stat)) {
            match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT | Errno::ISDIR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn is_old(&self, stat: &Stat) -> bool {
        let written = u64::try_from(stat.st_mtime).unwrap_or(0).saturating_mul(1_000);
        self.inner.now().saturating_since(Timestamp::from_millis(written)) >= LEFTOVER_AGE
    }

    /// The lock of the shard, for which this thread may wait.
    fn lock(&self, folder: Folder) -> Result<Option<crate::shard::Locked<'_>>, Fault> {
        let began = pool::now();
        loop {
            if let Some(locked) = self.inner.lock(folder.shard())? {
                return Ok(Some(locked));
            }
            if pool::now().saturating_duration_since(began) >= self.inner.config.busy_deadline {
                return Ok(None);
            }
            pause();
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a thread of the driver waits for another process, not for a moment"
)]
fn pause() {
    std::thread::sleep(PAUSE);
}
