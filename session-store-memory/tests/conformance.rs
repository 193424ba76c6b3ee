//! The conformance suite over the memory driver.

use std::sync::{Arc, OnceLock};

use session_conformance::{Harness, HarnessError};
use session_core::Clock;
use session_store_memory::{MemoryConfig, MemoryStore};

/// The first handle opens the store with its clock; the others are clones.
struct InMemory;

#[derive(Default)]
struct Storage {
    store: OnceLock<MemoryStore>,
    max_bytes: Option<u64>,
}

impl Harness for InMemory {
    type Driver = MemoryStore;
    type Storage = Storage;

    fn name(&self) -> String {
        "memory".into()
    }

    async fn create(&self) -> Result<Storage, HarnessError> {
        Ok(Storage::default())
    }

    async fn open(&self, storage: &Storage, clock: Arc<dyn Clock>) -> Result<MemoryStore, HarnessError> {
        let mut config = MemoryConfig::new().max_record_bytes(4 << 20).clock(clock);
        if let Some(bytes) = storage.max_bytes {
            config = config.max_bytes(bytes);
        }
        let fresh = MemoryStore::open(config)?;
        Ok(storage.store.get_or_init(|| fresh).clone())
    }

    async fn create_bounded(&self) -> Result<Storage, HarnessError> {
        Ok(Storage { max_bytes: Some(8 << 20), ..Storage::default() })
    }
}

session_conformance::suite!(
    InMemory,
    lacks: {
        Close: "the data goes with the process",
        Kill: "the data goes with the process",
        PowerLoss: "the data goes with the process",
        Processes: "processes do not share memory",
        Damage: "only the driver can reach its memory",
        Checksum: "only the driver can reach its memory",
        Index: "only the driver can reach its memory",
        Outage: "the memory is available as long as the process runs",
        Permission: "a process always has access to its memory",
        Files: "the store has no files",
    },
);
