//! The directory of a store: what makes it one, and how paths below it are opened without following a link.
//!
//! The file `layout` stands in it, with the version of the layout and a random id of the store. It is looked for, by
//! its path, whenever a record is not found: a directory that was removed, or whose disk is not mounted, must never
//! read as a store without sessions.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustix::fs::{Access, AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use session_core::{Error, ErrorKind, Operation, Result, Revision};

use crate::config::Config;
use crate::error::Fault;
use crate::place::{FAN_OUT, Place, TEMPORARY};
use crate::publish;

const LAYOUT: &str = "layout";
const FIRST_LINE: &str = "session-store-file";
const VERSION: u32 = 1;

/// For every open: a FIFO or a device that somebody planted must not hold us up, and no link is followed.
pub(crate) const CAREFUL: OFlags =
    OFlags::CLOEXEC.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);
/// For opening a directory that is read, locked or synchronised.
pub(crate) const DIRECTORY: OFlags = CAREFUL.union(OFlags::DIRECTORY).union(OFlags::RDONLY);

/// The random id of a store. Cursors carry it.
pub(crate) type StoreId = [u8; 16];

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
    pub(crate) fn open(config: &Config) -> Result<Self> {
        make_directory(config)?;
        let path = &config.root;
        let refused = |fault: Fault| fault.during(Operation::Open);
        let path = std::fs::canonicalize(path)
            .map_err(|cause| refuse(path, "the directory cannot be reached").with_source(cause))?;
        let root = rustix::fs::open(&path, DIRECTORY, Mode::empty())
            .map_err(|errno| refused(Fault::from(errno).at(format!("{}", path.display()))))?;
        let stat = rustix::fs::fstat(&root).map_err(|errno| refused(errno.into()))?;
        if Mode::from_raw_mode(stat.st_mode).contains(Mode::WOTH) {
            return Err(refuse(&path, "everybody may write to the directory"));
        }
        let access = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
        rustix::fs::accessat(CWD, &path, access, AtFlags::EACCESS)
            .map_err(|errno| refused(Fault::from(errno).at(format!("{}", path.display()))))?;
        match rustix::fs::flock(&root, FlockOperation::NonBlockingLockShared) {
            Ok(()) | Err(Errno::WOULDBLOCK) => {
                let _ = rustix::fs::flock(&root, FlockOperation::Unlock);
            }
            Err(errno) => {
                let cause = std::io::Error::from(errno);
                return Err(refuse(&path, "the file system cannot lock directories").with_source(cause));
            }
        }
        let anchor = match read_layout(root.as_fd(), &path) {
            Ok(Some((layout, id))) => anchor(root, layout, id),
            Ok(None) => make_layout(config, root, &path),
            Err(fault) => Err(fault),
        };
        let anchor = anchor.map_err(refused)?;
        let resolve = ResolveFlags::NO_SYMLINKS;
        let resolves = rustix::fs::openat2(&anchor.root, ".", DIRECTORY, Mode::empty(), resolve).is_ok();
        let mut path = path.into_os_string().into_vec();
        path.push(b'/');
        let below = |name: &str| {
            let text = [&path, name.as_bytes()].concat();
            CString::new(text).map_err(|_| refuse(&config.root, "the path has a NUL"))
        };
        let layout = below(LAYOUT)?;
        let shards: Result<_> = (0..FAN_OUT).map(|shard| below(&format!("{shard:02x}"))).collect();
        Ok(Self { shards: shards?, layout, anchor: RwLock::new(Arc::new(anchor)), resolves, path })
    }

    /// The same directory, as on a kernel that does not resolve paths without links.
    #[cfg(test)]
    pub(crate) fn resolve_by_hand(&mut self) {
        self.resolves = false;
    }

    /// Opens what stands at `below`, by its whole path and without following a link anywhere.
    pub(crate) fn open_path(&self, below: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        if self.resolves {
            let mut path = Vec::with_capacity(self.path.len() + below.len());
            path.extend_from_slice(&self.path);
            path.extend_from_slice(below);
            return resolve(CWD, &path, flags);
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

    /// Why a record could not be opened, where that was not for want of one.
    pub(crate) fn why_not(&self, place: &Place, errno: Errno) -> Fault {
        let path = [&self.path[..], place.below_root()].concat();
        match rustix::fs::statat(CWD, &path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => errno.into(),
                FileType::Symlink => Fault::corrupt("a symbolic link stands where the record would be"),
                _ => Fault::corrupt("what stands where the record would be is no file"),
            },
            Err(_) => errno.into(),
        }
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
    pub(crate) fn open_shard(&self, shard: usize, durable: bool) -> Result<(OwnedFd, Identity), Fault> {
        let anchor = self.check_there()?;
        let at = self.open_path(b".", DIRECTORY)?;
        let name = format!("{shard:02x}");
        let made = make_below(at.as_fd(), name.as_bytes())?;
        let directory = self.open_below(at.as_fd(), name.as_bytes(), DIRECTORY)?;
        // Under `Power` it is synchronised even if another process has made it: that one may not have come to it.
        if durable {
            rustix::fs::fsync(&at)?;
        }
        if made {
            tracing::debug!(shard, "made the directory of a shard");
        }
        drop(anchor);
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

    /// The error of a store that is not there.
    pub(crate) fn missing(&self) -> Fault {
        Fault::new(ErrorKind::Unavailable, format!("{} is missing or is no store any more", self.display()))
    }

    fn display(&self) -> std::path::Display<'_> {
        Path::new(OsStr::from_bytes(&self.path)).display()
    }

    fn adopt(&self) -> Result<Arc<Anchor>, Fault> {
        let root = self.open_path(b".", DIRECTORY)?;
        let path = PathBuf::from(OsStr::from_bytes(&self.path));
        let (layout, id) = read_layout(root.as_fd(), &path)?.ok_or_else(|| self.missing())?;
        let anchor = Arc::new(anchor(root, layout, id)?);
        tracing::warn!(store = %self.display(), "the directory of the store was made again");
        *self.anchor.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&anchor);
        Ok(anchor)
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

fn resolve(at: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    loop {
        match rustix::fs::openat2(at, path, CAREFUL | flags, Mode::empty(), resolve) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

fn anchor(root: OwnedFd, layout: OwnedFd, id: StoreId) -> Result<Anchor, Fault> {
    let identity = rustix::fs::fstat(&layout)?.into();
    Ok(Anchor { root, layout, identity, id })
}

impl Anchor {
    /// Writes everything of this file system to the disk.
    pub(crate) fn sync(&self) -> Result<(), Fault> {
        Ok(rustix::fs::syncfs(&self.root)?)
    }
}

/// The layout file and the id in it, or `None` where there is no such file.
fn read_layout(root: BorrowedFd<'_>, path: &Path) -> Result<Option<(OwnedFd, StoreId)>, Fault> {
    let file = match rustix::fs::openat(root, LAYOUT, CAREFUL | OFlags::RDONLY, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(Fault::from(errno).at(format!("{}/{LAYOUT}", path.display()))),
    };
    let mut bytes = [0; 256];
    let len = rustix::io::pread(&file, &mut bytes, 0)?;
    let text = bytes.get(..len).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or("");
    let wrong = |what: &str| Fault::new(ErrorKind::Misconfigured, format!("{}: {what}", path.display()));
    let mut lines = text.lines();
    if lines.next() != Some(FIRST_LINE) {
        return Err(wrong("its layout file is not of this driver"));
    }
    let version = lines.next().and_then(|line| line.strip_prefix("layout ")?.parse::<u32>().ok());
    match version {
        Some(VERSION) => {}
        Some(other) => {
            return Err(wrong(&format!("its layout is of version {other}, and this driver knows {VERSION}")));
        }
        None => return Err(wrong("its layout file has no version")),
    }
    let id = lines.next().and_then(|line| u128::from_str_radix(line.strip_prefix("id ")?, 16).ok());
    let id = id.ok_or_else(|| wrong("its layout file has no id"))?;
    Ok(Some((file, id.to_be_bytes())))
}

/// Makes an empty directory a store.
fn make_layout(config: &Config, root: OwnedFd, path: &Path) -> Result<Anchor, Fault> {
    let wrong = |what: &str| Fault::new(ErrorKind::Misconfigured, format!("{}: {what}", path.display()));
    if !config.create {
        return Err(wrong("it is no store, and create is off"));
    }
    for entry in Dir::read_from(&root)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        // Another process may be making it just now, or have died in it.
        let ours = name.starts_with(TEMPORARY.as_bytes()) || name == LAYOUT.as_bytes();
        if !ours && ![&b"."[..], b"..", b"lost+found"].contains(&name) {
            return Err(wrong("it is no store, and not empty"));
        }
    }
    let random = || Revision::random().map_err(|_| Fault::new(ErrorKind::Unavailable, "no randomness"));
    let (high, low) = (random()?.to_bytes(), random()?.to_bytes());
    let id = [high, low].concat().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let text = format!("{FIRST_LINE}\nlayout {VERSION}\nid {id}\n");
    let temporary = format!("{TEMPORARY}{id}");
    publish::write(root.as_fd(), temporary.as_bytes(), text.as_bytes(), true)?;
    match publish::create(root.as_fd(), temporary.as_bytes(), LAYOUT.as_bytes()) {
        // Whoever was first made the store.
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => {
            publish::discard(root.as_fd(), temporary.as_bytes());
            return Err(errno.into());
        }
    }
    publish::discard(root.as_fd(), temporary.as_bytes());
    rustix::fs::fsync(&root)?;
    let (layout, id) =
        read_layout(root.as_fd(), path)?.ok_or_else(|| wrong("its layout file has vanished"))?;
    anchor(root, layout, id)
}

fn make_directory(config: &Config) -> Result<()> {
    let path = &config.root;
    if !config.create_directory || std::fs::exists(path).unwrap_or(false) {
        return Ok(());
    }
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(refuse(path, "the directory cannot be made").with_source(cause))
        }
        _ => {
            let parent = match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            std::fs::File::open(parent)
                .and_then(|parent| parent.sync_all())
                .map_err(|cause| refuse(path, "the directory cannot be made durable").with_source(cause))
        }
    }
}

fn refuse(path: &Path, what: &str) -> Error {
    Error::new(ErrorKind::Misconfigured, Operation::Open).with_detail(format!("{}: {what}", path.display()))
}
