//! Opening a store, and what all operations on an open store share.

use std::io::ErrorKind;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{Access, AtFlags, CWD, FlockOperation, Mode};
use rustix::io::Errno;
use session_core::{
    Durability, Gate, KnownFile, Operation, Result, Revision, StoreError, StoreErrorKind, Timestamp,
    create_directory,
};

use crate::config::FileConfig;
use crate::error::Fault;
use crate::path::TEMPORARY;
use crate::root::Root;
use crate::shard::{Locked, Shards};
use crate::sys::DIRECTORY;

/// How long a worker thread waits before it tries to lock a shard again.
const PAUSE: Duration = Duration::from_micros(200);

/// The detail of the error where a lock is taken for longer than `busy_timeout`.
pub(crate) const BUSY: &str = "another process or handle holds the lock of a shard";

/// An open store.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) config: FileConfig,
    pub(crate) root: Root,
    pub(crate) gate: Gate,
    /// Whether to try renames with flags. Tests turn it off.
    pub(crate) rename_flags: bool,
    /// How many files one purge examines. Tests lower it.
    pub(crate) purge_files: usize,
    shards: Shards,
    /// Makes temporary names unique across hosts: should a network file system fail to lock, an update may be lost, but
    /// no two records are mixed.
    unique: u64,
    temporary_files: AtomicU64,
}

impl Opened {
    pub(crate) fn open(config: FileConfig) -> Result<Self> {
        config.check()?;
        let (path, root) = open_directory(&config)?;
        let is_link = std::path::absolute(&config.path).is_ok_and(|given| given != path);
        let link = is_link.then(|| KnownFile::at(&config.path)).transpose()?;
        let root =
            Root::open(root, path, link, config.create).map_err(|fault| fault.during(Operation::Open))?;
        let unique = Revision::random().map_err(|error| error.during(Operation::Open))?;
        Ok(Self {
            config,
            root,
            gate: Gate::new(),
            rename_flags: true,
            purge_files: 32_768,
            shards: Shards::default(),
            unique: u64::from_be_bytes(unique.to_bytes()),
            temporary_files: AtomicU64::new(0),
        })
    }

    /// Locks a shard. `None` if the lock is taken.
    pub(crate) fn lock(&self, shard: usize) -> Result<Option<Locked<'_>>, Fault> {
        self.check_open()?;
        let locked = self.shards.try_lock(&self.root, shard, self.is_durable())?;
        // Again under the lock: `close` waits for the holders of locks, and nothing may start after it.
        self.check_open()?;
        Ok(locked)
    }

    /// Locks a shard, on a worker thread that may wait up to `busy_timeout`.
    pub(crate) fn wait_lock(&self, shard: usize) -> Result<Locked<'_>, Fault> {
        let began = now();
        loop {
            if let Some(locked) = self.lock(shard)? {
                return Ok(locked);
            }
            if now().saturating_duration_since(began) >= self.config.busy_timeout {
                return Err(Fault::new(StoreErrorKind::Unavailable, BUSY));
            }
            pause();
        }
    }

    pub(crate) fn check_open(&self) -> Result<(), Fault> {
        if self.gate.is_closed() { Err(Fault::closed()) } else { self.root.check_link() }
    }

    pub(crate) fn is_durable(&self) -> bool {
        self.config.durability == Durability::Power
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.config.clock.now()
    }

    pub(crate) fn temporary_name(&self) -> Vec<u8> {
        let count = self.temporary_files.fetch_add(1, Ordering::Relaxed);
        format!("{TEMPORARY}{:016x}-{count:x}", self.unique).into_bytes()
    }

    pub(crate) fn flush(&self) -> Result<(), Fault> {
        self.root.check_present()?.sync()
    }

    pub(crate) fn close(&self) -> Result<(), Fault> {
        self.shards.release();
        self.flush()
    }
}

#[expect(clippy::disallowed_methods, reason = "waiting for a lock does not depend on the clock of sessions")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "a worker thread waits for another process")]
fn pause() {
    std::thread::sleep(PAUSE);
}

/// Opens the directory, and creates it if the options ask for that. Returns its canonical path.
fn open_directory(config: &FileConfig) -> Result<(PathBuf, OwnedFd)> {
    let created = config.create_directory && create_directory(&config.path)?;
    let path = std::fs::canonicalize(&config.path).map_err(|cause| {
        let error = match cause.kind() {
            ErrorKind::NotFound if !config.create => {
                Fault::new(StoreErrorKind::Missing, "directory does not exist, and create is off")
                    .at(config.path.display())
                    .during(Operation::Open)
            }
            _ => refuse(&config.path, "directory cannot be reached"),
        };
        error.with_source(cause)
    })?;
    let failed = |errno| Fault::from(errno).at(path.display()).during(Operation::Open);
    let root = rustix::fs::open(&path, DIRECTORY, Mode::empty()).map_err(failed)?;
    let stat = rustix::fs::fstat(&root).map_err(failed)?;
    if Mode::from_raw_mode(stat.st_mode).contains(Mode::WOTH) {
        return Err(refuse(&path, "directory is writable for other users"));
    }
    let access = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    rustix::fs::accessat(CWD, &path, access, AtFlags::EACCESS).map_err(failed)?;
    // Exclusive, as for shards: NFS turns that into a range lock, which a directory cannot have.
    match rustix::fs::flock(&root, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => rustix::fs::flock(&root, FlockOperation::Unlock).map_err(failed)?,
        // Another process is in the same check.
        Err(Errno::WOULDBLOCK) => {}
        Err(errno) => {
            let error = refuse(&path, "file system cannot lock directories");
            return Err(error.with_source(std::io::Error::from(errno)));
        }
    }
    // Always under `Power`: a process that created the directory may have died before it was on disk.
    if created || config.durability == Durability::Power {
        sync_parent(&path, &root).map_err(failed)?;
    }
    Ok((path, root))
}

/// Writes the name of the directory to disk.
fn sync_parent(path: &Path, root: &OwnedFd) -> Result<(), Errno> {
    let Some(parent) = path.parent() else { return Ok(()) };
    match rustix::fs::open(parent, DIRECTORY, Mode::empty()) {
        Ok(parent) => rustix::fs::fsync(parent),
        // The parent may be searched but not read.
        Err(Errno::ACCESS) => rustix::fs::syncfs(root.as_fd()),
        Err(errno) => Err(errno),
    }
}

fn refuse(path: &Path, what: &'static str) -> StoreError {
    Fault::new(StoreErrorKind::Misconfigured, what).at(path.display()).during(Operation::Open)
}
