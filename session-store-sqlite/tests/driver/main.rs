//! What is particular to SQLite: the file, its versions and permissions, the one writer, several processes, faults.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test stops where something is wrong")]
#![allow(
    clippy::disallowed_methods,
    reason = "other processes are killed and locks are released in real time; the environment tells a child what to do"
)]

mod faults;
mod file;
mod golden;
mod path;
mod processes;
mod writer;

use std::future::Future;
use std::path::PathBuf;

use session_core::{Key, Record, Revision, Timestamp};
use session_store_sqlite::{SqliteConfig, SqliteStore};
use tempfile::TempDir;

/// A directory of one test, with a path for its store.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: TempDir::new().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("sessions.db")
    }

    fn config(&self) -> SqliteConfig {
        SqliteConfig::new(self.path())
    }

    fn open(&self) -> SqliteStore {
        SqliteStore::open(self.config()).unwrap()
    }

    /// A connection as another program would have it.
    fn raw(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap().block_on(test)
}

fn key(id: &str) -> Key {
    Key::parse(&format!("test:{id}")).unwrap()
}

fn record(data: impl Into<Vec<u8>>) -> Record {
    Record::new(data.into(), None, Revision::random().unwrap())
}

fn at(millis: u64) -> Option<Timestamp> {
    Some(Timestamp::from_millis(millis))
}
