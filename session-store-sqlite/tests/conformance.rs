//! The conformance suite over the SQLite driver.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use session_conformance::testing::{FreshPath, set_modes};
use session_conformance::{FileRange, Harness, HarnessError};
use session_core::{Clock, Key};
use session_store_sqlite::{Durability, SqliteConfig, SqliteStore};

struct OnDisk {
    name: &'static str,
    durability: Durability,
}

/// A file in a directory of its own; in a child process, the parent's file.
struct Storage {
    path: FreshPath,
    /// Bounds the file if no small disk can be mounted.
    max_bytes: Option<u64>,
    /// Another program's transaction, which keeps all writers out.
    lock: Mutex<Option<rusqlite::Connection>>,
}

impl Storage {
    fn at(path: FreshPath) -> Self {
        Self { path, max_bytes: None, lock: Mutex::default() }
    }
}

impl Harness for OnDisk {
    type Driver = SqliteStore;
    type Storage = Storage;

    fn name(&self) -> String {
        self.name.into()
    }

    async fn create(&self) -> Result<Storage, HarnessError> {
        Ok(Storage::at(FreshPath::new("sessions.db")?))
    }

    async fn open(&self, storage: &Storage, clock: Arc<dyn Clock>) -> Result<SqliteStore, HarnessError> {
        let mut config = SqliteConfig::new(storage.path.path()).durability(self.durability).clock(clock);
        if let Some(bytes) = storage.max_bytes {
            config = config.max_bytes(bytes);
        }
        Ok(SqliteStore::open(config.busy_timeout(Duration::from_secs(2)))?)
    }

    async fn damage(&self, storage: &Storage, key: &Key) -> Result<(), HarnessError> {
        let database = rusqlite::Connection::open(&storage.path)?;
        let damage = "UPDATE records SET revision = x'00' WHERE key = ?1";
        match database.execute(damage, [key.as_bytes()])? {
            1 => Ok(()),
            rows => Err(HarnessError::new(format!("{rows} rows to damage"))),
        }
    }

    /// The cell of the key in the root page of the unique index: lengths, types, the key and the number of the row.
    async fn index_bytes(&self, storage: &Storage, key: &Key) -> Result<FileRange, HarnessError> {
        index_cell(storage.path.path(), "sqlite_autoindex_records_1", key.as_bytes())
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

    fn power_evidence(&self) -> Option<String> {
        let power = self.durability == Durability::Power;
        power.then(|| "the write-ahead log is synchronized before a commit is answered".into())
    }

    fn attach(&self, address: &str) -> Result<Storage, HarnessError> {
        Ok(Storage::at(FreshPath::of_another(address)))
    }

    /// Another program locks the database, because SQLite has no server that can fail.
    async fn start_outage(&self, storage: &Storage) -> Result<(), HarnessError> {
        let connection = rusqlite::Connection::open(&storage.path)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        *storage.lock.lock()? = Some(connection);
        Ok(())
    }

    /// Closing the connection rolls its transaction back.
    async fn end_outage(&self, storage: &Storage) -> Result<(), HarnessError> {
        *storage.lock.lock()? = None;
        Ok(())
    }

    async fn create_bounded(&self) -> Result<Storage, HarnessError> {
        const BYTES: u64 = 4 << 20;
        match FreshPath::on_small_disk("sessions.db", BYTES) {
            Ok(path) => Ok(Storage::at(path)),
            Err(_) => Ok(Storage { max_bytes: Some(BYTES), ..self.create().await? }),
        }
    }

    /// A full disk has no room for the log of a removal.
    async fn free_space(&self, storage: &Storage) -> Result<bool, HarnessError> {
        Ok(storage.path.resize_disk(32 << 20)?)
    }

    async fn revoke_access(&self, storage: &Storage) -> Result<(), HarnessError> {
        Ok(set_modes(storage.path.directory(), 0o000, 0o000)?)
    }

    async fn restore_access(&self, storage: &Storage) -> Result<(), HarnessError> {
        Ok(set_modes(storage.path.directory(), 0o700, 0o600)?)
    }
}

fn index_cell(path: &Path, index: &str, key: &[u8]) -> Result<FileRange, HarnessError> {
    let database = rusqlite::Connection::open(path)?;
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
    let root: u32 = database.query_row(root, [index], |row| row.get(0))?;
    drop(database);
    let (bytes, page) = (std::fs::read(path)?, (root as usize - 1) * 4096);
    let cell = bytes[page..page + 4096].windows(key.len()).position(|window| window == key);
    let at = cell.ok_or_else(|| HarnessError::new("the key is not in the root page"))?;
    Ok(FileRange { path: path.to_owned(), from: (page + at - 4) as u64, len: key.len() + 5 })
}

session_conformance::suite!(
    OnDisk { name: "sqlite", durability: Durability::Process },
    lacks: { AtOnce: "a read that is locked or large runs on a worker thread",
        PowerLoss: "opened with the durability `Process`",
        Checksum: "SQLite has no checksum of a value",
    },
);

mod power {
    use super::{Durability, OnDisk};

    session_conformance::suite!(
        OnDisk { name: "sqlite-power", durability: Durability::Power },
        lacks: { AtOnce: "a read that is locked or large runs on a worker thread", Checksum: "SQLite has no checksum of a value" },
    );
}
