//! Opening: who is alone with the file makes its locks anew and checks it, whoever comes later joins.
//!
//! Everybody holds a shared `flock` on the file for as long as it is open, so an exclusive one is had only by who is
//! alone. A second file, the gate, is locked while somebody opens: `flock` turns an exclusive lock into a shared one
//! in two steps, between which another would find itself alone too.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FlockOperation, RenameFlags, flock};
use rustix::io::Errno;
use session_core::{Operation, Result, StoreError, StoreErrorKind};

use crate::area::Area;
use crate::aside::SLICE;
use crate::config::{MmapConfig, misconfigured};
use crate::error::kind;
use crate::layout::{
    Geometry, SUPERBLOCK_BYTES, Superblock, SuperblockError, decode_superblock, doubled, encode_superblock,
    shard, superblock, undoubled,
};
use crate::map::Map;
use crate::protocol::Words;
use crate::recover::Depth;

/// How many extents a new file has from the start.
const FIRST_EXTENTS: u32 = 4;
/// How long to sleep between two looks at a lock that is taken.
const NAP: Duration = Duration::from_millis(2);

pub(crate) fn open(config: &MmapConfig) -> Result<Area> {
    let path = &config.path;
    let asked = config.geometry()?;
    config.largest_value(&asked)?;
    prepare_directory(config)?;
    let host = Host::read()?;
    let _gate = lock_gate(config)?;
    match OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Ok(file) => join(config, file, &host),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound && config.create => make(config, asked, &host),
        Err(cause) => Err(failed(cause, path)),
    }
}

/// What must be the same for all who share the locks in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Host {
    /// The C library, whose mutex it is, and how large that is.
    platform: u64,
    boot: [u64; 2],
    /// A lock names its owner by thread id, which means something in one PID namespace.
    namespace: u64,
}

impl Host {
    fn read() -> Result<Self> {
        let boot = Path::new("/proc/sys/kernel/random/boot_id");
        let text = std::fs::read_to_string(boot).map_err(|cause| failed(cause, boot))?;
        let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        let id = u128::from_str_radix(&digits, 16)
            .map_err(|_| misconfigured("the boot id of this machine is not a number"))?;
        let namespace = Path::new("/proc/self/ns/pid");
        let namespace = std::fs::metadata(namespace).map_err(|cause| failed(cause, namespace))?.ino();
        let library = if cfg!(target_env = "musl") { 2 } else { 1 };
        let platform = library << 32 | size_of::<libc::pthread_mutex_t>() as u64;
        Ok(Self { platform, boot: [(id >> 64) as u64, id as u64], namespace })
    }

    fn stored(area: &Area) -> Self {
        let head = area.superblock();
        let boot = [head.get(superblock::BOOT), head.get(superblock::BOOT + 1)];
        Self { platform: head.get(superblock::PLATFORM), boot, namespace: head.get(superblock::NAMESPACE) }
    }

    fn store(&self, area: &Area) {
        let head = area.superblock();
        head.set(superblock::PLATFORM, self.platform);
        head.set(superblock::BOOT, self.boot[0]);
        head.set(superblock::BOOT + 1, self.boot[1]);
        head.set(superblock::NAMESPACE, self.namespace);
    }
}

/// Makes a new file beside its place and moves it there whole: a file that is found is never half made.
fn make(config: &MmapConfig, geometry: Geometry, host: &Host) -> Result<Area> {
    let path = &config.path;
    let beside = with_suffix(path, ".new");
    // Only who holds the gate makes one, so that this is left from a process that is gone.
    match std::fs::remove_file(&beside) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(failed(cause, &beside)),
        _ => {}
    }
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&beside);
    let file = file.map_err(|cause| failed(cause, &beside))?;
    let made = fill(config, geometry, host, file).and_then(|area| {
        area.map.file().sync_data().map_err(|cause| failed(cause, &beside))?;
        let cwd = rustix::fs::CWD;
        match rustix::fs::renameat_with(cwd, &beside, cwd, path, RenameFlags::NOREPLACE) {
            Ok(()) => {
                // So that `flush` speaks of a file whose name survives, too.
                let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
                let directory = directory.unwrap_or(Path::new("."));
                File::open(directory)
                    .and_then(|directory| directory.sync_all())
                    .map_err(|cause| failed(cause, directory))?;
                Ok(area)
            }
            Err(Errno::EXIST) => {
                Err(misconfigured(format!("{}: somebody else has just made it", path.display())))
            }
            Err(cause) => Err(failed(cause.into(), path)),
        }
    });
    if made.is_err() {
        // It may have been moved already, and then there is nothing to remove.
        let _ = std::fs::remove_file(&beside);
    }
    made
}

