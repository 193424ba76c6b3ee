//! Real stores by a text that another process can use, and records in them.

use std::path::Path;
use std::time::Duration;

use session_core::{Condition, Driver, DynDriver, Key, Record, Revision, Timestamp};
use session_store_file::{FileConfig, FileStore};
use session_store_mmap::{MmapConfig, MmapStore};
use session_store_postgres::{PostgresConfig, PostgresStore};
use session_store_redis::{RedisConfig, RedisStore};
use session_store_sqlite::{SqliteConfig, SqliteStore};

/// The machine may be busy, and these tests are not about time limits.
const PATIENCE: Duration = Duration::from_secs(60);

/// Opens `sqlite:path`, `mmap:path`, `file:path`, or the URL of a server.
pub(crate) async fn open(place: &str) -> DynDriver {
    let (scheme, path) = place.split_once(':').unwrap();
    match scheme {
        "sqlite" => DynDriver::new(SqliteStore::open(SqliteConfig::new(path)).unwrap()),
        "mmap" => DynDriver::new(MmapStore::open(MmapConfig::new(path)).unwrap()),
        "file" => DynDriver::new(FileStore::open(FileConfig::new(path).create_directory(true)).unwrap()),
        "redis" => DynDriver::new(
            RedisStore::open(RedisConfig::new(place).response_timeout(PATIENCE)).await.unwrap(),
        ),
        "postgres" => DynDriver::new(
            PostgresStore::open(PostgresConfig::new(place).response_timeout(PATIENCE)).await.unwrap(),
        ),
        other => panic!("no store of the scheme {other}"),
    }
}

pub(crate) fn place(scheme: &str, directory: &Path, name: &str) -> String {
    format!("{scheme}:{}", directory.join(name).display())
}

/// A record whose data is a function of a number, so that a ledger need not keep it.
pub(crate) fn record(seed: u64, revision: Revision, expires: Option<Timestamp>) -> Record {
    Record::new(seed.to_be_bytes().repeat(seed as usize % 40), expires, revision)
}

pub(crate) fn numbered(number: u64) -> Record {
    let deadline = Timestamp::from_millis(9_000_000_000_000 + number);
    record(number, Revision::from_bytes(number.to_be_bytes()), Some(deadline))
}

pub(crate) fn key(prefix: &str, number: u64) -> Key {
    Key::parse(&format!("{prefix}:{number:08}")).unwrap()
}

/// Stores `count` records under a prefix.
pub(crate) async fn fill(driver: &impl Driver, prefix: &str, count: u64) {
    for number in 0..count {
        let change = driver.store(&key(prefix, number), numbered(number), Condition::Absent).await.unwrap();
        assert!(change.is_applied());
    }
}
