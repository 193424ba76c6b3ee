//! The conformance suite over the sled driver in both durabilities.

#![allow(
    clippy::disallowed_methods,
    reason = "another process is waited for, whose time no clock of ours moves"
)]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use session_conformance::{Harness, HarnessError};
use session_core::{
    Capabilities, Change, Clock, Condition, Cursor, Driver, Key, Page, Prefix, Purged, Record,
    StoreErrorKind, Touch,
};
use session_store_sled::{Durability, SledConfig, SledStore};

/// A database in a directory of the test's own.
struct Tree(Durability);

struct Storage {
    path: PathBuf,
    /// What the open handles have in common: one process has a database open once.
    open: Mutex<Weak<Shared>>,
    _directory: Option<tempfile::TempDir>,
}

struct Shared {
    database: sled::Db,
    /// Under `Process` handles are clones of one store, for only that knows what is not flushed yet.
    store: Mutex<Option<SledStore>>,
}

impl Storage {
    fn at(path: PathBuf, directory: Option<tempfile::TempDir>) -> Self {
        Self { path, open: Mutex::default(), _directory: directory }
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
                // The thread that lets go of a dropped store still has the lock, or the exit of a killed process.
                Err(sled::Error::Io(_)) if tries < 1_000 => tries += 1,
                Err(error) => return Err(error.into()),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Shared {
    fn new_store(&self, durability: Durability, clock: Arc<dyn Clock>) -> Result<SledStore, HarnessError> {
        let config = SledConfig::in_database(self.database.clone()).durability(durability).clock(clock);
        Ok(SledStore::open(config.max_record_bytes(4 << 20))?)
    }

    /// A clone of the store that is open already.
    async fn store(&self) -> Option<SledStore> {
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let closed = store.flush().await.is_err_and(|error| error.kind() == StoreErrorKind::Closed);
        (!closed).then_some(store)
    }
}

/// A driver, and the database that it is in.
#[derive(Clone)]
struct Handle(
    SledStore,
    #[expect(dead_code, reason = "held, so that the next handle shares it")] Arc<Shared>,
);

impl Driver for Handle {
    async fn retrieve(&self, key: &Key) -> session_core::Result<Option<Record>> {
        self.0.retrieve(key).await
    }
    async fn store(&self, key: &Key, record: Record, when: Condition) -> session_core::Result<Change> {
        self.0.store(key, record, when).await
    }
    async fn remove(&self, key: &Key, when: Condition) -> session_core::Result<Change> {
        self.0.remove(key, when).await
    }
    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> session_core::Result<Page> {
        self.0.traverse(prefix, from, limit).await
    }
    async fn touch(&self, key: &Key, touch: Touch) -> session_core::Result<bool> {
        let Touch { from, to, deadline } = touch;
        self.0.touch(key, Touch { from, to, deadline }).await
    }
    async fn purge(&self, limit: usize) -> session_core::Result<Purged> {
        self.0.purge(limit).await
    }
    async fn flush(&self) -> session_core::Result<()> {
        self.0.flush().await
    }
    async fn close(&self) -> session_core::Result<()> {
        self.0.close().await
    }
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    fn clock(&self) -> Arc<dyn Clock> {
        self.0.clock()
    }
}

impl Harness for Tree {
    type Driver = Handle;
    type Storage = Storage;

    fn name(&self) -> String {
        match self.0 {
            Durability::Process => "sled-process".into(),
            _ => "sled".into(),
        }
    }

    async fn create(&self) -> Result<Storage, HarnessError> {
        let directory = tempfile::tempdir()?;
        Ok(Storage::at(directory.path().join("sessions"), Some(directory)))
    }

    async fn open(&self, storage: &Storage, clock: Arc<dyn Clock>) -> Result<Handle, HarnessError> {
        let shared = storage.shared()?;
        if self.0 != Durability::Process {
            return Ok(Handle(shared.new_store(self.0, clock)?, shared));
        }
        let store = match shared.store().await {
            Some(store) => store,
            None => shared.new_store(self.0, clock)?,
        };
        *shared.store.lock().unwrap_or_else(PoisonError::into_inner) = Some(store.clone());
        Ok(Handle(store, shared))
    }

    /// The frame that stands under the key loses a bit, through another handle on the tree.
    async fn damage(&self, storage: &Storage, key: &Key) -> Result<(), HarnessError> {
        let tree = storage.shared()?.database.open_tree("session-kit")?;
        let frame = tree.get(key.as_bytes())?.ok_or_else(|| HarnessError::new("no record to damage"))?;
        let mut frame = frame.to_vec();
        *frame.last_mut().ok_or_else(|| HarnessError::new("an empty record"))? ^= 1;
        tree.insert(key.as_bytes(), frame)?;
        Ok(())
    }

    fn address(&self, storage: &Storage) -> Option<String> {
        storage.path.to_str().map(str::to_owned)
    }

    fn attach(&self, address: &str) -> Result<Storage, HarnessError> {
        Ok(Storage::at(Path::new(address).to_owned(), None))
    }
}

session_conformance::suite!(
    Tree(Durability::Relaxed),
    lacks: {
        Kill: "opened with the durability `Relaxed`",
        Processes: "one process has a sled database open at a time",
        PowerLoss: "opened with the durability `Relaxed`",
        Checksum: "sled alone knows where in its log a record stands; driver.rs bends each byte of a frame",
        Outage: "the engine is in the process itself, with its log held open",
        Full: "sled stops for good when its disk is full; driver.rs tries what becomes of that",
        Permission: "no other process can have the database open when the permission goes",
    },
);

mod process {
    use super::{Durability, Tree};

    session_conformance::suite!(
        Tree(Durability::Process),
        lacks: {
            Processes: "one process has a sled database open at a time",
            PowerLoss: "sled 0.34 does not promise that a flush survives power loss",
            Checksum: "sled alone knows where in its log a record stands; driver.rs bends each byte of a frame",
            Outage: "the engine is in the process itself, with its log held open",
            Full: "sled stops for good when its disk is full; driver.rs tries what becomes of that",
            Permission: "no other process can have the database open when the permission goes",
        },
    );
}
