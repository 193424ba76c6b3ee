//! The conformance suite over the SQLite driver.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use session_conformance::testing::SmallDisk;
use session_conformance::{Harness, HarnessError};
use session_core::{Clock, Key};
use session_store_sqlite::{Durability, SqliteConfig, SqliteStore};

/// A file in a directory of the test's own; in a child process only the path of the parent's file.
struct OnDisk(Durability);

struct Storage {
    path: PathBuf,
    /// What bounds the file, where no small disk could be mounted.
    max_bytes: Option<u64>,
    /// Somebody else's transaction, which keeps all writers away.
    elsewhere: Mutex<Option<rusqlite::Connection>>,
    _directory: Option<tempfile::TempDir>,
    disk: Option<SmallDisk>,
}

impl Storage {
    fn at(path: PathBuf) -> Self {
        Self { path, max_bytes: None, elsewhere: Mutex::default(), _directory: None, disk: None }
    }

    fn set_modes(&self, directory: u32, file: u32) -> Result<(), HarnessError> {
        let parent = self.path.parent().ok_or_else(|| HarnessError::new("a file without a directory"))?;
        // The directory is opened first and closed last: it leads to the files.
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
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("sessions.db");
        Ok(Storage { _directory: Some(directory), ..Storage::at(path) })
    }

    async fn open(&self, storage: &Storage, clock: Arc<dyn Clock>) -> Result<SqliteStore, HarnessError> {
        let config =
            SqliteConfig::new(&storage.path).durability(self.0).clock(clock).max_bytes(storage.max_bytes);
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
        storage.path.to_str().map(str::to_owned)
    }

    fn power_evidence(&self) -> Option<String> {
        let power = self.0 == Durability::Power;
        power.then(|| "the write-ahead log is synchronised before a commit is answered".into())
    }

    fn attach(&self, address: &str) -> Result<Storage, HarnessError> {
        Ok(Storage::at(Path::new(address).to_owned()))
    }

    /// Another program keeps the database locked: SQLite has no server that could be away.
    async fn start_outage(&self, storage: &Storage) -> Result<(), HarnessError> {
        let connection = rusqlite::Connection::open(&storage.path)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        *storage.elsewhere.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
        Ok(())
    }

    async fn end_outage(&self, storage: &Storage) -> Result<(), HarnessError> {
        let connection = storage.elsewhere.lock().unwrap_or_else(PoisonError::into_inner).take();
        let connection = connection.ok_or_else(|| HarnessError::new("nothing was taken away"))?;
        Ok(connection.execute_batch("ROLLBACK")?)
    }

    async fn create_bounded(&self) -> Result<Storage, HarnessError> {
        const BYTES: u64 = 4 << 20;
        match SmallDisk::mount(BYTES) {
            Ok(disk) => {
                let path = disk.path().join("sessions.db");
                Ok(Storage { disk: Some(disk), ..Storage::at(path) })
            }
            Err(_) => Ok(Storage { max_bytes: Some(BYTES), ..self.create().await? }),
        }
    }

    /// A removal is written to the log first, for which a full disk has no room.
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
        Checksum: "SQLite puts no checksum on the bytes of a value",
    },
);

mod power {
    use super::{Durability, OnDisk};

    session_conformance::suite!(
        OnDisk(Durability::Power),
        lacks: { Checksum: "SQLite puts no checksum on the bytes of a value" },
    );
}
