//! The conformance suite over the file driver.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use session_conformance::{Harness, Trouble};
use session_core::{Clock, Key};
use session_store_file::{Config, Durability, File};

/// A directory of the test's own; in a child process only the path of the parent's.
struct OnDisk(Durability);

struct Storage {
    path: PathBuf,
    _directory: Option<tempfile::TempDir>,
}

impl Harness for OnDisk {
    type Driver = File;
    type Storage = Storage;

    fn name(&self) -> String {
        match self.0 {
            Durability::Process => "file".into(),
            Durability::Power => "file-power".into(),
        }
    }

    async fn make(&self) -> Result<Storage, Trouble> {
        let directory = tempfile::tempdir()?;
        Ok(Storage { path: directory.path().join("sessions"), _directory: Some(directory) })
    }

    async fn open(&self, storage: &Storage, clock: Arc<dyn Clock>) -> Result<File, Trouble> {
        let config = Config::new(&storage.path).create_directory(true);
        Ok(File::open(config.durability(self.0).clock(clock))?)
    }

    async fn damage(&self, storage: &Storage, key: &Key) -> Result<(), Trouble> {
        let path = record_of(&storage.path, key)?;
        let mut bytes = fs::read(&path)?;
        let last = bytes.last_mut().ok_or_else(|| Trouble::new("the file is empty"))?;
        *last ^= 1;
        Ok(fs::write(&path, bytes)?)
    }

    fn address(&self, storage: &Storage) -> Option<String> {
        storage.path.to_str().map(str::to_owned)
    }

    fn power_evidence(&self) -> Option<String> {
        let power = self.0 == Durability::Power;
        power.then(|| "the file and its directory are synchronised before a change is answered".into())
    }

    fn attach(&self, address: &str) -> Result<Storage, Trouble> {
        Ok(Storage { path: Path::new(address).to_owned(), _directory: None })
    }
}

/// The file that holds the record of a key: found by looking, for the names are the driver's own business.
fn record_of(root: &Path, key: &Key) -> Result<PathBuf, Trouble> {
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
    Err(Trouble::new("no file holds the record to damage"))
}

session_conformance::suite!(
    OnDisk(Durability::Process),
    lacks: { PowerLoss: "opened with the durability `Process`" },
);

mod power {
    use super::{Durability, OnDisk};

    session_conformance::suite!(OnDisk(Durability::Power));
}
