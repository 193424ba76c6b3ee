//! The harness of the reference driver and its mutants.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use session_conformance::{FileRange, Harness, HarnessError};
use session_core::{Clock, Key};

use super::log::Log;
use super::trouble::Trouble as Mark;
use super::{Between, Defect, Reference};

/// The reference driver, or a mutant of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReferenceHarness {
    pub defect: Option<Defect>,
    /// Whether every step is synced to the disk, and survival of power loss claimed.
    pub power: bool,
}

/// A directory of the test's own, or another process's path.
#[derive(Debug)]
pub struct Storage {
    path: PathBuf,
    _dir: Option<tempfile::TempDir>,
}

impl Harness for ReferenceHarness {
    type Driver = Between;
    type Storage = Storage;

    fn name(&self) -> String {
        "reference".into()
    }

    async fn create(&self) -> Result<Storage, HarnessError> {
        let dir = tempfile::tempdir()?;
        Ok(Storage { path: dir.path().join("log"), _dir: Some(dir) })
    }

    async fn open(&self, storage: &Storage, clock: Arc<dyn Clock>) -> Result<Between, HarnessError> {
        let reference = Reference::open(&storage.path, clock, self.defect, self.power)?;
        Ok(Between::new(reference, self.defect))
    }

    async fn damage(&self, storage: &Storage, key: &Key) -> Result<(), HarnessError> {
        let region = self.record_bytes(storage, key).await?;
        let last = region.from + region.len as u64 - 1;
        // A file opened for appending would write at its end.
        let file = std::fs::OpenOptions::new().write(true).read(true).open(&region.path)?;
        let mut byte = [0];
        file.read_exact_at(&mut byte, last)?;
        file.write_all_at(&[byte[0] ^ 0x40], last)?;
        Ok(())
    }

    async fn record_bytes(&self, storage: &Storage, key: &Key) -> Result<FileRange, HarnessError> {
        let mut log = Log::open(&storage.path, None)?;
        log.catch_up()?;
        let (from, len) = log.frame_of(key).ok_or_else(|| HarnessError::new("no such record to damage"))?;
        Ok(FileRange { path: storage.path.clone(), from, len })
    }

    async fn start_outage(&self, storage: &Storage) -> Result<(), HarnessError> {
        Ok(std::fs::write(Mark::Gone.file(&storage.path), "")?)
    }

    async fn end_outage(&self, storage: &Storage) -> Result<(), HarnessError> {
        Ok(std::fs::remove_file(Mark::Gone.file(&storage.path))?)
    }

    async fn create_bounded(&self) -> Result<Storage, HarnessError> {
        let storage = self.create().await?;
        std::fs::write(Mark::Small.file(&storage.path), "1000000")?;
        Ok(storage)
    }

    async fn revoke_access(&self, storage: &Storage) -> Result<(), HarnessError> {
        Ok(std::fs::write(Mark::Denied.file(&storage.path), "")?)
    }

    async fn restore_access(&self, storage: &Storage) -> Result<(), HarnessError> {
        Ok(std::fs::remove_file(Mark::Denied.file(&storage.path))?)
    }

    fn address(&self, storage: &Storage) -> Option<String> {
        storage.path.to_str().map(str::to_owned)
    }

    fn attach(&self, address: &str) -> Result<Storage, HarnessError> {
        Ok(Storage { path: Path::new(address).to_owned(), _dir: None })
    }

    fn power_evidence(&self) -> Option<String> {
        let named = self.power && self.defect != Some(Defect::PowerWithoutEvidence);
        named.then(|| "sync_data before every answer, in the reference's step()".into())
    }
}
