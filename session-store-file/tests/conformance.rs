//! The conformance suite over the file driver.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use session_conformance::testing::{FreshPath, set_modes};
use session_conformance::{FileRange, Harness, HarnessError};
use session_core::{Clock, Key};
use session_store_file::{Durability, FileConfig, FileStore};

/// The driver with this durability.
struct FileHarness {
    name: &'static str,
    durability: Durability,
}

impl Harness for FileHarness {
    type Driver = FileStore;
    type Storage = FreshPath;

    fn name(&self) -> String {
        self.name.into()
    }

    async fn create(&self) -> Result<FreshPath, HarnessError> {
        Ok(FreshPath::new("sessions")?)
    }

    async fn open(&self, storage: &FreshPath, clock: Arc<dyn Clock>) -> Result<FileStore, HarnessError> {
        let config = FileConfig::from(storage.path()).create_directory(true);
        Ok(FileStore::open(config.durability(self.durability).clock(clock))?)
    }

    async fn damage(&self, storage: &FreshPath, key: &Key) -> Result<(), HarnessError> {
        let path = record_of(storage.path(), key)?;
        let mut bytes = fs::read(&path)?;
        let last = bytes.last_mut().ok_or_else(|| HarnessError::new("the file is empty"))?;
        *last ^= 1;
        Ok(fs::write(&path, bytes)?)
    }

    async fn record_bytes(&self, storage: &FreshPath, key: &Key) -> Result<FileRange, HarnessError> {
        let path = record_of(storage.path(), key)?;
        let len = usize::try_from(fs::metadata(&path)?.len())?;
        Ok(FileRange { path, from: 0, len })
    }

    async fn start_outage(&self, storage: &FreshPath) -> Result<(), HarnessError> {
        fs::rename(storage, storage.beside("aside"))?;
        // In one of two forms an empty directory is left, as by an unmounted disk.
        if self.durability == Durability::Power {
            fs::create_dir(storage)?;
        }
        Ok(())
    }

    async fn end_outage(&self, storage: &FreshPath) -> Result<(), HarnessError> {
        // Fails if anything was created in the empty directory.
        Ok(fs::rename(storage.beside("aside"), storage)?)
    }

    async fn create_bounded(&self) -> Result<FreshPath, HarnessError> {
        // Room for some 50 records of 16 KiB.
        FreshPath::on_small_disk("sessions", 1 << 20).map_err(|error| {
            let how = "this clause mounts a small disk: run it as root, or under `unshare -r -m`";
            HarnessError::new(format!("{how}: {error}"))
        })
    }

    async fn revoke_access(&self, storage: &FreshPath) -> Result<(), HarnessError> {
        match self.durability {
            // The directory cannot even be searched.
            Durability::Process => Ok(fs::set_permissions(storage, Permissions::from_mode(0o000))?),
            // Everything is readable and nothing is writable.
            Durability::Power => Ok(set_modes(storage.path(), 0o500, 0o400)?),
        }
    }

    async fn restore_access(&self, storage: &FreshPath) -> Result<(), HarnessError> {
        Ok(set_modes(storage.path(), 0o700, 0o600)?)
    }

    async fn take_away(&self, storage: &FreshPath, replace: bool) -> Result<(), HarnessError> {
        Ok(storage.take_away(replace)?)
    }

    async fn put_back(&self, storage: &FreshPath) -> Result<(), HarnessError> {
        Ok(storage.put_back()?)
    }

    fn address(&self, storage: &FreshPath) -> Option<String> {
        storage.address()
    }

    fn power_evidence(&self) -> Option<String> {
        let power = self.durability == Durability::Power;
        power.then(|| "file and directory are synchronised before a change is answered".into())
    }

    fn attach(&self, address: &str) -> Result<FreshPath, HarnessError> {
        Ok(FreshPath::of_another(address))
    }
}

/// The file that holds the record of a key. Searched for, because the names belong to the driver.
fn record_of(root: &Path, key: &Key) -> Result<PathBuf, HarnessError> {
    for shard in fs::read_dir(root)?.filter_map(Result::ok).filter(|entry| entry.path().is_dir()) {
        for folder in fs::read_dir(shard.path())? {
            for file in fs::read_dir(folder?.path())? {
                let path = file?.path();
                let bytes = fs::read(&path)?;
                if bytes.get(64..64 + key.as_bytes().len()) == Some(key.as_bytes()) {
                    return Ok(path);
                }
            }
        }
    }
    Err(HarnessError::new("no file holds the record"))
}

session_conformance::suite!(
    FileHarness { name: "file", durability: Durability::Process },
    lacks: { AtOnce: "a large file is read on a worker thread",
        PowerLoss: "opened with the durability `Process`",
        Index: "the kernel finds the files; a file under the name of another key is in driver/damage.rs",
    },
);

mod power {
    use super::{Durability, FileHarness};

    session_conformance::suite!(
        FileHarness { name: "file-power", durability: Durability::Power },
        lacks: { AtOnce: "a large file is read on a worker thread", Index: "the kernel finds the files; a file under the name of another key is in driver/damage.rs" },
    );
}
