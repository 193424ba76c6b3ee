//! The specification, tried on sessions in the visitors' table.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use delegate_example::{Options, Visitors, locate};
use rusqlite::Connection;
use session_conformance::testing::SmallDisk;
use session_conformance::{Harness, HarnessError};
use session_core::{Blocking, Clock, Key};
use session_store_delegate::{DelegateConfig, DelegateStore, InPlace};

/// A file in a directory of the test's own; in a child process only the path of the parent's file.
struct Site;

struct Storage {
    path: PathBuf,
    options: Options,
    /// Another program's transaction, while the file is taken away.
    lock: Mutex<Option<Connection>>,
    directory: Option<tempfile::TempDir>,
    disk: Option<SmallDisk>,
}

impl Storage {
    fn new(options: Options) -> Result<Self, HarnessError> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("site.db");
        Ok(Self { path, options, lock: Mutex::default(), directory: Some(directory), disk: None })
    }

    fn execute(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<(), HarnessError> {
        match Connection::open(&self.path)?.execute(sql, parameters)? {
            1 => Ok(()),
            rows => Err(HarnessError::new(format!("{rows} rows to damage"))),
        }
    }

    fn locked(&self, lock: Option<Connection>) {
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = lock;
    }

    fn modes(&self, directory: u32, file: u32) -> Result<(), HarnessError> {
        let parent = self.path.parent().ok_or_else(|| HarnessError::new("the file is in no directory"))?;
        // While the directory is closed nobody reaches the files in it, whoever owns them.
        fs::set_permissions(parent, Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(parent)? {
            fs::set_permissions(entry?.path(), Permissions::from_mode(file))?;
        }
        Ok(fs::set_permissions(parent, Permissions::from_mode(directory))?)
    }
}

impl Harness for Site {
    type Driver = Blocking<DelegateStore<InPlace<Visitors>>>;
    type Storage = Storage;

    fn name(&self) -> String {
        "delegate".into()
    }

    async fn create(&self) -> Result<Storage, HarnessError> {
        Storage::new(Options::default())
    }

    async fn open(&self, storage: &Storage, clock: Arc<dyn Clock>) -> Result<Self::Driver, HarnessError> {
        let visitors = Visitors::open(&storage.path, &storage.options)?;
        Ok(DelegateStore::pooled(DelegateConfig::new(visitors).mapping(locate).clock(clock)))
    }

    async fn damage(&self, storage: &Storage, key: &Key) -> Result<(), HarnessError> {
        storage.execute("UPDATE visitors SET revision = x'00' WHERE id = ?1", [key.id()])
    }

    async fn create_bounded(&self) -> Result<Storage, HarnessError> {
        const BYTES: u64 = 4 << 20;
        match SmallDisk::mount(BYTES) {
            Ok(disk) => {
                let path = disk.path().join("site.db");
                let lock = Mutex::default();
                Ok(Storage { path, options: Options::default(), lock, directory: None, disk: Some(disk) })
            }
            // A process that may not mount bounds the file instead.
            Err(_) => Storage::new(Options { max_pages: Some(800), ..Options::default() }),
        }
    }

    /// A removal is written to the log first, for which a full disk has no room.
    async fn free_space(&self, storage: &Storage) -> Result<bool, HarnessError> {
        match &storage.disk {
            Some(disk) => Ok(disk.resize(32 << 20).map(|()| true)?),
            None => Ok(false),
        }
    }

    async fn start_outage(&self, storage: &Storage) -> Result<(), HarnessError> {
        let other = Connection::open(&storage.path)?;
        other.execute_batch("BEGIN IMMEDIATE")?;
        storage.locked(Some(other));
        Ok(())
    }

    async fn end_outage(&self, storage: &Storage) -> Result<(), HarnessError> {
        storage.locked(None);
        Ok(())
    }

    async fn revoke_access(&self, storage: &Storage) -> Result<(), HarnessError> {
        storage.modes(0o000, 0o000)
    }

    async fn restore_access(&self, storage: &Storage) -> Result<(), HarnessError> {
        storage.modes(0o700, 0o600)
    }

    fn address(&self, storage: &Storage) -> Option<String> {
        storage.path.to_str().map(str::to_owned)
    }

    fn attach(&self, address: &str) -> Result<Storage, HarnessError> {
        let path = Path::new(address).to_owned();
        let (options, lock) = (Options::default(), Mutex::default());
        Ok(Storage { path, options, lock, directory: None, disk: None })
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        // A directory that a failed test has left closed is to go all the same.
        if self.directory.is_some() {
            let _ = self.modes(0o700, 0o600);
        }
    }
}

session_conformance::suite!(
    Site,
    lacks: {
        PowerLoss: "the file is opened with `synchronous = NORMAL`",
        Checksum: "a column has no checksum: a bent byte of the data is other data",
    },
);
