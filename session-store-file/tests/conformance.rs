//! The conformance suite over the file driver.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::mount::{MountFlags, UnmountFlags};
use session_conformance::{Harness, HarnessError, Region};
use session_core::{Clock, Key};
use session_store_file::{Durability, FileConfig, FileStore};

/// A directory of the test's own; in a child process only the path of the parent's.
struct OnDisk(Durability);

struct Storage {
    path: PathBuf,
    // Unmounted before the directory below it is removed.
    _disk: Option<Disk>,
    _directory: Option<tempfile::TempDir>,
}

impl Storage {
    /// Where the directory is while it is away.
    fn aside(&self) -> PathBuf {
        self.path.with_extension("aside")
    }
}

/// A small file system in memory, mounted on a directory.
struct Disk(PathBuf);

impl Disk {
    /// Room for some 50 records of 16 KiB.
    fn mount(on: &Path) -> Result<Self, HarnessError> {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        rustix::mount::mount("tmpfs", on, "tmpfs", flags, c"size=1m,mode=700").map_err(|errno| {
            let how = "a small disk is mounted for this clause: run it as root, or under `unshare -r -m`";
            HarnessError::new(format!("{how}: {errno}"))
        })?;
        Ok(Self(on.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Handles may still be closing theirs; the mount goes when the last of them has.
        let _ = rustix::mount::unmount(&self.0, UnmountFlags::DETACH);
    }
}

impl Harness for OnDisk {
    type Driver = FileStore;
    type Storage = Storage;

    fn name(&self) -> String {
        match self.0 {
            Durability::Process => "file".into(),
            Durability::Power => "file-power".into(),
        }
    }

    async fn create(&self) -> Result<Storage, HarnessError> {
        let directory = tempfile::tempdir()?;
        Ok(Storage { path: directory.path().join("sessions"), _disk: None, _directory: Some(directory) })
    }

    async fn open(&self, storage: &Storage, clock: Arc<dyn Clock>) -> Result<FileStore, HarnessError> {
        let config = FileConfig::new(&storage.path).create_directory(true);
        Ok(FileStore::open(config.durability(self.0).clock(clock))?)
    }

    async fn damage(&self, storage: &Storage, key: &Key) -> Result<(), HarnessError> {
        let path = record_of(&storage.path, key)?;
        let mut bytes = fs::read(&path)?;
        let last = bytes.last_mut().ok_or_else(|| HarnessError::new("the file is empty"))?;
        *last ^= 1;
        Ok(fs::write(&path, bytes)?)
    }

    async fn record_bytes(&self, storage: &Storage, key: &Key) -> Result<Region, HarnessError> {
        let path = record_of(&storage.path, key)?;
        let len = usize::try_from(fs::metadata(&path)?.len())?;
        Ok(Region { path, from: 0, len })
    }

    async fn start_outage(&self, storage: &Storage) -> Result<(), HarnessError> {
        fs::rename(&storage.path, storage.aside())?;
        // With one of the two an empty directory is left behind, as by a disk that is unmounted.
        if self.0 == Durability::Power {
            fs::create_dir(&storage.path)?;
        }
        Ok(())
    }

    async fn end_outage(&self, storage: &Storage) -> Result<(), HarnessError> {
        // It fails if anything was made in the empty directory.
        Ok(fs::rename(storage.aside(), &storage.path)?)
    }

    async fn create_bounded(&self) -> Result<Storage, HarnessError> {
        let directory = tempfile::tempdir()?;
        let disk = Disk::mount(directory.path())?;
        let path = directory.path().join("sessions");
        Ok(Storage { path, _disk: Some(disk), _directory: Some(directory) })
    }

    async fn revoke_access(&self, storage: &Storage) -> Result<(), HarnessError> {
        match self.0 {
            // Nobody may even look into the directory.
            Durability::Process => Ok(fs::set_permissions(&storage.path, Permissions::from_mode(0o000))?),
            // Everything may be read, and nothing be changed.
            Durability::Power => set_modes(&storage.path, 0o500, 0o400),
        }
    }

    async fn restore_access(&self, storage: &Storage) -> Result<(), HarnessError> {
        fs::set_permissions(&storage.path, Permissions::from_mode(0o700))?;
        set_modes(&storage.path, 0o700, 0o600)
    }

    fn address(&self, storage: &Storage) -> Option<String> {
        storage.path.to_str().map(str::to_owned)
    }

    fn power_evidence(&self) -> Option<String> {
        let power = self.0 == Durability::Power;
        power.then(|| "the file and its directory are synchronised before a change is answered".into())
    }

    fn attach(&self, address: &str) -> Result<Storage, HarnessError> {
        Ok(Storage { path: Path::new(address).to_owned(), _disk: None, _directory: None })
    }
}

/// Sets the modes of a directory, and of the directories and files below it.
fn set_modes(directory: &Path, of_directories: u32, of_files: u32) -> Result<(), HarnessError> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            set_modes(&entry.path(), of_directories, of_files)?;
        } else {
            fs::set_permissions(entry.path(), Permissions::from_mode(of_files))?;
        }
    }
    Ok(fs::set_permissions(directory, Permissions::from_mode(of_directories))?)
}

/// The file that holds the record of a key: found by looking, for the names are the driver's own business.
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
    Err(HarnessError::new("no file holds the record to damage"))
}

session_conformance::suite!(
    OnDisk(Durability::Process),
    lacks: { PowerLoss: "opened with the durability `Process`" },
);

mod power {
    use super::{Durability, OnDisk};

    session_conformance::suite!(OnDisk(Durability::Power));
}
