//! The conformance suite over the sled driver, in both durabilities.

#![allow(
    clippy::disallowed_methods,
    reason = "another process is waited for, whose time no clock of ours moves"
)]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use session_conformance::{Harness, Trouble};
use session_core::{
    Capabilities, Clock, Condition, Cursor, Driver, Key, Page, Prefix, Purged, Record, Revision, Stored,
    Timestamp,
};
use session_store_sled::{Config, Durability, Sled};

/// A database in a directory of the test's own. One process has it open once, so handles share it.
struct Tree(Durability);

struct Storage {
    path: PathBuf,
    /// The database, for as long as any handle has it open: it is locked against other processes that long.
    open: Mutex<Weak<sled::Db>>,
    _directory: Option<tempfile::TempDir>,
}

impl Storage {
    fn at(path: PathBuf, directory: Option<tempfile::TempDir>) -> Self {
        Self { path, open: Mutex::default(), _directory: directory }
    }

    fn database(&self) -> Result<Arc<sled::Db>, Trouble> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = open.upgrade() {
            return Ok(database);
        }
        let mut tries = 0;
        loop {
            match sled::Config::new().path(&self.path).open() {
                Ok(database) => {
                    let database = Arc::new(database);
                    *open = Arc::downgrade(&database);
                    return Ok(database);
                }
                // A process that was killed a moment ago, or a flusher's thread that ends, still has the lock.
                Err(sled::Error::Io(_)) if tries < 200 => tries += 1,
                Err(error) => return Err(error.into()),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A driver, and the database that it is in.
#[derive(Clone)]
struct Handle(Sled, #[expect(dead_code, reason = "held, so that the next handle shares it")] Arc<sled::Db>);

impl Driver for Handle {
    async fn retrieve(&self, key: &Key) -> session_core::Result<Option<Record>> {
        self.0.retrieve(key).await
    }
    async fn store(&self, key: &Key, record: Record, when: Condition) -> session_core::Result<Stored> {
        self.0.store(key, record, when).await
    }
    async fn remove(&self, key: &Key, when: Condition) -> session_core::Result<Stored> {
        self.0.remove(key, when).await
    }
    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> session_core::Result<Page> {
        self.0.traverse(prefix, from, limit).await
    }
    async fn touch(
        &self,
        key: &Key,
        from: Revision,
        to: Revision,
        deadline: Option<Timestamp>,
    ) -> session_core::Result<bool> {
        self.0.touch(key, from, to, deadline).await
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
            Durability::Process => "sled".into(),
            _ => "sled-relaxed".into(),
        }
    }

    async fn make(&self) -> Result<Storage, Trouble> {
        let directory = tempfile::tempdir()?;
        Ok(Storage::at(directory.path().join("sessions"), Some(directory)))
    }

    async fn open(&self, storage: &Storage, clock: Arc<dyn Clock>) -> Result<Handle, Trouble> {
        let database = storage.database()?;
        let config = Config::in_database(database.as_ref().clone()).durability(self.0).clock(clock);
        Ok(Handle(Sled::open(config.max_value(4 << 20))?, database))
    }

    async fn damage(&self, storage: &Storage, key: &Key) -> Result<(), Trouble> {
        let tree = storage.database()?.open_tree("session-kit")?;
        let mut frame =
            tree.get(key.as_bytes())?.ok_or_else(|| Trouble::new("no record to damage"))?.to_vec();
        if let Some(last) = frame.last_mut() {
            *last ^= 1;
        }
        tree.insert(key.as_bytes(), frame)?;
        Ok(())
    }

    fn address(&self, storage: &Storage) -> Option<String> {
        storage.path.to_str().map(str::to_owned)
    }

    fn attach(&self, address: &str) -> Result<Storage, Trouble> {
        Ok(Storage::at(Path::new(address).to_owned(), None))
    }
}

session_conformance::suite!(
    Tree(Durability::Process),
    lacks: {
        Processes: "one process has a sled database open at a time",
        PowerLoss: "sled 0.34 does not promise that a flush survives power loss",
    },
);

mod relaxed {
    use super::{Durability, Tree};

    session_conformance::suite!(
        Tree(Durability::Relaxed),
        lacks: {
            Kill: "opened with the durability `Relaxed`",
            Processes: "one process has a sled database open at a time",
            PowerLoss: "opened with the durability `Relaxed`",
        },
    );
}
