//! The conformance suite over the mmap driver.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use session_conformance::{Harness, HarnessError, Region};
use session_core::{Clock, Key};
use session_store_mmap::{MmapConfig, MmapStore, OnFull};

/// A file in a directory of the test's own; in a child process only the path of the parent's file.
struct Mapped {
    name: &'static str,
    config: fn(MmapConfig) -> MmapConfig,
}

struct Storage {
    path: PathBuf,
    /// What is different from the other storages of the harness.
    change: fn(MmapConfig) -> MmapConfig,
    /// Gone before the directory is removed.
    _disk: Option<Disk>,
    _directory: Option<tempfile::TempDir>,
}

impl Storage {
    fn fresh() -> Result<Self, HarnessError> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("sessions.map");
        Ok(Self { path, change: |config| config, _disk: None, _directory: Some(directory) })
    }
}

impl Harness for Mapped {
    type Driver = MmapStore;
    type Storage = Storage;

    fn name(&self) -> String {
        self.name.into()
    }

    async fn create(&self) -> Result<Storage, HarnessError> {
        Storage::fresh()
    }

    async fn open(&self, storage: &Storage, clock: Arc<dyn Clock>) -> Result<MmapStore, HarnessError> {
        let config = (self.config)(MmapConfig::new(&storage.path)).clock(clock);
        Ok(MmapStore::open((storage.change)(config))?)
    }

    /// Bends the first byte of the data.
    async fn damage(&self, storage: &Storage, key: &Key) -> Result<(), HarnessError> {
        let record = find(&storage.path, key)?;
        let data = record.from + HEAD as u64 + key.as_bytes().len().next_multiple_of(8) as u64;
        let file = File::options().read(true).write(true).open(&storage.path)?;
        let mut byte = [0];
        file.read_exact_at(&mut byte, data)?;
        file.write_all_at(&[!byte[0]], data)?;
        Ok(())
    }

    /// The head, the key and the data, with what is missing to a whole unit.
    async fn record_bytes(&self, storage: &Storage, key: &Key) -> Result<Region, HarnessError> {
        find(&storage.path, key)
    }

    /// Locks that are waited for shortly, for they are what will be held.
    async fn create_isolated(&self) -> Result<Storage, HarnessError> {
        let change = |config: MmapConfig| config.busy_timeout(Duration::from_millis(300));
        Ok(Storage { change, ..Storage::fresh()? })
    }

    /// What a process does that is stopped while it holds every lock: their words say that somebody has them.
    async fn start_outage(&self, storage: &Storage) -> Result<(), HarnessError> {
        set_locks(&storage.path, 1)
    }

    async fn end_outage(&self, storage: &Storage) -> Result<(), HarnessError> {
        set_locks(&storage.path, 0)
    }

    /// A disk of four mebibytes where one may be mounted, else a file that may not become larger. It refuses, also where
    /// the other storages of the harness evict.
    async fn create_bounded(&self) -> Result<Storage, HarnessError> {
        let storage = Storage::fresh()?;
        let directory =
            storage.path.parent().ok_or_else(|| HarnessError::new("a path without a directory"))?;
        let disk = Disk::mount(directory, 4 << 20);
        let change: fn(MmapConfig) -> MmapConfig = match disk {
            Some(_) => |config| config.max_bytes(16 << 20).max_record_bytes(1 << 20).on_full(OnFull::Reject),
            None => |config| config.max_bytes(4 << 20).max_record_bytes(1 << 20).on_full(OnFull::Reject),
        };
        Ok(Storage { change, _disk: disk, ..storage })
    }

    /// Neither the file nor its gate may be opened any more.
    async fn revoke_access(&self, storage: &Storage) -> Result<(), HarnessError> {
        set_modes(&storage.path, 0o000)
    }

    async fn restore_access(&self, storage: &Storage) -> Result<(), HarnessError> {
        set_modes(&storage.path, 0o600)
    }

    fn address(&self, storage: &Storage) -> Option<String> {
        storage.path.to_str().map(str::to_owned)
    }

    fn attach(&self, address: &str) -> Result<Storage, HarnessError> {
        let path = Path::new(address).to_owned();
        Ok(Storage { path, change: |config| config, _disk: None, _directory: None })
    }
}

/// The head of a record, in bytes: the key follows it.
const HEAD: usize = 128;

/// Where the record of `key` stands: FORMAT.md, "Record". What was replaced or moved has lost its mark.
fn find(path: &Path, key: &Key) -> Result<Region, HarnessError> {
    let bytes = fs::read(path)?;
    let key = key.as_bytes();
    let mut places = bytes.chunks_exact(64).enumerate().filter(|(unit, chunk)| {
        let shape = [0x5e55_u16.to_ne_bytes(), (key.len() as u16).to_ne_bytes()].concat();
        let head = unit * 64;
        chunk.starts_with(&shape) && bytes.get(head + HEAD..).is_some_and(|rest| rest.starts_with(key))
    });
    match (places.next(), places.next()) {
        (Some((unit, chunk)), None) => {
            let units = u32::from_ne_bytes(chunk[4..8].try_into()?);
            Ok(Region { path: path.to_owned(), from: unit as u64 * 64, len: units as usize * 64 })
        }
        _ => Err(HarnessError::new("the key does not stand in the file exactly once")),
    }
}

/// Sets the owner of all locks: FORMAT.md has where they stand, and the C library begins a lock with its owner.
fn set_locks(path: &Path, owner: u32) -> Result<(), HarnessError> {
    let file = File::options().read(true).write(true).open(path)?;
    let mut shards = [0; 8];
    file.read_exact_at(&mut shards, 5 * 8)?;
    let shards = (0..u64::from_ne_bytes(shards)).map(|shard| 4096 + shard * 1024);
    for lock in std::iter::once(64 * 8).chain(shards) {
        file.write_all_at(&owner.to_ne_bytes(), lock)?;
    }
    Ok(())
}

fn set_modes(path: &Path, mode: u32) -> Result<(), HarnessError> {
    for path in [path.to_owned(), path.with_extension("map.gate")] {
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// A disk in memory, mounted over a directory.
struct Disk(PathBuf);

impl Disk {
    /// `None` where mounting is not allowed.
    fn mount(directory: &Path, bytes: u64) -> Option<Self> {
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", &format!("size={bytes},mode=700"), "session-kit"]);
        let done = mount.arg(directory).output().ok()?;
        done.status.success().then(|| Self(directory.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Also while a handle still has the file open.
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{} stays mounted", self.0.display());
    }
}

session_conformance::suite!(
    Mapped { name: "mmap", config: |config| config },
    lacks: { PowerLoss: "the durability is `Process`: a mapped file is not synchronised before the answer" },
);

/// A file of one shard and small extents: every clause meets growing tables, compaction and large records. It evicts
/// when it is full, except where a clause asks for small storage.
mod small {
    use super::{Mapped, OnFull};

    session_conformance::suite!(
        Mapped {
            name: "mmap-small",
            config: |config| {
                config
                    .max_bytes(16 << 20)
                    .extent_bytes(4096)
                    .shards(1)
                    .max_record_bytes(4 << 20)
                    .on_full(OnFull::Evict)
            },
        },
        lacks: { PowerLoss: "the durability is `Process`: a mapped file is not synchronised before the answer" },
    );
}
