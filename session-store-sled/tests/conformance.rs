//! The conformance suite over the sled driver, with and without flushing each change.

#![allow(clippy::disallowed_methods, reason = "waits for another process, which no test clock moves")]

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use session_conformance::testing::FreshPath;
use session_conformance::{Harness, HarnessError};
use session_core::{Clock, Driver, Key, StoreErrorKind};
use session_store_sled::{SledConfig, SledStore};

/// The driver with this value of `flush_each_change`.
struct SledHarness {
    flushes: bool,
}

struct Storage {
    path: FreshPath,
    /// Shared by the open handles, because a process can open a database once only.
    open: Mutex<Weak<Shared>>,
    /// Whether the store opens a database of its own, by its path.
    own: bool,
}

struct Shared {
    database: sled::Db,
    /// With `flush_each_change` handles are clones of one store, because only that knows the unflushed changes.
    store: Mutex<Option<SledStore>>,
}

impl Storage {
    fn at(path: FreshPath) -> Self {
        Self { path, open: Mutex::default(), own: false }
    }

    fn shared(&self) -> Result<Arc<Shared>, HarnessError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = open.upgrade() {
            return Ok(shared);
        }
        let mut tries = 0;
        loop {
            match sled::Config::new().path(&self.path).open() {
                Ok(database) => {
                    let shared = Arc::new(Shared { database, store: Mutex::default() });
                    *open = Arc::downgrade(&shared);
                    return Ok(shared);
                }
                // The thread of a dropped store, or a process that was just killed, may still hold the lock.
                Err(sled::Error::Io(_)) if tries < 1_000 => tries += 1,
                Err(error) => return Err(error.into()),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Shared {
    fn new_store(&self, flushes: bool, clock: Arc<dyn Clock>) -> Result<SledStore, HarnessError> {
        let config = SledConfig::in_database(self.database.clone()).flush_each_change(flushes).clock(clock);
        Ok(SledStore::open(config.max_record_bytes(4 << 20))?)
    }

    /// A clone of the open store.
    async fn store(&self) -> Option<SledStore> {
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let closed = store.flush().await.is_err_and(|error| error.kind() == StoreErrorKind::Closed);
        (!closed).then_some(store)
    }
}

/// A store, and its database.
#[derive(Clone)]
struct Handle(
    SledStore,
    #[expect(dead_code, reason = "held, so that the next handle shares it")] Option<Arc<Shared>>,
);

impl Driver for Handle {
    session_core::forward!(0: retrieve store store_over remove traverse touch purge flush close capabilities clock);
}

impl Harness for SledHarness {
    type Driver = Handle;
    type Storage = Storage;

    fn name(&self) -> String {
        if self.flushes { "sled-process".into() } else { "sled".into() }
    }

    async fn create(&self) -> Result<Storage, HarnessError> {
        Ok(Storage::at(FreshPath::new("sessions")?))
    }

    /// One handle at a time: sled opens a path once.
    async fn create_isolated(&self) -> Result<Storage, HarnessError> {
        Ok(Storage { own: true, ..self.create().await? })
    }

    async fn open(&self, storage: &Storage, clock: Arc<dyn Clock>) -> Result<Handle, HarnessError> {
        if storage.own {
            let config = SledConfig::new(storage.path.path()).flush_each_change(self.flushes).clock(clock);
            return Ok(Handle(SledStore::open(config)?, None));
        }
        let shared = storage.shared()?;
        if !self.flushes {
            return Ok(Handle(shared.new_store(false, clock)?, Some(shared)));
        }
        let store = match shared.store().await {
            Some(store) => store,
            None => shared.new_store(true, clock)?,
        };
        *shared.store.lock().unwrap_or_else(PoisonError::into_inner) = Some(store.clone());
        Ok(Handle(store, Some(shared)))
    }

    /// Flips a bit of the stored frame, through another handle on the tree.
    async fn damage(&self, storage: &Storage, key: &Key) -> Result<(), HarnessError> {
        let tree = storage.shared()?.database.open_tree("session-kit")?;
        let frame = tree.get(key.as_bytes())?.ok_or_else(|| HarnessError::new("no record to damage"))?;
        let mut frame = frame.to_vec();
        *frame.last_mut().ok_or_else(|| HarnessError::new("empty record"))? ^= 1;
        tree.insert(key.as_bytes(), frame)?;
        Ok(())
    }

    async fn take_away(&self, storage: &Storage, replace: bool) -> Result<(), HarnessError> {
        Ok(storage.path.take_away(replace)?)
    }

    async fn put_back(&self, storage: &Storage) -> Result<(), HarnessError> {
        Ok(storage.path.put_back()?)
    }

    fn address(&self, storage: &Storage) -> Option<String> {
        storage.path.address()
    }

    fn attach(&self, address: &str) -> Result<Storage, HarnessError> {
        // F11 attaches through a link. Only a store with a database of its own knows the path.
        let own = std::fs::symlink_metadata(address).is_ok_and(|found| found.is_symlink());
        Ok(Storage { own, ..Storage::at(FreshPath::of_another(address)) })
    }
}

session_conformance::suite!(
    SledHarness { flushes: false },
    lacks: { AtOnce: "a read from the disk runs on a worker thread",
        Kill: "opened without `flush_each_change`",
        Processes: "one process has a sled database open at a time",
        PowerLoss: "opened without `flush_each_change`",
        Checksum: "the position of a record in sled's log is unknown; driver.rs damages each byte of a frame",
        Index: "the layout of sled's pages is unknown; driver.rs damages bits of the whole file",
        Outage: "the engine runs inside the process and keeps its log open",
        Full: "sled stops for good when its disk is full; driver.rs tests that",
        Permission: "no other process can have the database open when the permission is revoked",
    },
);

mod process {
    use super::SledHarness;

    session_conformance::suite!(
        SledHarness { flushes: true },
        lacks: { AtOnce: "a read from the disk runs on a worker thread",
            Processes: "one process has a sled database open at a time",
            PowerLoss: "sled 0.34 does not promise that a flush survives power loss",
            Checksum: "the position of a record in sled's log is unknown; driver.rs damages each byte of a frame",
            Index: "the layout of sled's pages is unknown; driver.rs damages bits of the whole file",
            Outage: "the engine runs inside the process and keeps its log open",
            Full: "sled stops for good when its disk is full; driver.rs tests that",
            Permission: "no other process can have the database open when the permission is revoked",
        },
    );
}