fn fill(config: &MmapConfig, geometry: Geometry, host: &Host, file: File) -> Result<Area> {
    let path = &config.path;
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|cause| {
        StoreError::new(StoreErrorKind::Unavailable, Operation::Open)
            .with_detail("no randomness")
            .with_source(cause)
    })?;
    let (seed, id) = random.split_at(8);
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
    let (seed, id) = (number(seed), number(id));
    share(&file, FlockOperation::NonBlockingLockShared, path)?;
    let area = map(config, Superblock { geometry, seed, id }, file)?;
    let grown = FIRST_EXTENTS.min(geometry.extents);
    area.map.grow(0, geometry.extent_at(grown)).map_err(|cause| failed(cause, path))?;
    let head = area.superblock();
    for (index, word) in encode_superblock(&geometry, seed, id).into_iter().enumerate() {
        head.set(index, word);
    }
    area.set_grown(grown);
    host.store(&area);
    for number in 0..geometry.shards {
        let head = area.shard(number).head;
        head.set(shard::COUNT, doubled(0));
        head.set(shard::DUE, u64::MAX);
        head.set(shard::FRESH, u64::MAX);
    }
    init_locks(&area).map_err(|cause| failed(cause, path))?;
    Ok(area)
}

/// Opens a file that is there.
fn join(config: &MmapConfig, file: File, host: &Host) -> Result<Area> {
    let path = &config.path;
    let found = examine(config, &file)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            let area = map(config, found, file)?;
            take_over(&area, host, path)?;
            share(area.map.file(), FlockOperation::NonBlockingLockShared, path)?;
            Ok(area)
        }
        Err(Errno::WOULDBLOCK) => {
            share(&file, FlockOperation::NonBlockingLockShared, path)?;
            let area = map(config, found, file)?;
            check_length(&area, path)?;
            if Host::stored(&area) != *host {
                return Err(misconfigured(format!(
                    "{}: in use by processes of another machine, boot, PID namespace or C library",
                    path.display()
                )));
            }
            Ok(area)
        }
        Err(cause) => Err(failed(cause.into(), path)),
    }
}

/// Makes the file fit for use by who is alone with it.
fn take_over(area: &Area, host: &Host, path: &Path) -> Result<()> {
    let geometry = &area.geometry;
    let said = undoubled(area.superblock().get(superblock::GROWN));
    if said.is_some() {
        check_length(area, path)?;
    }
    // A copy may have holes where there were zeros, and storing into a hole of a full disk is a SIGBUS. The number may
    // be damaged, or older than what the file has grown to since: so all of the file is asked for, if it can be had.
    let length = area.map.file().metadata().map_err(|cause| failed(cause, path))?.len();
    let reaches = length.saturating_sub(geometry.base) / geometry.extent_bytes;
    let reaches = u32::try_from(reaches).unwrap_or(u32::MAX).min(geometry.extents);
    match area.map.grow(0, geometry.extent_at(reaches)) {
        Ok(()) => area.set_grown(reaches),
        Err(cause) if said.is_none() => return Err(failed(cause, path)),
        Err(_) => {
            area.map.grow(0, geometry.extent_at(area.grown())).map_err(|cause| failed(cause, path))?;
        }
    }
    init_locks(area).map_err(|cause| failed(cause, path))?;
    let rebooted = Host::stored(area).boot != host.boot;
    area.repair_all(if rebooted { Depth::Bodies } else { Depth::Heads })
        .map_err(|fault| fault.during(Operation::Open))?;
    host.store(area);
    Ok(())
}

fn init_locks(area: &Area) -> io::Result<()> {
    area.map.init_lock(superblock::LOCK_AT)?;
    (0..area.geometry.shards).try_for_each(|number| area.map.init_lock(area.geometry.shard_at(number)))
}

fn map(config: &MmapConfig, found: Superblock, file: File) -> Result<Area> {
    let Superblock { geometry, seed, id } = found;
    let size = geometry.extent_at(geometry.extents);
    let map = Map::new(file, size).map_err(|cause| failed(cause, &config.path))?;
    Ok(Area { map: Arc::new(map), geometry, seed, id, patience: SLICE })
}

