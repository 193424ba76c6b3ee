//! The drivers of the tests.

use std::sync::Arc;

use session_core::{Clock, Cursor, Driver, DynDriver, Key, Prefix, SystemClock, TestClock};
use session_store_memory::{MemoryConfig, MemoryStore};
use session_store_sqlite::{SqliteConfig, SqliteStore};
use tempfile::TempDir;

/// A driver in memory with a clock that the test moves.
pub(crate) fn memory() -> (DynDriver, TestClock) {
    let clock = TestClock::new(SystemClock.now());
    let store = MemoryStore::open(MemoryConfig::new().clock(Arc::new(clock.clone()))).unwrap();
    (DynDriver::new(store), clock)
}

/// Two drivers that have one SQLite file open, as two processes have.
pub(crate) fn sqlite() -> ([DynDriver; 2], TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let config = SqliteConfig::new(directory.path().join("sessions.db"));
        DynDriver::new(SqliteStore::open(config).unwrap())
    };
    ([open(), open()], directory)
}

/// The stored keys of a library.
pub(crate) async fn keys(driver: &DynDriver, library: &'static str) -> Vec<Key> {
    let prefix = Prefix::new(library).unwrap();
    let page = driver.traverse(&prefix, Cursor::start(), 100).await.unwrap();
    assert_eq!(page.next, None);
    page.entries.into_iter().map(|entry| entry.key).collect()
}
