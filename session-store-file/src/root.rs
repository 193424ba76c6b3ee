//! The directory of a store: how paths below it are opened without following a link, and how one notices that it is
//! gone.
//!
//! The file `layout` is looked for, by its path, whenever a record is not found: a directory that was removed, or whose
//! disk is not mounted, must never read as a store without sessions.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use session_core::{Operation, Result, StoreErrorKind};

use crate::config::FileConfig;
use crate::error::Fault;
use crate::layout::{self, LAYOUT, StoreId};
use crate::place::FAN_OUT;

/// For every open: a FIFO or a device that somebody planted must not hold us up, and no link is followed.
pub(crate) const CAREFUL: OFlags =
    OFlags::CLOEXEC.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);
/// For opening a directory that is read, locked or synchronised.
pub(crate) const DIRECTORY: OFlags = CAREFUL.union(OFlags::DIRECTORY).union(OFlags::RDONLY);

/// File systems whose directories list a name that is there all the time, whatever files it is given meanwhile: ext2
/// to ext4, and XFS, which put another number into the same entry. Others move the entry (btrfs), or did so for long
/// (tmpfs until Linux 6.6).
const STEADY: [i128; 2] = [0xef53, 0x5846_5342];

/// The directory of a store.
#[derive(Debug)]
pub(crate) struct Root {
    /// Without symbolic links, so that none has to be followed from now on, and with a slash at its end.
    path: Vec<u8>,
    layout: CString,
    shards: Vec<CString>,
    anchor: RwLock<Arc<Anchor>>,
    /// Whether the kernel resolves a whole path without following links; else each part is opened by itself.
    resolves: bool,
    /// Whether a directory can be listed while it changes; else that is done under its lock.
    steady: bool,
}

/// What stood at the path when it was last looked at. Both descriptors are held, so that no other file can get their
/// numbers and pass for them.
#[derive(Debug)]
pub(crate) struct Anchor {
    pub(crate) root: OwnedFd,
    #[expect(dead_code, reason = "held for its number")]
    layout: OwnedFd,
    identity: Identity,
    pub(crate) id: StoreId,
}

/// Which file or directory something is, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity(u64, u64);

impl From<Stat> for Identity {
    fn from(stat: Stat) -> Self {
        Self(stat.st_dev, stat.st_ino)
    }
}

impl Root {
    /// Opens the directory, making it a store where the options ask for that.
    pub(crate) fn open(config: &FileConfig) -> Result<Self> {
        let (path, root) = layout::open_directory(config)?;
        let refused = |fault: Fault| fault.during(Operation::Open);
        let steady = rustix::fs::fstatfs(&root).map_err(|errno| refused(errno.into()))?.f_type;
        let steady = STEADY.contains(&i128::from(steady));
        let found = layout::read(root.as_fd(), &path).map_err(refused)?;
        let made = match found {
            Some(found) => found,
            None => layout::make(config, root.as_fd(), &path).map_err(refused)?,
        };
        let anchor = Anchor::new(root, made).map_err(refused)?;
        let resolve = ResolveFlags::NO_SYMLINKS;
        let resolves = rustix::fs::openat2(&anchor.root, ".", DIRECTORY, Mode::empty(), resolve).is_ok();
        let mut path = path.into_os_string().into_vec();
        path.push(b'/');
        let below = |name: &str| {
            let text = [&path, name.as_bytes()].concat();
            CString::new(text).map_err(|_| layout::refuse(&config.root, "the path has a NUL"))
        };
        let layout = below(LAYOUT)?;
        let shards: Result<_> = (0..FAN_OUT).map(|shard| below(&format!("{shard:02x}"))).collect();
        let anchor = RwLock::new(Arc::new(anchor));
        Ok(Self { shards: shards?, layout, anchor, resolves, steady, path })
    }

    /// The same directory, as on a kernel that does not resolve paths without links.
    #[cfg(test)]
    pub(crate) fn resolve_by_hand(&mut self) {
        self.resolves = false;
    }

    /// The same directory, as on a file system that moves the entries of a directory.
    #[cfg(test)]
    pub(crate) fn is_unsteady(&mut self) {
        self.steady = false;
    }

    /// Whether a directory can be listed while it changes.
    pub(crate) fn is_steady(&self) -> bool {
        self.steady
    }

    /// Opens what stands at `below`, by its whole path and without following a link anywhere.
    pub(crate) fn open_path(&self, below: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        if self.resolves {
            return resolve(CWD, &self.path_of(below), flags);
        }
        let path: &OsStr = OsStr::from_bytes(&self.path);
        let root = rustix::fs::open(path, DIRECTORY.union(OFlags::PATH), Mode::empty())?;
        self.open_below(root.as_fd(), below, flags)
    }