/// Whether this is a file of ours, of this version and with the geometry that was asked for.
fn examine(config: &MmapConfig, file: &File) -> Result<Superblock> {
    let path = &config.path;
    let metadata = file.metadata().map_err(|cause| failed(cause, path))?;
    let kind = metadata.file_type();
    if !kind.is_file() || kind.is_fifo() {
        return Err(misconfigured(format!("{}: not a regular file", path.display())));
    }
    let mut bytes = vec![0; SUPERBLOCK_BYTES.min(metadata.len()) as usize];
    file.read_exact_at(&mut bytes, 0).map_err(|cause| failed(cause, path))?;
    let refused = |cause: SuperblockError| {
        let kind = match cause {
            SuperblockError::Damaged => StoreErrorKind::Corrupt,
            _ => StoreErrorKind::Misconfigured,
        };
        StoreError::new(kind, Operation::Open).with_detail(path.display().to_string()).with_source(cause)
    };
    let found = decode_superblock(&bytes).map_err(refused)?;
    if metadata.len() < found.geometry.base {
        return Err(truncated(path, metadata.len(), found.geometry.base));
    }
    let geometry = &found.geometry;
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
    config.largest_value(geometry)?;
    Ok(found)
}

fn check_length(area: &Area, path: &Path) -> Result<()> {
    let length = area.map.file().metadata().map_err(|cause| failed(cause, path))?.len();
    let needed = area.geometry.extent_at(area.grown());
    if length < needed { Err(truncated(path, length, needed)) } else { Ok(()) }
}

fn truncated(path: &Path, length: u64, needed: u64) -> StoreError {
    let detail = format!("{}: cut short, {length} bytes of {needed}", path.display());
    StoreError::new(StoreErrorKind::Corrupt, Operation::Open).with_detail(detail)
}

fn share(file: &File, how: FlockOperation, path: &Path) -> Result<()> {
    flock(file, how).map_err(|cause| failed(cause.into(), path))
}

/// Locks the gate, which is made if it is missing and stays for ever.
fn lock_gate(config: &MmapConfig) -> Result<File> {
    let path = with_suffix(&config.path, ".gate");
    let mut naps = config.open_timeout.as_millis() / NAP.as_millis();
    loop {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW);
        let gate = options.open(&path).map_err(|cause| failed(cause, &path))?;
        match flock(&gate, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if is_still(&gate, &path) => return Ok(gate),
            // Somebody has removed it, and the next one would make another.
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) if naps > 0 => nap(),
            Err(Errno::WOULDBLOCK) => {
                let error = StoreError::new(StoreErrorKind::Unavailable, Operation::Open);
                return Err(
                    error.with_detail(format!("{}: another process is opening the file", path.display()))
                );
            }
            Err(cause) => return Err(failed(cause.into(), &path)),
        }
        naps = naps.saturating_sub(1);
    }
}

fn is_still(file: &File, path: &Path) -> bool {
    let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    file.metadata()
        .map(identity)
        .ok()
        .is_some_and(|ours| std::fs::metadata(path).map(identity).ok() == Some(ours))
}

#[expect(
    clippy::disallowed_methods,
    reason = "waits for another process while opening, which no clock of tests moves"
)]
fn nap() {
    std::thread::sleep(NAP);
}

