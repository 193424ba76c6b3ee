//! The conformance suite over sessions in the visitors' table.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex, PoisonError};

use delegate_example::{Options, Visitors, locate};
use rusqlite::Connection;
use session_conformance::testing::{FreshPath, SmallDisk};
use session_conformance::{Harness, HarnessError};
use session_core::{Blocking, Clock, Key};
use session_store_delegate::{DelegateConfig, DelegateStore, InPlace};

struct Site;

/// A file in a directory of its own; in a child process, the parent's file.
struct Storage {
    path: FreshPath,
    options: Options,
    /// Another program's transaction, during an outage.
    lock: Mutex<Option<Connection>>,
    disk: Option<SmallDisk>,
}

impl Storage {
    fn at(path: FreshPath) -> Self {
        Self { path, options: Options::default(), lock: Mutex::default(), disk: None }
    }

    fn hold(&self, lock: Option<Connection>) {
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

impl Harness for Site {
    type Driver = Blocking<DelegateStore<InPlace<Visitors>>>;
    type Storage = Storage;

    fn name(&self) -> String {
        "delegate".into()
    }

    async fn create(&self) -> Result<Storage, HarnessError> {
        Ok(Storage::at(FreshPath::new("site.db")?))
    }

    async fn open(&self, storage: &Storage, clock: Arc<dyn Clock>) -> Result<Self::Driver, HarnessError> {
        let visitors = Visitors::open(storage.path.path(), &storage.options)?;
        Ok(DelegateStore::pooled(DelegateConfig::new(visitors).mapping(locate).clock(clock)))
    }

    async fn damage(&self, storage: &Storage, key: &Key) -> Result<(), HarnessError> {
        let damage = "UPDATE visitors SET revision = x'00' WHERE id = ?1";
        match Connection::open(&storage.path)?.execute(damage, [key.id()])? {
            1 => Ok(()),
            rows => Err(HarnessError::new(format!("{rows} rows to damage"))),
        }
    }

    async fn create_bounded(&self) -> Result<Storage, HarnessError> {
        match SmallDisk::mount(4 << 20) {
            Ok(disk) => {
                let path = FreshPath::of_another(disk.path().join("site.db"));
                Ok(Storage { disk: Some(disk), ..Storage::at(path) })
            }
            // A process that may not mount bounds the file instead.
            Err(_) => {
                let options = Options { max_pages: Some(800), ..Options::default() };
                Ok(Storage { options, ..self.create().await? })
            }
        }
    }

    /// A full disk has no room for the log of a removal.
    async fn free_space(&self, storage: &Storage) -> Result<bool, HarnessError> {
        match &storage.disk {
            Some(disk) => Ok(disk.resize(32 << 20).map(|()| true)?),
            None => Ok(false),
        }
    }

    async fn start_outage(&self, storage: &Storage) -> Result<(), HarnessError> {
        let other = Connection::open(&storage.path)?;
        other.execute_batch("BEGIN IMMEDIATE")?;
        storage.hold(Some(other));
        Ok(())
    }

    async fn end_outage(&self, storage: &Storage) -> Result<(), HarnessError> {
        storage.hold(None);
        Ok(())
    }

    async fn revoke_access(&self, storage: &Storage) -> Result<(), HarnessError> {
        storage.set_modes(0o000, 0o000)
    }

    async fn restore_access(&self, storage: &Storage) -> Result<(), HarnessError> {
        storage.set_modes(0o700, 0o600)
    }

    fn address(&self, storage: &Storage) -> Option<String> {
        storage.path.path().to_str().map(str::to_owned)
    }

    fn attach(&self, address: &str) -> Result<Storage, HarnessError> {
        Ok(Storage::at(FreshPath::of_another(address)))
    }
}

session_conformance::suite!(
    Site,
    lacks: {
        PowerLoss: "the file is opened with `synchronous = NORMAL`",
        Checksum: "a column has no checksum",
    },
);
