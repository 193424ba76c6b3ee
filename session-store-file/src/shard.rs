//! The lock of a shard: one holder at a time, across threads and processes, and free again when the holder dies.
//!
//! `flock` on the shard's directory excludes other processes, and other handles of this one. It does not exclude
//! threads that share a descriptor, so a mutex stands before it. Neither is ever waited for here: whoever finds it
//! taken comes back, on a thread that may wait.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use session_core::StoreErrorKind;

use crate::error::Fault;
use crate::place::FAN_OUT;
use crate::root::{Identity, Root};

/// How often a directory may have been replaced under our hands before somebody else is to sort that out.
const TRIES: usize = 8;

/// The locks of all shards.
#[derive(Debug)]
pub(crate) struct Shards(Vec<Mutex<Option<Held>>>);

#[derive(Debug)]
struct Held {
    directory: OwnedFd,
    identity: Identity,
    /// Which of the subdirectories are known to be on the disk, one bit each: only `Power` asks.
    durable: u64,
}

/// A shard that nobody else changes until this is dropped.
#[derive(Debug)]
pub(crate) struct Locked<'a>(MutexGuard<'a, Option<Held>>);

impl Shards {
    pub(crate) fn new() -> Self {
        Self((0..FAN_OUT).map(|_| Mutex::new(None)).collect())
    }

    /// Locks a shard, or gives `None` where somebody else holds it just now.
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
            // The directory may have been removed and made again before we got the lock: then others lock that one.
            match root.shard_there(shard) {
                Ok(Some(identity)) if identity == held.identity => return Ok(Some(Locked(slot))),
                // Closing it gives up the lock.
                Ok(_) => *slot = None,
                Err(fault) => {
                    *slot = None;
                    return Err(fault);
                }
            }
        }
        Err(Fault::new(StoreErrorKind::Unavailable, "the directories of the store are being replaced"))
    }

    /// Waits for whoever holds a lock of this handle and lets go of the directories.
    pub(crate) fn release(&self) {
        for slot in &self.0 {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

impl Locked<'_> {
    /// The directory of the shard.
    pub(crate) fn directory(&self) -> BorrowedFd<'_> {
        self.0.as_ref().expect("a locked shard has its directory open").directory.as_fd()
    }

    /// Whether the subdirectory is known to be on the disk.
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
