//! The harness of the reference driver and its mutants.

use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use session_conformance::testing::FreshPath;
use session_conformance::{FileRange, Harness, HarnessError, HarnessResult};
use session_core::{Clock, Key, SystemClock};

use super::{Defect, Defective, Reference};

/// The reference driver, or a mutant of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReferenceHarness {
    pub defect: Defect,
    /// Whether every step is synced to the disk, and survival of power loss claimed.
    pub power: bool,
    /// Whether only one handle at a time can open the storage, on this host.
    pub exclusive: bool,
    /// Whether `free_space` enlarges bounded storage.
    pub grows: bool,
}

impl Harness for ReferenceHarness {
    type Driver = Defective;
    type Storage = FreshPath;

    fn name(&self) -> String {
        "reference".into()
    }

    async fn create(&self) -> HarnessResult<FreshPath> {
        Ok(FreshPath::new("log")?)
    }

    async fn open(&self, storage: &FreshPath, clock: Arc<dyn Clock>) -> HarnessResult<Defective> {
        if std::fs::File::open("/").is_err() {
            return Err(HarnessError::new(session_core::StoreErrorKind::Unavailable.to_string()));
        }
        let lock = if self.exclusive { Some(lock(storage).await?) } else { None };
        Ok(Defective::open(storage.path(), clock, self.defect, self.power)?.holding(lock))
    }

    async fn damage(&self, storage: &FreshPath, key: &Key) -> HarnessResult<()> {
        let region = self.record_bytes(storage, key).await?;
        let last = region.from + region.len as u64 - 1;
        // A file opened for appending would write at its end.
        let file = std::fs::OpenOptions::new().write(true).read(true).open(&region.path)?;
        let mut byte = [0];
        file.read_exact_at(&mut byte, last)?;
        file.write_all_at(&[byte[0] ^ 0x40], last)?;
        Ok(())
    }

    async fn record_bytes(&self, storage: &FreshPath, key: &Key) -> HarnessResult<FileRange> {
        let path = storage.path().to_owned();
        let frame = Reference::open(&path, SystemClock::shared(), Defect::Nothing, false)?.frame(key)?;
        let (from, len) = frame.ok_or_else(|| HarnessError::new("no such record to damage"))?;
        Ok(FileRange { path, from, len })
    }

    /// The key of the log's entry, beside the frame that has the key too.
    async fn index_bytes(&self, storage: &FreshPath, key: &Key) -> HarnessResult<FileRange> {
        let FileRange { path, from, .. } = self.record_bytes(storage, key).await?;
        let len = key.as_bytes().len();
        Ok(FileRange { path, from: from - len as u64, len })
    }

    async fn start_outage(&self, storage: &FreshPath) -> HarnessResult<()> {
        Ok(std::fs::write(storage.beside("log.gone"), "")?)
    }

    async fn end_outage(&self, storage: &FreshPath) -> HarnessResult<()> {
        Ok(std::fs::remove_file(storage.beside("log.gone"))?)
    }

    async fn create_bounded(&self) -> HarnessResult<FreshPath> {
        let storage = self.create().await?;
        std::fs::write(storage.beside("log.small"), "1000000")?;
        Ok(storage)
    }

    async fn free_space(&self, storage: &FreshPath) -> HarnessResult<bool> {
        if self.grows {
            std::fs::write(storage.beside("log.small"), "4000000")?;
        }
        Ok(self.grows)
    }

    async fn revoke_access(&self, storage: &FreshPath) -> HarnessResult<()> {
        Ok(std::fs::write(storage.beside("log.denied"), "")?)
    }

    async fn restore_access(&self, storage: &FreshPath) -> HarnessResult<()> {
        Ok(std::fs::remove_file(storage.beside("log.denied"))?)
    }

    async fn take_away(&self, storage: &FreshPath, replace: bool) -> HarnessResult<()> {
        Ok(storage.take_away(replace)?)
    }

    async fn put_back(&self, storage: &FreshPath) -> HarnessResult<()> {
        Ok(storage.put_back()?)
    }

    fn address(&self, storage: &FreshPath) -> Option<String> {
        storage.path().to_str().map(str::to_owned)
    }

    fn attach(&self, address: &str) -> HarnessResult<FreshPath> {
        Ok(FreshPath::of_another(address))
    }

    fn power_evidence(&self) -> Option<String> {
        let named = self.power && self.defect != Defect::PowerWithoutEvidence;
        named.then(|| "sync_data before every answer, in the reference's step()".into())
    }
}

/// An exclusive lock of the storage. A child of another test inherits it between fork and exec, so a failure is retried.
async fn lock(storage: &FreshPath) -> HarnessResult<std::fs::File> {
    let file = std::fs::File::create(storage.beside("log.exclusive"))?;
    for _ in 0..100 {
        if file.try_lock().is_ok() {
            return Ok(file);
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Err(HarnessError::new("the storage is open in another handle"))
}
