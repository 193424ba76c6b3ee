//! The conformance suite over the mmap driver.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use session_conformance::testing::{FreshPath, SmallDisk};
use session_conformance::{FileRange, Harness, HarnessError};
use session_core::{Clock, Key};
use session_store_mmap::{MmapConfig, MmapStore, OnFull};

struct Mapped {
    name: &'static str,
    config: fn(MmapConfig) -> MmapConfig,
}

struct Storage {
    path: FreshPath,
    /// Applied after the harness's own options.
    change: fn(MmapConfig) -> MmapConfig,
    _disk: Option<SmallDisk>,
}

impl Storage {
    fn at(path: FreshPath, change: fn(MmapConfig) -> MmapConfig) -> Self {
        Self { path, change, _disk: None }
    }
}

impl Harness for Mapped {
    type Driver = MmapStore;
    type Storage = Storage;

    fn name(&self) -> String {
        self.name.into()
    }

    async fn create(&self) -> Result<Storage, HarnessError> {
        Ok(Storage::at(FreshPath::new("sessions.map")?, |config| config))
    }

    async fn open(&self, storage: &Storage, clock: Arc<dyn Clock>) -> Result<MmapStore, HarnessError> {
        let config = (self.config)(MmapConfig::new(storage.path.path())).clock(clock);
        Ok(MmapStore::open((storage.change)(config))?)
    }

    /// Inverts the first byte of the data.
    async fn damage(&self, storage: &Storage, key: &Key) -> Result<(), HarnessError> {
        let record = find(storage.path.path(), key)?;
        let data = record.from + HEAD as u64 + key.as_bytes().len().next_multiple_of(8) as u64;
        let file = File::options().read(true).write(true).open(storage.path.path())?;
        let mut byte = [0];
        file.read_exact_at(&mut byte, data)?;
        file.write_all_at(&[!byte[0]], data)?;
        Ok(())
    }

    /// The head, the key and the data, up to a whole unit.
    async fn record_bytes(&self, storage: &Storage, key: &Key) -> Result<FileRange, HarnessError> {
        find(storage.path.path(), key)
    }

    /// The slot of the record.
    async fn index_bytes(&self, storage: &Storage, key: &Key) -> Result<FileRange, HarnessError> {
        slot(storage.path.path(), key)
    }

    /// With a short `busy_timeout`, because the outage holds the locks.
    async fn create_isolated(&self) -> Result<Storage, HarnessError> {
        let change = |config: MmapConfig| config.busy_timeout(Duration::from_millis(300));
        Ok(Storage::at(FreshPath::new("sessions.map")?, change))
    }

    /// As a process that is stopped with every lock: the words of the locks name an owner.
    async fn start_outage(&self, storage: &Storage) -> Result<(), HarnessError> {
        set_locks(storage.path.path(), 1)
    }

    async fn end_outage(&self, storage: &Storage) -> Result<(), HarnessError> {
        set_locks(storage.path.path(), 0)
    }

    /// A disk of 4 MiB where this process may mount one, else a file of at most 4 MiB. Without eviction.
    async fn create_bounded(&self) -> Result<Storage, HarnessError> {
        match SmallDisk::mount(4 << 20) {
            Ok(disk) => Ok(Storage {
                path: FreshPath::of_another(disk.path().join("sessions.map")),
                change: |config| config.max_bytes(16 << 20).max_record_bytes(1 << 20).on_full(OnFull::Reject),
                _disk: Some(disk),
            }),
            Err(_) => Ok(Storage::at(FreshPath::new("sessions.map")?, |config| {
                config.max_bytes(4 << 20).max_record_bytes(1 << 20).on_full(OnFull::Reject)
            })),
        }
    }

    /// Takes the rights to the file and its gate.
    async fn revoke_access(&self, storage: &Storage) -> Result<(), HarnessError> {
        set_modes(storage.path.path(), 0o000)
    }

    async fn restore_access(&self, storage: &Storage) -> Result<(), HarnessError> {
        set_modes(storage.path.path(), 0o600)
    }

    async fn take_away(&self, storage: &Storage, replace: bool) -> Result<(), HarnessError> {
        Ok(storage.path.take_away(replace)?)
    }

    async fn put_back(&self, storage: &Storage) -> Result<(), HarnessError> {
        Ok(storage.path.put_back()?)
    }

    fn address(&self, storage: &Storage) -> Option<String> {
        storage.path.path().to_str().map(str::to_owned)
    }

    fn attach(&self, address: &str) -> Result<Storage, HarnessError> {
        Ok(Storage::at(FreshPath::of_another(address), |config| config))
    }
}

/// The length of a record's head. The key follows it.
const HEAD: usize = 128;

/// Where the record of `key` is (FORMAT.md, "Record"). Replaced and moved records have no mark.
fn find(path: &Path, key: &Key) -> Result<FileRange, HarnessError> {
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
            Ok(FileRange { path: path.to_owned(), from: unit as u64 * 64, len: units as usize * 64 })
        }
        _ => Err(HarnessError::new("the key is not in the file exactly once")),
    }
}

/// Where the slot of `key` is (FORMAT.md, "Table").
fn slot(path: &Path, key: &Key) -> Result<FileRange, HarnessError> {
    let record = find(path, key)?;
    let bytes = fs::read(path)?;
    let word = |at: usize| u64::from_ne_bytes(*bytes[at..].first_chunk().expect("a file has whole words"));
    let (extent, shards, extents) = (word(4 * 8) as usize, word(5 * 8), word(6 * 8));
    let base = (4096 + shards * 1024 + extents * 8).next_multiple_of(4096);
    let unit = (record.from - base) / 64 + 2;
    let tables =
        (base as usize..bytes.len()).step_by(extent).filter(|at| bytes[*at..].starts_with(b"SKTABLE\n"));
    let mut slots = tables.flat_map(|table| (table + 64..table + extent).step_by(8));
    let at = slots.find(|at| word(*at) & 0xffff_ffff == unit);
    let at = at.ok_or_else(|| HarnessError::new("no slot leads to the record"))?;
    Ok(FileRange { path: path.to_owned(), from: at as u64, len: 8 })
}

/// Sets the owner of all locks. FORMAT.md has their places, and the C library's mutex begins with its owner.
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

session_conformance::suite!(
    Mapped { name: "mmap", config: |config| config },
    lacks: { AtOnce: "a read that meets a change runs on a worker thread", PowerLoss: "the durability is `Process`: a mapped file is not synchronised before the answer" },
);

/// One shard with small extents, so that every clause meets growing tables, compaction and large records. Evicts when
/// it is full, except in bounded storage.
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
        lacks: { AtOnce: "a read that meets a change runs on a worker thread", PowerLoss: "the durability is `Process`: a mapped file is not synchronised before the answer" },
    );
}
