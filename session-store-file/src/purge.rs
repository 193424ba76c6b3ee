//! Removing expired records, and the leftovers of killed processes.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{AtFlags, Dir, FileType, Stat};
use rustix::io::Errno;
use session_core::{Purged, StoreErrorKind, Timestamp, is_live};

use crate::error::Fault;
use crate::open::Opened;
use crate::path::{self, FAN_OUT, FOLDERS, Folder, KeyHash, RecordPath};
use crate::root::Anchor;
use crate::scan::{self, Seen};

/// How old leftovers are when they are removed. They are unused at once, because a writer holds the lock until its file
/// is published; the hour leaves time to investigate a crash.
const LEFTOVER_AGE: Duration = Duration::from_secs(3_600);

/// The folder at which the next purge of a store begins.
#[derive(Debug, Default)]
pub(crate) struct Lap(Mutex<u16>);

impl Lap {
    /// The next folder. `None` once after the last folder, then the first one again.
    fn next(&self) -> Option<Folder> {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if usize::from(*next) >= FOLDERS {
            *next = 0;
            return None;
        }
        *next += 1;
        Some(Folder(*next - 1))
    }

    /// Lets the next purge begin with the first folder.
    fn restart(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = 0;
    }

    /// Lets the next purge begin with a folder that was not scanned to its end.
    fn put_back(&self, folder: Folder) {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *next = folder.0.min(*next);
    }

    /// Skips the rest of a shard that failed, so that other shards are purged.
    fn skip_shard(&self, folder: Folder) {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let end = (folder.shard() + 1) * FAN_OUT;
        if usize::from(*next) > folder.shard() * FAN_OUT && usize::from(*next) < end {
            *next = end as u16;
        }
    }
}

/// Removes at most `limit` expired records, and continues where the last call stopped.
///
/// Files that cannot be read or removed are skipped with an event. A call that removes nothing returns the first of
/// these failures.
pub(crate) fn purge(store: &Opened, lap: &Lap, limit: usize) -> Result<Purged, Fault> {
    let anchor = store.root.check_present()?;
    let mut work = Work { store, lap, anchor: &anchor, limit, removed: 0, looks: 0, fault: None };
    let more = work.run()?;
    // If the store vanished meanwhile, the count is meaningless.
    store.root.check_present()?;
    match work.fault {
        Some(fault) if work.removed == 0 => Err(fault),
        fault => Ok(Purged { removed: work.removed as u64, more: more || fault.is_some() }),
    }
}

struct Work<'a> {
    store: &'a Opened,
    lap: &'a Lap,
    anchor: &'a Anchor,
    limit: usize,
    removed: usize,
    looks: usize,
    /// The first failure.
    fault: Option<Fault>,
}

/// How a file or a folder was left.
enum Step {
    Done,
    /// The limit is reached, and there is another expired record.
    Enough,
}

impl Work<'_> {
    /// Scans the folders from the lap's position to the end, then those before it, because records may have expired
    /// there since earlier calls. Returns whether there may be more.
    fn run(&mut self) -> Result<bool, Fault> {
        let mut first = None;
        let mut again = false;
        loop {
            self.store.check_open()?;
            if self.looks >= self.store.purge_files {
                if again {
                    self.lap.restart();
                }
                return Ok(!again);
            }
            let Some(folder) = self.lap.next() else {
                if again || first.is_none_or(|first| first == Folder(0)) {
                    return Ok(false);
                }
                again = true;
                continue;
            };
            let first = *first.get_or_insert(folder);
            if again && folder >= first {
                self.lap.restart();
                return Ok(false);
            }
            match self.folder(folder) {
                Ok(Step::Done) => {}
                Ok(Step::Enough) => {
                    self.lap.put_back(folder);
                    return Ok(true);
                }
                Err(fault) if fault.kind() == StoreErrorKind::Closed => return Err(fault),
                Err(fault) => {
                    self.lap.skip_shard(folder);
                    self.failed(fault, folder);
                    // The call has waited for a lock long enough.
                    return Ok(true);
                }
            }
        }
    }

    fn failed(&mut self, fault: Fault, folder: Folder) {
        tracing::warn!(directory = folder.path(), ?fault, "purge skips a file or a shard");
        self.fault.get_or_insert(fault);
    }

    fn folder(&mut self, folder: Folder) -> Result<Step, Fault> {
        scan::report_strays(self.store, self.anchor, folder)?;
        if folder == Folder(0) {
            self.layouts()?;
        }
        let Some(directory) = scan::open(self.store, self.anchor, folder)? else { return Ok(Step::Done) };
        let mut after = None;
        loop {
            let part = scan::part(&directory, folder, after.as_ref())?;
            for name in &part.temporary {
                if self.is_leftover(&directory, name)? {
                    let _locked = self.store.wait_lock(folder.shard())?;
                    // Again under the lock: it may have been published meanwhile.
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

    fn file(&mut self, directory: &OwnedFd, folder: Folder, hash: &KeyHash) -> Result<Step, Fault> {
        self.looks += 1;
        match scan::look(directory.as_fd(), hash) {
            Err(fault) => {
                self.failed(fault, folder);
                return Ok(Step::Done);
            }
            Ok(seen) if !self.is_removable(&seen) => return Ok(Step::Done),
            Ok(_) if self.removed >= self.limit => return Ok(Step::Enough),
            Ok(_) => {}
        }
        let _locked = self.store.wait_lock(folder.shard())?;
        match scan::look(directory.as_fd(), hash) {
            Ok(seen) if self.is_removable(&seen) => {
                let unlinked = self.unlink(directory, folder, RecordPath::at(hash).name());
                // Torn files do not count as expired records.
                self.removed += usize::from(unlinked && matches!(seen, Seen::Record(_)));
            }
            Ok(_) => {}
            Err(fault) => self.failed(fault, folder),
        }
        Ok(Step::Done)
    }

    fn is_removable(&self, seen: &Seen) -> bool {
        match seen {
            Seen::Record(head) => !is_live(head.expires, self.store.now()),
            Seen::Torn(stat) => self.is_old(stat),
            Seen::Nothing => false,
        }
    }

    /// Removes the leftovers of killed processes that were making a layout file. Needs no lock, because a layout exists.
    fn layouts(&mut self) -> Result<(), Fault> {
        for entry in Dir::read_from(&self.anchor.root)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if path::is_temporary(name) && self.is_leftover(&self.anchor.root, name)? {
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
        self.store.now().saturating_since(Timestamp::from_millis(written)) >= LEFTOVER_AGE
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
