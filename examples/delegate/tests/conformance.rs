//! The conformance suite over sessions in the visitors' table.

use std::sync::{Arc, Mutex};

use delegate_example::{Visitors, locate};
use rusqlite::Connection;
use session_conformance::testing::{FreshPath, set_modes};
use session_conformance::{FileRange, Harness, HarnessError};
use session_core::{Blocking, Clock, Key};
use session_store_delegate::{DelegateConfig, DelegateStore};

struct Site;

/// A file in a directory of its own; in a child process, the parent's file.
struct Storage {
    path: FreshPath,
    /// Bounds the file if no small disk can be mounted.
    max_pages: Option<u32>,
    /// Another program's transaction, during an outage.
    lock: Mutex<Option<Connection>>,
}

fn storage(path: FreshPath) -> Storage {
    Storage { path, max_pages: None, lock: Mutex::default() }
}

impl Harness for Site {
    type Driver = Blocking<DelegateStore<Visitors>>;
    type Storage = Storage;

    fn name(&self) -> String {
        "delegate".into()
    }

    async fn create(&self) -> Result<Storage, HarnessError> {
        Ok(storage(FreshPath::new("site.db")?))
    }

    async fn open(&self, storage: &Storage, clock: Arc<dyn Clock>) -> Result<Self::Driver, HarnessError> {
        let visitors = Visitors::open(storage.path.path(), storage.max_pages)?;
        Ok(DelegateStore::pooled(DelegateConfig::new(visitors).mapping(locate).clock(clock)))
    }

    async fn damage(&self, storage: &Storage, key: &Key) -> Result<(), HarnessError> {
        let (damage, id) = match key.prefix() {
            "session" => ("UPDATE visitors SET revision = x'00' WHERE id = ?1", key.id()),
            _ => ("UPDATE extras SET revision = x'00' WHERE id = ?1", key.as_str()),
        };
        match Connection::open(&storage.path)?.execute(damage, [id])? {
            1 => Ok(()),
            rows => Err(HarnessError::new(format!("{rows} rows to damage"))),
        }
    }

    /// The cell of the id in the root page of its index: lengths, types, the id and the number of the row.
    async fn index_bytes(&self, storage: &Storage, key: &Key) -> Result<FileRange, HarnessError> {
        let (path, id) = (storage.path.path(), key.id().as_bytes());
        let database = Connection::open(path)?;
        let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_visitors_1'";
        let root: u32 = database.query_row(root, [], |row| row.get(0))?;
        drop(database);
        let (bytes, page) = (std::fs::read(path)?, (root as usize - 1) * 4096);
        let cell = bytes[page..page + 4096].windows(id.len()).position(|window| window == id);
        let at = cell.ok_or_else(|| HarnessError::new("the id is not in the root page"))?;
        Ok(FileRange { path: path.to_owned(), from: (page + at - 4) as u64, len: id.len() + 5 })
    }

    async fn create_bounded(&self) -> Result<Storage, HarnessError> {
        if let Ok(path) = FreshPath::on_small_disk("site.db", 4 << 20) {
            return Ok(storage(path));
        }
        Ok(Storage { max_pages: Some(800), ..self.create().await? })
    }

    /// A full disk has no room for the log of a removal.
    async fn free_space(&self, storage: &Storage) -> Result<bool, HarnessError> {
        Ok(storage.path.resize_disk(32 << 20)?)
    }

    async fn start_outage(&self, storage: &Storage) -> Result<(), HarnessError> {
        let other = Connection::open(&storage.path)?;
        other.execute_batch("BEGIN IMMEDIATE")?;
        *storage.lock.lock()? = Some(other);
        Ok(())
    }

    async fn end_outage(&self, storage: &Storage) -> Result<(), HarnessError> {
        *storage.lock.lock()? = None;
        Ok(())
    }

    async fn revoke_access(&self, storage: &Storage) -> Result<(), HarnessError> {
        Ok(set_modes(storage.path.directory(), 0o000, 0o000)?)
    }

    async fn restore_access(&self, storage: &Storage) -> Result<(), HarnessError> {
        Ok(set_modes(storage.path.directory(), 0o700, 0o600)?)
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
        Ok(storage(FreshPath::of_another(address)))
    }
}

session_conformance::suite!(
    Site,
    lacks: { AtOnce: "a model may wait",
        PowerLoss: "the file is opened with `synchronous = NORMAL`",
        Checksum: "a column has no checksum",
    },
);
