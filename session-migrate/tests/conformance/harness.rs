//! The harness: two stores, and a migration from one to the other.

use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use session_conformance::testing::{FreshPath, set_modes};
use session_conformance::{Harness, HarnessError};
use session_core::{Clock, DynDriver, Result};
use session_migrate::Migrating;
use session_store_memory::{MemoryConfig, MemoryStore};
use session_store_mmap::{MmapConfig, MmapStore};
use session_store_sqlite::{SqliteConfig, SqliteStore};

use crate::copier::{Copier, Shared};
use crate::first::FirstInOld;

const MAX_RECORD_BYTES: u64 = 4 << 20;

pub(crate) struct Moving {
    pub(crate) name: &'static str,
    pub(crate) stores: Stores,
    pub(crate) phase: Phase,
}

#[derive(Clone, Copy)]
pub(crate) enum Stores {
    Memory,
    SqliteToMmap,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Before,
    During,
    After,
}

pub(crate) struct Storage {
    /// Before the stores, because it must end first.
    copier: OnceLock<Copier>,
    memory: OnceLock<(DynDriver, DynDriver)>,
    shared: Arc<Shared>,
    /// The directory of the stores. The marks are beside it.
    path: FreshPath,
}

impl Storage {
    fn at(path: FreshPath) -> Self {
        Self { copier: OnceLock::new(), memory: OnceLock::new(), shared: Arc::default(), path }
    }
}

impl Stores {
    fn open(self, storage: &Storage, clock: &Arc<dyn Clock>) -> Result<(DynDriver, DynDriver)> {
        let at = |name: &str| storage.path.path().join(name);
        match self {
            Self::Memory => {
                let fresh = || {
                    let config = MemoryConfig::new().max_record_bytes(MAX_RECORD_BYTES).clock(clock.clone());
                    MemoryStore::open(config).map(DynDriver::new)
                };
                let fresh = (fresh()?, fresh()?);
                Ok(storage.memory.get_or_init(|| fresh).clone())
            }
            Self::SqliteToMmap => {
                let old = SqliteConfig::new(at("old.db")).max_record_bytes(MAX_RECORD_BYTES);
                let new =
                    MmapConfig::new(at("new.map")).max_record_bytes(MAX_RECORD_BYTES).max_bytes(256 << 20);
                Ok((
                    DynDriver::new(SqliteStore::open(old.clock(clock.clone()))?),
                    DynDriver::new(MmapStore::open(new.clock(clock.clone()))?),
                ))
            }
        }
    }
}

impl Harness for Moving {
    type Driver = FirstInOld;
    type Storage = Storage;

    fn name(&self) -> String {
        self.name.into()
    }

    async fn create(&self) -> Result<Storage, HarnessError> {
        let path = FreshPath::new("stores")?;
        fs::create_dir(path.path())?;
        fs::create_dir(path.beside("marks"))?;
        Ok(Storage::at(path))
    }

    async fn open(&self, storage: &Storage, clock: Arc<dyn Clock>) -> Result<FirstInOld, HarnessError> {
        let (old, new) = self.stores.open(storage, &clock)?;
        if self.phase == Phase::During && storage.path.is_owner() && storage.copier.get().is_none() {
            let (old, new) = self.stores.open(storage, &clock)?;
            storage.copier.get_or_init(|| {
                Copier::start(old, new, Arc::clone(&storage.shared), storage.path.beside("pass"))
            });
        }
        Ok(FirstInOld {
            migrating: Migrating::open(old, new).await?,
            marks: (self.phase != Phase::After).then(|| storage.path.beside("marks")),
            shared: Arc::clone(&storage.shared),
            pass: storage.path.beside("pass"),
        })
    }

    fn address(&self, storage: &Storage) -> Option<String> {
        storage.path.address()
    }

    fn attach(&self, address: &str) -> Result<Storage, HarnessError> {
        if !Path::new(address).is_dir() {
            return Err(HarnessError::new("no stores at this address"));
        }
        Ok(Storage::at(FreshPath::of_another(address)))
    }

    async fn revoke_access(&self, storage: &Storage) -> Result<(), HarnessError> {
        Ok(set_modes(storage.path.path(), 0o000, 0o000)?)
    }

    async fn restore_access(&self, storage: &Storage) -> Result<(), HarnessError> {
        Ok(set_modes(storage.path.path(), 0o700, 0o600)?)
    }
}
