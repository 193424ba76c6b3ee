//! Opening: the only opener of a file initialises its locks and checks it; later openers join. Closing: the only opener
//! seals it.
//!
//! Every opener holds a shared `flock` on the file, so only a process without company gets an exclusive one. A second
//! file, the gate, is locked during the opening: `flock` turns an exclusive lock into a shared one in two steps, and a
//! second opener between them would find itself alone too.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FlockOperation, RenameFlags, flock};
use rustix::io::Errno;
use session_core::{OnFull, Operation, Result, StoreError, StoreErrorKind, create_directory, random};

use crate::config::{MmapConfig, misconfigured};
use crate::file::SessionFile;
use crate::layout::{
    Geometry, SUPERBLOCK_BYTES, Superblock, SuperblockError, decode_superblock, doubled, encode_superblock,
    shard, superblock, undoubled,
};
use crate::map::Map;
use crate::protocol::Words;
use crate::repair::Depth;

/// How many extents a new file has.
const FIRST_EXTENTS: u32 = 4;
/// How long to sleep between two tries of a taken lock.
const NAP: Duration = Duration::from_millis(2);

/// The opened file, for calls that may wait.
pub(crate) fn open(config: &MmapConfig) -> Result<SessionFile> {
    let path = &config.path;
    session_core::check_path(path)?;
    let geometry = config.geometry()?;
    config.record_limit(&geometry)?;
    // Before the gate, whose file would be the first trace of a store.
    if !config.create && !path.try_exists().map_err(|cause| failed(cause, path))? {
        let detail = format!("{}: file does not exist, and create is off", path.display());
        return Err(StoreError::new(StoreErrorKind::Missing, Operation::Open).with_detail(detail));
    }
    prepare_directory(config)?;
    let host = Host::read()?;
    let _gate = lock_gate(config)?;
    match OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Ok(file) => join(config, file, &host),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound && config.create => {
            create(config, geometry, &host)
        }
        Err(cause) => Err(failed(cause, path)),
    }
}

/// The properties that all processes sharing the locks must have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Host {
    /// The C library that implements the mutex, and the size of the mutex.
    platform: u64,
    boot: [u64; 2],
    /// A lock names its owner by thread id, which is unique in one PID namespace.
    namespace: u64,
}

impl Host {
    fn read() -> Result<Self> {
        let boot = Path::new("/proc/sys/kernel/random/boot_id");
        let text = std::fs::read_to_string(boot).map_err(|cause| failed(cause, boot))?;
        let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        let id = u128::from_str_radix(&digits, 16)
            .map_err(|_| misconfigured("boot id of this machine is not a number"))?;
        let namespace = Path::new("/proc/self/ns/pid");
        let namespace = std::fs::metadata(namespace).map_err(|cause| failed(cause, namespace))?.ino();
        let library = if cfg!(target_env = "musl") { 2 } else { 1 };
        let platform = library << 32 | size_of::<libc::pthread_mutex_t>() as u64;
        Ok(Self { platform, boot: [(id >> 64) as u64, id as u64], namespace })
    }

    fn stored(file: &SessionFile) -> Self {
        let head = file.superblock();
        let boot = [head.get(superblock::BOOT), head.get(superblock::BOOT + 1)];
        Self { platform: head.get(superblock::PLATFORM), boot, namespace: head.get(superblock::NAMESPACE) }
    }

    fn store(&self, file: &SessionFile) {
        let head = file.superblock();
        head.set(superblock::PLATFORM, self.platform);
        head.set(superblock::BOOT, self.boot[0]);
        head.set(superblock::BOOT + 1, self.boot[1]);
        head.set(superblock::NAMESPACE, self.namespace);
    }
}