fn prepare_directory(config: &MmapConfig) -> Result<()> {
    let directory = config.path.parent().filter(|directory| !directory.as_os_str().is_empty());
    let Some(directory) = directory.filter(|directory| config.create_directory && !directory.exists()) else {
        return Ok(());
    };
    match std::fs::DirBuilder::new().mode(0o700).create(directory) {
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => Err(failed(cause, directory)),
        _ => Ok(()),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn failed(cause: io::Error, path: &Path) -> StoreError {
    StoreError::new(kind(&cause), Operation::Open).with_detail(path.display().to_string()).with_source(cause)
}

#[cfg(test)]
mod tests {
    use session_core::{Condition, Driver, Key, Record, Revision, StoreErrorKind};

    use super::*;
    use crate::MmapStore;
    use crate::layout::{BYTE_ORDER, SHARD_BYTES, VERSION};
    use crate::shard::Locked;

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn config(&self) -> MmapConfig {
            let path = self.0.path().join("map");
            MmapConfig::new(path).max_bytes(256 << 10).shards(1).busy_timeout(Duration::from_millis(20))
        }

        fn refused(&self) -> (StoreErrorKind, String) {
            let error = open(&self.config()).unwrap_err();
            (error.kind(), format!("{error:?}"))
        }
    }

    #[tokio::test]
    async fn a_lock_that_was_held_when_the_file_was_copied_is_made_anew() {
        let (place, copy) = (Place::new(), Place::new());
        let area = open(&place.config()).unwrap();
        let held: Locked<'_> = area.shard(0).lock().unwrap();
        std::fs::copy(place.config().path, copy.config().path).unwrap();
        let store = MmapStore::open(copy.config()).unwrap();
        let (key, record) =
            (Key::parse("test:a").unwrap(), Record::new("a", None, Revision::from_bytes([1; 8])));
        assert!(store.store(&key, record.clone(), Condition::Absent).await.unwrap().is_applied());
        assert_eq!(store.retrieve(&key).await.unwrap(), Some(record.clone()));
        // The original is still held, and says so in time.
        let other = MmapStore::open(place.config()).unwrap();
        let error = other.store(&key, record.clone(), Condition::Absent).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert_eq!(other.retrieve(&key).await.unwrap(), None, "readers need no lock");
        drop(held);
        assert!(other.store(&key, record, Condition::Absent).await.unwrap().is_applied());
    }

    #[test]
    fn a_thread_that_panics_or_ends_with_a_lock_leaves_a_shard_that_is_repaired() {
        let place = Place::new();
        let area = open(&place.config()).unwrap();
        let repaired = || area.superblock().get(superblock::REPAIRED);
        std::thread::scope(|scope| {
            let panicking = scope.spawn(|| {
                let _held = area.shard(0).lock().unwrap();
                std::panic::resume_unwind(Box::new("within a change"));
            });
            assert!(panicking.join().is_err());
        });
        assert_eq!(repaired(), 0);
        drop(area.shard(0).lock().unwrap());
        assert_eq!(repaired(), 1);
        // The kernel tells of a thread that ended; here the guard is never dropped.
        std::thread::scope(|scope| {
            scope.spawn(|| std::mem::forget(area.shard(0).lock().unwrap()));
        });
        drop(area.shard(0).lock().unwrap());
        assert_eq!(repaired(), 2);
        area.audit();
    }

    #[test]
    fn locks_of_another_boot_or_namespace_are_refused_while_somebody_holds_the_file() {
        for word in [superblock::BOOT, superblock::NAMESPACE, superblock::PLATFORM] {
            let place = Place::new();
            let first = open(&place.config()).unwrap();
            drop(open(&place.config()).unwrap());
            first.superblock().add(word, 1);
            let (kind, text) = place.refused();
            assert_eq!(kind, StoreErrorKind::Misconfigured);
            assert!(text.contains("in use by"), "{text}");
            // Who is alone makes the locks anew.
            drop(first);
            let second = open(&place.config()).unwrap();
            drop(second.shard(0).lock().unwrap());
            drop(open(&place.config()).unwrap());
        }
    }

    #[test]
    fn another_version_or_byte_order_is_named_and_a_damaged_superblock_is_not_believed() {
        let place = Place::new();
        drop(open(&place.config()).unwrap());
        let path = place.config().path;
        let good = std::fs::read(&path).unwrap();
        let geometry = place.config().geometry().unwrap();
        let with = |change: &dyn Fn(&mut [u64])| {
            let mut words = encode_superblock(&geometry, 1, 2);
            change(&mut words);
            let words = words.map(u64::to_ne_bytes).concat();
            let bytes = [&words[..], &good[words.len()..]].concat();
            std::fs::write(&path, &bytes).unwrap();
            let refused = place.refused();
            assert_eq!(std::fs::read(&path).unwrap(), bytes, "refused and changed");
            refused
        };
        let (kind, text) = with(&|words| {
            words[superblock::VERSION] = VERSION + 1;
            words[superblock::CHECK] = crate::layout::superblock_check(words);
        });
        assert_eq!(kind, StoreErrorKind::Misconfigured);
        assert!(text.contains("Version(2)"), "{text}");
        let (kind, text) = with(&|words| words[superblock::BYTE_ORDER] = BYTE_ORDER.swap_bytes());
        assert_eq!(kind, StoreErrorKind::Misconfigured);
        assert!(text.contains("ByteOrder"), "{text}");
        for word in superblock::VERSION..=superblock::CHECK {
            assert_eq!(with(&|words| words[word] ^= 1 << 9).0, StoreErrorKind::Corrupt, "word {word}");
        }
        std::fs::write(&path, good).unwrap();
        drop(open(&place.config()).unwrap());
    }

    #[test]
    fn a_file_that_another_is_just_opening_is_unavailable_after_a_while() {
        let place = Place::new();
        let gate = lock_gate(&place.config()).unwrap();
        let error = open(&place.config().open_timeout(Duration::from_millis(20))).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        drop(gate);
        open(&place.config()).unwrap();
    }

    #[test]
    fn the_parts_of_the_file_do_not_overlap() {
        let place = Place::new();
        let geometry = place.config().geometry().unwrap();
        assert_eq!(geometry.shard_at(0), SUPERBLOCK_BYTES);
        assert_eq!(geometry.extent_words_at(), SUPERBLOCK_BYTES + SHARD_BYTES);
        assert!(geometry.base >= geometry.extent_words_at() + u64::from(geometry.extents) * 8);
        assert!(geometry.extent_at(geometry.extents) <= geometry.max_bytes);
    }
}
