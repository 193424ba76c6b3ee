//! The directory of a store: opens paths below it without following links, and detects that it is gone.
//!
//! Whenever a record is not found, the file `layout` is looked up by its path. A directory that was removed, or whose
//! disk is not mounted, must never read as a store without sessions.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use session_core::{KnownFile, StoreErrorKind};

use crate::error::Fault;
use crate::layout::{self, LAYOUT, StoreId};
use crate::path::FAN_OUT;
use crate::sys::{self, CAREFUL, DIRECTORY};

/// File systems that list an unchanged name exactly once while other files come and go: ext2 to ext4, and XFS. Others
/// may move directory entries (btrfs, and tmpfs until Linux 6.6).
const STABLE_LISTING: [i128; 2] = [0xef53, 0x5846_5342];

/// The directory of a store.
#[derive(Debug)]
pub(crate) struct Root {
    /// Canonical, with a slash at its end.
    path: Vec<u8>,
    /// The path in the options, if it leads through a symbolic link.
    link: Option<KnownFile>,
    layout: CString,
    shards: Vec<CString>,
    anchor: RwLock<Arc<Anchor>>,
    /// Whether the kernel has `openat2`; otherwise each part of a path is opened by itself.
    pub(crate) has_openat2: bool,
    /// Whether a directory can be listed while it changes; otherwise the listing takes the lock of the shard.
    pub(crate) has_stable_listing: bool,
}

/// The directory and layout file that the path led to. Both descriptors are held, so that no other file can get the
/// same inode numbers.
#[derive(Debug)]
pub(crate) struct Anchor {
    pub(crate) root: OwnedFd,
    #[expect(dead_code, reason = "held for its inode number")]
    layout: OwnedFd,
    identity: Identity,
    pub(crate) id: StoreId,
}

/// Device and inode number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity(u64, u64);

impl From<Stat> for Identity {
    fn from(stat: Stat) -> Self {
        Self(stat.st_dev, stat.st_ino)
    }
}

impl Root {
    /// The store in the directory `root`, whose canonical path is `path`. With `create` an empty directory becomes a
    /// store.
    pub(crate) fn open(
        root: OwnedFd,
        path: PathBuf,
        link: Option<KnownFile>,
        create: bool,
    ) -> Result<Self, Fault> {
        let has_stable_listing = STABLE_LISTING.contains(&i128::from(rustix::fs::fstatfs(&root)?.f_type));
        let found = match layout::read(root.as_fd(), &path)? {
            Some(found) => found,
            None if create => layout::make(root.as_fd(), &path)?,
            None => {
                let what = "directory is not a store, and create is off";
                return Err(Fault::new(StoreErrorKind::Missing, what).at(path.display()));
            }
        };
        let anchor = Anchor::new(root, found)?;
        let resolve = ResolveFlags::NO_SYMLINKS;
        let has_openat2 = rustix::fs::openat2(&anchor.root, ".", DIRECTORY, Mode::empty(), resolve).is_ok();
        let mut path = path.into_os_string().into_vec();
        path.push(b'/');
        let below = |name: &str| {
            let text = [&path, name.as_bytes()].concat();
            CString::new(text).map_err(|_| Fault::new(StoreErrorKind::Misconfigured, "path contains NUL"))
        };
        let layout = below(LAYOUT)?;
        let shards = (0..FAN_OUT).map(|shard| below(&format!("{shard:02x}"))).collect::<Result<_, _>>()?;
        let anchor = RwLock::new(Arc::new(anchor));
        Ok(Self { link, shards, layout, anchor, has_openat2, has_stable_listing, path })
    }

    /// Opens a path below the root, by its whole path and without following links.
    pub(crate) fn open_path(&self, below: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        if self.has_openat2 {
            return sys::resolve(CWD, &self.path_of(below), flags);
        }
        let path: &OsStr = OsStr::from_bytes(&self.path);
        let root = rustix::fs::open(path, DIRECTORY.union(OFlags::PATH), Mode::empty())?;
        self.open_below(root.as_fd(), below, flags)
    }

    /// Opens a path below an open directory, without following links.
    pub(crate) fn open_below(
        &self,
        directory: BorrowedFd<'_>,
        below: &[u8],
        flags: OFlags,
    ) -> Result<OwnedFd, Errno> {
        if self.has_openat2 {
            return sys::resolve(directory, below, flags);
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

    /// Why an existing path below the root could not be opened.
    pub(crate) fn explain(&self, below: &[u8], errno: Errno) -> Fault {
        sys::explain(CWD, &self.path_of(below), errno)
    }

    /// Fails if the store is not at its path. If another store was made at the path meanwhile, that one is used from
    /// now on.
    pub(crate) fn check_present(&self) -> Result<Arc<Anchor>, Fault> {
        self.check_link()?;
        let known = Arc::clone(&self.anchor.read().unwrap_or_else(PoisonError::into_inner));
        match rustix::fs::statat(CWD, &*self.layout, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if Identity::from(stat) == known.identity => Ok(known),
            Ok(_) => self.adopt(),
            Err(Errno::NOENT | Errno::NOTDIR) => Err(self.missing()),
            Err(errno) => Err(Fault::from(errno).at(self.display())),
        }
    }

    /// Fails if the path in the options leads to another directory now, which other processes then use.
    pub(crate) fn check_link(&self) -> Result<(), Fault> {
        let moved = self.link.as_ref().is_some_and(KnownFile::is_gone);
        if moved { Err(self.missing()) } else { Ok(()) }
    }

    /// Opens the directory of a shard, and creates it if it is missing.
    ///
    /// The shard is opened below the directory that was checked: by its path it could belong to another directory a
    /// moment later.
    pub(crate) fn open_shard(&self, shard: usize, durable: bool) -> Result<(OwnedFd, Identity), Fault> {
        let anchor = self.check_present()?;
        let name = format!("{shard:02x}");
        if sys::make_directory(anchor.root.as_fd(), name.as_bytes())? {
            tracing::debug!(shard, "created the directory of a shard");
        }
        let directory = self.open_below(anchor.root.as_fd(), name.as_bytes(), DIRECTORY)?;
        // Also if another process created it, because that process may not have synchronised it.
        if durable {
            rustix::fs::fsync(&anchor.root)?;
        }
        let identity = rustix::fs::fstat(&directory)?.into();
        Ok((directory, identity))
    }

    /// The directory that is now at the path of a shard.
    pub(crate) fn shard_identity(&self, shard: usize) -> Result<Option<Identity>, Fault> {
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

    fn missing(&self) -> Fault {
        Fault::new(StoreErrorKind::Unavailable, "store is missing").at(self.display())
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
        tracing::warn!(store = %self.display(), "store was replaced by another one at the same path");
        *self.anchor.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&anchor);
        Ok(anchor)
    }
}

impl Anchor {
    fn new(root: OwnedFd, (layout, id): (OwnedFd, StoreId)) -> Result<Self, Fault> {
        let identity = rustix::fs::fstat(&layout)?.into();
        Ok(Self { root, layout, identity, id })
    }

    /// Writes the whole file system to disk.
    pub(crate) fn sync(&self) -> Result<(), Fault> {
        Ok(rustix::fs::syncfs(&self.root)?)
    }
}