/// Creates the file under a temporary name and renames it when it is complete: an existing file is never half made.
fn create(config: &MmapConfig, geometry: Geometry, host: &Host) -> Result<SessionFile> {
    let path = &config.path;
    let temporary = with_suffix(path, ".new");
    // The gate is locked, so an existing one was left by a process that is gone.
    match std::fs::remove_file(&temporary) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(failed(cause, &temporary)),
        _ => {}
    }
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&temporary);
    let file = file.map_err(|cause| failed(cause, &temporary))?;
    let made = fill(config, geometry, host, file).and_then(|file| {
        file.map.file().sync_data().map_err(|cause| failed(cause, &temporary))?;
        let cwd = rustix::fs::CWD;
        rustix::fs::renameat_with(cwd, &temporary, cwd, path, RenameFlags::NOREPLACE).map_err(|cause| {
            match cause {
                Errno::EXIST => {
                    misconfigured(format!("{}: another program has just created it", path.display()))
                }
                cause => failed(cause.into(), path),
            }
        })?;
        // So that the file's name survives power loss as well as its content.
        let directory = directory_of(path).unwrap_or(Path::new("."));
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(|cause| failed(cause, directory))?;
        Ok(file)
    });
    if made.is_err() {
        // Fails where the file was renamed already.
        let _ = std::fs::remove_file(&temporary);
    }
    made
}

fn fill(config: &MmapConfig, geometry: Geometry, host: &Host, file: File) -> Result<SessionFile> {
    let path = &config.path;
    let [seed, id] = [random::bytes()?, random::bytes()?].map(u64::from_ne_bytes);
    share(&file, FlockOperation::NonBlockingLockShared, path)?;
    let file = map(config, Superblock { geometry, seed, id }, file)?;
    let grown = FIRST_EXTENTS.min(geometry.extents);
    file.map.grow(0, geometry.extent_at(grown)).map_err(|cause| failed(cause, path))?;
    let head = file.superblock();
    for (index, word) in encode_superblock(&geometry, seed, id).into_iter().enumerate() {
        head.set(index, word);
    }
    file.set_grown(grown);
    host.store(&file);
    file.superblock().set(superblock::ON_FULL, policy(config.on_full));
    for number in 0..geometry.shards {
        let head = file.shard(number).head;
        head.set(shard::COUNT, doubled(0));
        head.set(shard::DUE, u64::MAX);
        head.set(shard::FRESH, u64::MAX);
    }
    init_locks(&file).map_err(|cause| failed(cause, path))?;
    Ok(file)
}

/// Opens an existing file.
fn join(config: &MmapConfig, file: File, host: &Host) -> Result<SessionFile> {
    let path = &config.path;
    let found = examine(config, &file)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            let file = map(config, found, file)?;
            take_over(&file, host, path)?;
            file.superblock().set(superblock::ON_FULL, policy(config.on_full));
            share(file.map.file(), FlockOperation::NonBlockingLockShared, path)?;
            Ok(file)
        }
        Err(Errno::WOULDBLOCK) => {
            share(&file, FlockOperation::NonBlockingLockShared, path)?;
            let file = map(config, found, file)?;
            check_length(&file, path)?;
            if Host::stored(&file) != *host {
                return Err(misconfigured(format!(
                    "{}: in use by processes of another machine, boot, PID namespace or C library",
                    path.display()
                )));
            }
            check_policy(&file, config)?;
            // A handle that was closed and still has the file may have sealed it.
            file.break_seal();
            Ok(file)
        }
        Err(cause) => Err(failed(cause.into(), path)),
    }
}

/// What a handle promises about eviction, the others must keep. Only the first opener may choose it.
fn check_policy(file: &SessionFile, config: &MmapConfig) -> Result<()> {
    let (others, own) = (file.superblock().get(superblock::ON_FULL), policy(config.on_full));
    if others == own || !(1..=2).contains(&others) {
        return Ok(());
    }
    let has = if own == 1 { OnFull::Evict } else { OnFull::Reject };
    let path = config.path.display();
    Err(misconfigured(format!("{path}: in use by handles with on_full {has:?}")))
}

fn policy(on_full: OnFull) -> u64 {
    if on_full == OnFull::Evict { 2 } else { 1 }
}

