//! The conformance suite over the SQLite driver.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use session_conformance::testing::{FreshPath, SmallDisk};
use session_conformance::{Harness, HarnessError};
use session_core::{Clock, Key};
use session_store_sqlite::{Durability, SqliteConfig, SqliteStore};

struct OnDisk(Durability);

/// A file in a directory of its own; in a child process, the parent's file.
struct Storage {
    path: FreshPath,
    /// Bounds the file if no small disk can be mounted.
    max_bytes: Option<u64>,
    /// Another program's transaction, which keeps all writers out.
    lock: Mutex<Option<rusqlite::Connection>>,
    disk: Option<SmallDisk>,
}

impl Storage {
    fn at(path: FreshPath) -> Self {
        Self { path, max_bytes: None, lock: Mutex::default(), disk: None }
    }

    fn hold(&self, lock: Option<rusqlite::Connection>) {
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = lock;
    }

    fn set_modes(&self, directory: u32, file: u32) -> Result<(), HarnessError> {
        let parent = self.path.path().parent().ok_or_else(|| HarnessError::new("no directory"))?;
        // The directory is opened first and closed last, because it leads to the files.
        fs::set_permissions(parent, Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(parent)? {
            fs::set_permissions(entry?.path(), Permissions::from_mode(file))?;
        }
        Ok(fs::set_permissions(parent, Permissions::from_mode(directory))?)
    }
}

impl Harness for OnDisk {
    type Driver = SqliteStore;
    type Storage = Storage;

    fn name(&self) -> String {
        match self.0 {
            Durability::Process => "sqlite".into(),
            Durability::Power => "sqlite-power".into(),
        }
    }

    async fn create(&self) -> Result<Storage, HarnessError> {
        Ok(Storage::at(FreshPath::new("sessions.db")?))
    }

    async fn open(&self, storage: &Storage, clock: Arc<dyn Clock>) -> Result<SqliteStore, HarnessError> {
        let mut config = SqliteConfig::new(storage.path.path()).durability(self.0).clock(clock);
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

    fn address(&self, storage: &Storage) -> Option<String> {
        storage.path.path().to_str().map(str::to_owned)
    }

    fn power_evidence(&self) -> Option<String> {
        let power = self.0 == Durability::Power;
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
        storage.hold(Some(connection));
        Ok(())
    }

    /// Closing the connection rolls its transaction back.
    async fn end_outage(&self, storage: &Storage) -> Result<(), HarnessError> {
        storage.hold(None);
        Ok(())
    }

    async fn create_bounded(&self) -> Result<Storage, HarnessError> {
        const BYTES: u64 = 4 << 20;
        match SmallDisk::mount(BYTES) {
            Ok(disk) => {
                let path = FreshPath::of_another(disk.path().join("sessions.db"));
                Ok(Storage { disk: Some(disk), ..Storage::at(path) })
            }
            Err(_) => Ok(Storage { max_bytes: Some(BYTES), ..self.create().await? }),
        }
    }

    /// A full disk has no room for the log of a removal.
    async fn free_space(&self, storage: &Storage) -> Result<bool, HarnessError> {
        match &storage.disk {
            Some(disk) => Ok(disk.resize(32 << 20).map(|()| true)?),
            None => Ok(false),
        }
    }

    async fn revoke_access(&self, storage: &Storage) -> Result<(), HarnessError> {
        storage.set_modes(0o000, 0o000)
    }

    async fn restore_access(&self, storage: &Storage) -> Result<(), HarnessError> {
        storage.set_modes(0o700, 0o600)
    }
}

session_conformance::suite!(
    OnDisk(Durability::Process),
    lacks: {
        PowerLoss: "opened with the durability `Process`",
        Checksum: "SQLite has no checksum of a value",
    },
);

mod power {
    use super::{Durability, OnDisk};

    session_conformance::suite!(
        OnDisk(Durability::Power),
        lacks: { Checksum: "SQLite has no checksum of a value" },
    );
}