    /// The same, from a directory that is held open.
    pub(crate) fn open_below(
        &self,
        directory: BorrowedFd<'_>,
        below: &[u8],
        flags: OFlags,
    ) -> Result<OwnedFd, Errno> {
        if self.resolves {
            return resolve(directory, below, flags);
        }
        let mut parts = below.split(|&byte| byte == b'/').peekable();
        let mut held: Option<OwnedFd> = None;
        while let Some(part) = parts.next() {
            let at = held.as_ref().map_or(directory, AsFd::as_fd);
            let last = parts.peek().is_none();
            let flags = if last { CAREFUL | flags } else { DIRECTORY | OFlags::PATH };
            held = Some(rustix::fs::openat(at, part, flags, Mode::empty())?);
        }
        held.ok_or(Errno::NOENT)
    }

    /// Why a record could not be opened by its path, where that was not for want of one.
    pub(crate) fn why_not(&self, below: &[u8], errno: Errno) -> Fault {
        why_not(CWD, &self.path_of(below), errno)
    }

    /// Fails unless the store is where it was when it was opened; if it was made again meanwhile, the new one is
    /// taken.
    pub(crate) fn check_there(&self) -> Result<Arc<Anchor>, Fault> {
        let known = Arc::clone(&self.anchor.read().unwrap_or_else(PoisonError::into_inner));
        match rustix::fs::statat(CWD, &*self.layout, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if Identity::from(stat) == known.identity => Ok(known),
            Ok(_) => self.adopt(),
            Err(Errno::NOENT | Errno::NOTDIR) => Err(self.missing()),
            Err(errno) => Err(Fault::from(errno).at(format!("{}", self.display()))),
        }
    }

    /// The directory of a shard, made if it is missing, and its identity.
    ///
    /// It is looked for in the directory that was found to be the store, and not by its path, where another directory
    /// may stand a moment later.
    pub(crate) fn open_shard(&self, shard: usize, durable: bool) -> Result<(OwnedFd, Identity), Fault> {
        let anchor = self.check_there()?;
        let name = format!("{shard:02x}");
        if make_below(anchor.root.as_fd(), name.as_bytes())? {
            tracing::debug!(shard, "made the directory of a shard");
        }
        let directory = self.open_below(anchor.root.as_fd(), name.as_bytes(), DIRECTORY)?;
        // Under `Power` it is synchronised even if another process has made it: that one may not have come to it.
        if durable {
            rustix::fs::fsync(&anchor.root)?;
        }
        let identity = rustix::fs::fstat(&directory)?.into();
        Ok((directory, identity))
    }

    /// Which directory stands at the path of a shard now.
    pub(crate) fn shard_there(&self, shard: usize) -> Result<Option<Identity>, Fault> {
        match rustix::fs::statat(CWD, &*self.shards[shard], AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat.into())),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    fn path_of(&self, below: &[u8]) -> Vec<u8> {
        let mut path = Vec::with_capacity(self.path.len() + below.len());
        path.extend_from_slice(&self.path);
        path.extend_from_slice(below);
        path
    }

    /// The error of a store that is not there.
    fn missing(&self) -> Fault {
        Fault::new(
            StoreErrorKind::Unavailable,
            format!("{} is missing or is no store any more", self.display()),
        )
    }

    fn display(&self) -> std::path::Display<'_> {
        Path::new(OsStr::from_bytes(&self.path)).display()
    }

    fn adopt(&self) -> Result<Arc<Anchor>, Fault> {
        let gone = |errno| match errno {
            Errno::NOENT | Errno::NOTDIR => self.missing(),
            errno => Fault::from(errno),
        };
        let root = self.open_path(b".", DIRECTORY).map_err(gone)?;
        let path = PathBuf::from(OsStr::from_bytes(&self.path));
        let found = layout::read(root.as_fd(), &path)?.ok_or_else(|| self.missing())?;
        let anchor = Arc::new(Anchor::new(root, found)?);
        tracing::warn!(store = %self.display(), "the directory of the store was made again");
        *self.anchor.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&anchor);
        Ok(anchor)
    }
}

impl Anchor {
    fn new(root: OwnedFd, (layout, id): (OwnedFd, StoreId)) -> Result<Self, Fault> {
        let identity = rustix::fs::fstat(&layout)?.into();
        Ok(Self { root, layout, identity, id })
    }

    /// Writes everything of this file system to the disk.
    pub(crate) fn sync(&self) -> Result<(), Fault> {
        Ok(rustix::fs::syncfs(&self.root)?)
    }
}

/// Makes a directory that only its owner may use; whether it was missing.
pub(crate) fn make_below(at: BorrowedFd<'_>, name: &[u8]) -> Result<bool, Errno> {
    match rustix::fs::mkdirat(at, name, Mode::RWXU) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Why something could not be opened that is there: what stands there may be no file.
pub(crate) fn why_not(at: BorrowedFd<'_>, path: &[u8], errno: Errno) -> Fault {
    match rustix::fs::statat(at, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => errno.into(),
            FileType::Symlink => Fault::corrupt("a symbolic link stands where the record would be"),
            _ => Fault::corrupt("what stands where the record would be is no file"),
        },
        Err(_) => errno.into(),
    }
}

fn resolve(at: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    loop {
        match rustix::fs::openat2(at, path, CAREFUL | flags, Mode::empty(), resolve) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}