/// Makes the file fit for use. The caller is its only opener.
fn take_over(file: &SessionFile, host: &Host, path: &Path) -> Result<()> {
    let geometry = &file.geometry;
    let said = undoubled(file.superblock().get(superblock::GROWN));
    let rebooted = Host::stored(file).boot != host.boot;
    // Before anything is written. The files of before the reboot may lack pages.
    let sealed = !rebooted && said.is_some() && check_length(file, path).is_ok() && file.is_sealed();
    file.break_seal();
    if said.is_some() {
        check_length(file, path)?;
    }
    // A copied file may have holes in place of zeros, and a store into a hole of a full disk is a SIGBUS. The number of
    // extents may be damaged, or older than the file's last growth. So the disk is asked for the whole file first.
    let length = file.map.file().metadata().map_err(|cause| failed(cause, path))?.len();
    let reaches = length.saturating_sub(geometry.base) / geometry.extent_bytes;
    let reaches = u32::try_from(reaches).unwrap_or(u32::MAX).min(geometry.extents);
    match file.map.grow(0, geometry.extent_at(reaches)) {
        Ok(()) => file.set_grown(reaches),
        Err(cause) if said.is_none() => return Err(failed(cause, path)),
        Err(_) => {
            file.map.grow(0, geometry.extent_at(file.grown())).map_err(|cause| failed(cause, path))?;
        }
    }
    init_locks(file).map_err(|cause| failed(cause, path))?;
    if sealed {
        return Ok(());
    }
    file.repair_all(if rebooted { Depth::Bodies } else { Depth::Heads })
        .map_err(|fault| fault.during(Operation::Open))?;
    host.store(file);
    Ok(())
}

/// Seals the file if no other handle has it open, so that the next opener need not look at each record. Waits for nothing.
/// It may fail, for a process without its former rights: the file then stays unsealed, as after a kill.
pub(crate) fn seal(file: &SessionFile, config: &MmapConfig) {
    let path = with_suffix(&config.path, ".gate");
    let gate = match try_gate(&path) {
        Ok(gate) => gate.filter(|gate| is_still(gate, &path)),
        Err(error) => return tracing::debug!(%error, "session file is not sealed"),
    };
    // Whoever has the gate is opening the file.
    let Some(_gate) = gate else { return };
    if flock(file.map.file(), FlockOperation::NonBlockingLockExclusive).is_ok() {
        file.seal();
    }
    // The kernel gives the old lock up before it tries the new one. Without the gate, no other process takes it.
    if let Err(error) = flock(file.map.file(), FlockOperation::NonBlockingLockShared) {
        file.break_seal();
        tracing::debug!(%error, "session file is not sealed");
    }
}

fn init_locks(file: &SessionFile) -> io::Result<()> {
    file.map.init_lock(superblock::LOCK_AT)?;
    (0..file.geometry.shards).try_for_each(|number| file.map.init_lock(file.geometry.shard_at(number)))
}

fn map(config: &MmapConfig, found: Superblock, file: File) -> Result<SessionFile> {
    let Superblock { geometry, seed, id } = found;
    let size = geometry.extent_at(geometry.extents);
    let map = Arc::new(Map::new(file, size).map_err(|cause| failed(cause, &config.path))?);
    let (on_full, clock) = (config.on_full, Arc::clone(&config.clock));
    Ok(SessionFile { map, geometry, seed, id, on_full, clock, in_place: false })
}

