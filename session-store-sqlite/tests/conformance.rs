//! The conformance suite over the SQLite driver.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use session_conformance::{Harness, Trouble};
use session_core::{Clock, Key};
use session_store_sqlite::{Config, Durability, Sqlite};

/// A file in a directory of the test's own; in a child process only the path of the parent's file.
struct OnDisk(Durability);

struct Storage {
    path: PathBuf,
    _directory: Option<tempfile::TempDir>,
}

impl Harness for OnDisk {
    type Driver = Sqlite;
    type Storage = Storage;

    fn name(&self) -> String {
        match self.0 {
            Durability::Process => "sqlite".into(),
            Durability::Power => "sqlite-power".into(),
        }
    }

    async fn make(&self) -> Result<Storage, Trouble> {
        let directory = tempfile::tempdir()?;
        Ok(Storage { path: directory.path().join("sessions.db"), _directory: Some(directory) })
    }

    async fn open(&self, storage: &Storage, clock: Arc<dyn Clock>) -> Result<Sqlite, Trouble> {
        Ok(Sqlite::open(Config::new(&storage.path).durability(self.0).clock(clock))?)
    }

    async fn damage(&self, storage: &Storage, key: &Key) -> Result<(), Trouble> {
        let database = rusqlite::Connection::open(&storage.path)?;
        let damage = "UPDATE records SET revision = x'00' WHERE key = ?1";
        match database.execute(damage, [key.as_bytes()])? {
            1 => Ok(()),
            rows => Err(Trouble::new(format!("{rows} rows to damage"))),
        }
    }

    fn address(&self, storage: &Storage) -> Option<String> {
        storage.path.to_str().map(str::to_owned)
    }

    fn power_evidence(&self) -> Option<String> {
        let power = self.0 == Durability::Power;
        power.then(|| "the write-ahead log is synchronised before a commit is answered".into())
    }

    fn attach(&self, address: &str) -> Result<Storage, Trouble> {
        Ok(Storage { path: Path::new(address).to_owned(), _directory: None })
    }
}

session_conformance::suite!(
    OnDisk(Durability::Process),
    lacks: { PowerLoss: "opened with the durability `Process`" },
);

mod power {
    use super::{Durability, OnDisk};

    session_conformance::suite!(OnDisk(Durability::Power));
}
