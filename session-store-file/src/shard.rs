//! The lock of a shard, across threads and processes. It is released when its holder dies.
//!
//! `flock` on the directory of the shard excludes other processes and other handles of this process. It does not
//! exclude threads that share a descriptor, so a mutex is taken first. This module never waits for either: a caller
//! that finds a lock taken retries.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use session_core::StoreErrorKind;

use crate::error::Fault;
use crate::path::FAN_OUT;
use crate::root::{Identity, Root};

/// How often a directory may be replaced during one attempt to lock it.
const TRIES: usize = 8;

/// The locks of all shards.
#[derive(Debug)]
pub(crate) struct Shards(Vec<Mutex<Option<Held>>>);

#[derive(Debug)]
struct Held {
    directory: OwnedFd,
    identity: Identity,
    /// The folders that are known to be on disk, one bit each. Used under `Power` only.
    durable: u64,
}

/// A locked shard.
#[derive(Debug)]
pub(crate) struct Locked<'a>(MutexGuard<'a, Option<Held>>);

impl Default for Shards {
    fn default() -> Self {
        Self((0..FAN_OUT).map(|_| Mutex::new(None)).collect())
    }
}

impl Shards {
    /// Locks a shard. `None` if the lock is taken.
    pub(crate) fn try_lock(
        &self,
        root: &Root,
        shard: usize,
        durable: bool,
    ) -> Result<Option<Locked<'_>>, Fault> {
        let mut slot = match self.0[shard].try_lock() {
            Ok(slot) => slot,
            Err(TryLockError::Poisoned(slot)) => slot.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(None),
        };
        for _ in 0..TRIES {
            if slot.is_none() {
                let (directory, identity) = root.open_shard(shard, durable)?;
                *slot = Some(Held { directory, identity, durable: 0 });
            }
            let Some(held) = &*slot else { continue };
            match rustix::fs::flock(&held.directory, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK | Errno::INTR) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            }
            // The directory may have been replaced before it was locked; other processes then lock the new one.
            match root.shard_identity(shard) {
                Ok(Some(identity)) if identity == held.identity => return Ok(Some(Locked(slot))),
                // Closing the descriptor releases the lock.
                Ok(_) => *slot = None,
                Err(fault) => {
                    *slot = None;
                    return Err(fault);
                }
            }
        }
        Err(Fault::new(StoreErrorKind::Unavailable, "directories of the store are being replaced"))
    }

    /// Waits for every lock that this handle holds, and closes the directories.
    pub(crate) fn release(&self) {
        for slot in &self.0 {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

impl Locked<'_> {
    pub(crate) fn directory(&self) -> BorrowedFd<'_> {
        self.0.as_ref().expect("a locked shard has its directory open").directory.as_fd()
    }

    /// Whether the folder is known to be on disk.
    pub(crate) fn is_durable(&self, sub: usize) -> bool {
        self.0.as_ref().is_some_and(|held| held.durable & (1 << sub) != 0)
    }

    pub(crate) fn set_durable(&mut self, sub: usize, yes: bool) {
        if let Some(held) = self.0.as_mut() {
            held.durable = (held.durable & !(1 << sub)) | (u64::from(yes) << sub);
        }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if let Some(held) = &*self.0 {
            let _ = rustix::fs::flock(&held.directory, FlockOperation::Unlock);
        }
    }
}