/// Checks that the file is one of ours, of this version and with the geometry that was asked for.
fn examine(config: &MmapConfig, file: &File) -> Result<Superblock> {
    let path = &config.path;
    let metadata = file.metadata().map_err(|cause| failed(cause, path))?;
    if !metadata.is_file() {
        return Err(misconfigured(format!("{}: not a regular file", path.display())));
    }
    let mut bytes = vec![0; SUPERBLOCK_BYTES.min(metadata.len()) as usize];
    file.read_exact_at(&mut bytes, 0).map_err(|cause| failed(cause, path))?;
    let found = decode_superblock(&bytes).map_err(|cause| {
        let kind = match cause {
            SuperblockError::Damaged => StoreErrorKind::Corrupt,
            _ => StoreErrorKind::Misconfigured,
        };
        StoreError::new(kind, Operation::Open).with_detail(path.display().to_string()).with_source(cause)
    })?;
    let geometry = &found.geometry;
    if metadata.len() < geometry.base {
        return Err(truncated(path, metadata.len(), geometry.base));
    }
    for (option, asked, has) in [
        ("max_bytes", Some(config.max_bytes), geometry.max_bytes),
        ("extent_bytes", config.extent_bytes, geometry.extent_bytes),
        ("shards", config.shards, u64::from(geometry.shards)),
    ] {
        if asked.is_some_and(|asked| asked != has) {
            let detail = format!("{}: the file was made with {option} {has}", path.display());
            return Err(misconfigured(detail));
        }
    }
    config.record_limit(geometry)?;
    Ok(found)
}

fn check_length(file: &SessionFile, path: &Path) -> Result<()> {
    // In this order: another process may enlarge the file meanwhile, and it sets the length first.
    let needed = file.geometry.extent_at(file.grown());
    let length = file.map.file().metadata().map_err(|cause| failed(cause, path))?.len();
    if length < needed { Err(truncated(path, length, needed)) } else { Ok(()) }
}

fn truncated(path: &Path, length: u64, needed: u64) -> StoreError {
    let detail = format!("{}: truncated to {length} bytes of {needed}", path.display());
    StoreError::new(StoreErrorKind::Corrupt, Operation::Open).with_detail(detail)
}

fn share(file: &File, how: FlockOperation, path: &Path) -> Result<()> {
    flock(file, how).map_err(|cause| failed(cause.into(), path))
}

/// Locks the gate, which is created if it is missing and never removed.
fn lock_gate(config: &MmapConfig) -> Result<File> {
    let path = with_suffix(&config.path, ".gate");
    let mut naps = config.open_timeout.as_millis() / NAP.as_millis();
    loop {
        match try_gate(&path)? {
            Some(gate) if is_still(&gate, &path) => return Ok(gate),
            // The file was removed meanwhile, and the next opener would create another.
            Some(_) => {}
            None if naps > 0 => nap(),
            None => {
                let detail = format!("{}: another process is opening the file", path.display());
                return Err(StoreError::new(StoreErrorKind::Unavailable, Operation::Open).with_detail(detail));
            }
        }
        naps = naps.saturating_sub(1);
    }
}

/// The gate, or `None` if another process has locked it.
fn try_gate(path: &Path) -> Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let gate = options.open(path).map_err(|cause| failed(cause, path))?;
    match flock(&gate, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(gate)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(cause) => Err(failed(cause.into(), path)),
    }
}

fn is_still(file: &File, path: &Path) -> bool {
    let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    let ours = file.metadata().map(identity).ok();
    ours.is_some() && std::fs::metadata(path).map(identity).ok() == ours
}

#[expect(clippy::disallowed_methods, reason = "waits for another process, which no clock of a test moves")]
fn nap() {
    std::thread::sleep(NAP);
}

fn prepare_directory(config: &MmapConfig) -> Result<()> {
    let directory = directory_of(&config.path);
    let Some(directory) = directory.filter(|directory| config.create_directory && !directory.exists()) else {
        return Ok(());
    };
    create_directory(directory).map(drop)
}

fn directory_of(path: &Path) -> Option<&Path> {
    path.parent().filter(|directory| !directory.as_os_str().is_empty())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn failed(cause: io::Error, path: &Path) -> StoreError {
    let kind = StoreErrorKind::from_io(&cause);
    StoreError::new(kind, Operation::Open).with_detail(path.display().to_string()).with_source(cause)
}

#[cfg(test)]
#[path = "../tests/unit/open.rs"]
mod tests;
