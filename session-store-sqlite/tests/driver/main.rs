//! Tests of what is particular to SQLite: the file, its versions and permissions, the writer, several processes, faults.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test stops where something is wrong")]
#![allow(
    clippy::disallowed_methods,
    reason = "locks are released and processes killed in real time; a child changes its directory"
)]

mod faults;
mod file;
mod fork;
mod golden;
mod path;
mod processes;
mod writer;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Mutex;

use session_conformance::testing::FreshPath;
use session_core::{Key, Prefix, Record, Revision, Timestamp};
use session_store_sqlite::{SqliteConfig, SqliteStore};

/// The path of a test's own database.
struct Database(FreshPath);

impl Database {
    fn new() -> Self {
        Self(FreshPath::new("sessions.db").unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    fn log(&self) -> PathBuf {
        self.0.beside("sessions.db-wal")
    }

    fn config(&self) -> SqliteConfig {
        SqliteConfig::new(self.path())
    }

    fn open(&self) -> SqliteStore {
        SqliteStore::open(self.config()).unwrap()
    }

    /// A connection of another program.
    fn raw(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }

    /// Another program's transaction, which keeps all writers out until it ends.
    fn locked(&self) -> rusqlite::Connection {
        let other = self.raw();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        other
    }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap().block_on(test)
}

static EVENTS: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Sink;

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        EVENTS.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Collects the events of this process from now on. They come from all running tests.
fn listen() {
    let subscriber = tracing_subscriber::fmt().with_writer(|| Sink).with_ansi(false).finish();
    // Global, because the driver's threads emit events.
    tracing::subscriber::set_global_default(subscriber).unwrap();
}

fn events() -> String {
    String::from_utf8(EVENTS.lock().unwrap().clone()).unwrap()
}

fn prefix() -> Prefix {
    Prefix::new("test").unwrap()
}

fn key(id: impl std::fmt::Display) -> Key {
    Key::parse(&format!("test:{id}")).unwrap()
}

fn record(data: impl Into<Vec<u8>>) -> Record {
    Record::new(data.into(), None, Revision::random().unwrap())
}

fn at(millis: u64) -> Option<Timestamp> {
    Some(Timestamp::from_millis(millis))
}
