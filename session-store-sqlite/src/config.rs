//! The options of a store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use session_core::{Clock, Operation, Result, StoreError, StoreErrorKind, SystemClock};

/// The page size of the files that this driver makes. What WAL is measured in.
pub(crate) const PAGE_BYTES: u64 = 4096;
/// SQLite refuses rows of more than 10^9 bytes; the rest of the row needs some of them.
const LARGEST_VALUE: u64 = 999_000_000;
/// Less than this holds no schema.
const SMALLEST_FILE: u64 = 64 * 1024;

/// What an acknowledged write survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Durability {
    /// The sudden death of the process. After power loss the store opens and is consistent, and what was written
    /// in the last second (`sync_every`) may be absent or older.
    #[default]
    Process,
    /// Power loss too: the write-ahead log is synchronised before the answer, once for all who wait.
    Power,
}

/// Where the store is and how it works. Only the path is required; [`Sqlite::open`](crate::Sqlite::open) checks the
/// options and says what is wrong with them.
#[derive(Clone, Debug)]
#[must_use]
pub struct SqliteConfig {
    pub(crate) path: PathBuf,
    pub(crate) durability: Durability,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) create: bool,
    pub(crate) create_directory: bool,
    pub(crate) readers: usize,
    pub(crate) cache_bytes: u64,
    pub(crate) offload_reads: bool,
    pub(crate) max_record_bytes: u64,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) max_queue: usize,
    pub(crate) max_queue_bytes: usize,
    pub(crate) max_batch: usize,
    pub(crate) busy_timeout: Duration,
    pub(crate) sync_every: Duration,
    pub(crate) checkpoint_after: u64,
    pub(crate) max_wal_bytes: u64,
}

impl SqliteConfig {
    /// A store in the file at `path`, everything else by default.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            durability: Durability::Process,
            clock: SystemClock::shared(),
            create: true,
            create_directory: false,
            readers: std::thread::available_parallelism().map_or(4, usize::from).clamp(2, 16),
            cache_bytes: 8 << 20,
            offload_reads: false,
            max_record_bytes: 16 << 20,
            max_bytes: None,
            max_queue: 16_384,
            max_queue_bytes: 64 << 20,
            max_batch: 256,
            busy_timeout: Duration::from_secs(5),
            sync_every: Duration::from_secs(1),
            checkpoint_after: 16 << 20,
            max_wal_bytes: 64 << 20,
        }
    }

    /// What an acknowledged write survives. Default: [`Durability::Process`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// The clock that decides what has expired. Default: the wall clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Whether a missing file is made, readable by its owner only (0600). Default: yes.
    pub fn create(mut self, yes: bool) -> Self {
        self.create = yes;
        self
    }

    /// Whether a missing directory of the file is made (0700): the last level only, so that a mistyped path or an
    /// unmounted disk is noticed. Default: no.
    pub fn create_directory(mut self, yes: bool) -> Self {
        self.create_directory = yes;
        self
    }

    /// How many connections read, 1 to 256. Default: as many as processors, 2 to 16.
    pub fn readers(mut self, count: usize) -> Self {
        self.readers = count;
        self
    }

    /// The page cache of each connection, in bytes. Default: 8 MiB.
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Whether reads run on threads of the driver instead of the caller's: for slow or network disks, where a read
    /// would stall a runtime worker. Default: no.
    pub fn offload_reads(mut self, yes: bool) -> Self {
        self.offload_reads = yes;
        self
    }

    /// The largest data of one record, in bytes; more is `TooLarge`. Default: 16 MiB; at most 999,000,000.
    pub fn max_record_bytes(mut self, bytes: u64) -> Self {
        self.max_record_bytes = bytes;
        self
    }

    /// How large this process lets the file grow, in bytes; then it is `Full`. The write-ahead log comes on top.
    /// Default: as large as the disk.
    pub fn max_bytes(mut self, bytes: Option<u64>) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// How many changes, and how many bytes of them, may wait for the writer; then a change is refused as
    /// `Unavailable`. Default: 16,384 and 64 MiB.
    pub fn max_queue(mut self, changes: usize, bytes: usize) -> Self {
        self.max_queue = changes;
        self.max_queue_bytes = bytes;
        self
    }

    /// How many changes at most are committed in one transaction. Default: 256.
    pub fn max_batch(mut self, changes: usize) -> Self {
        self.max_batch = changes;
        self
    }

    /// How long a change waits for another process that holds the file's write lock, and opening for one that is
    /// just making it; then it is `Unavailable`. Default: 5 s.
    pub fn busy_timeout(mut self, deadline: Duration) -> Self {
        self.busy_timeout = deadline;
        self
    }

    /// Under `Process`, how long after a write the log is synchronised in the background: what power loss may take.
    /// Default: 1 s.
    pub fn sync_every(mut self, period: Duration) -> Self {
        self.sync_every = period;
        self
    }

    /// How much write-ahead log, in bytes, starts a checkpoint in the background. Default: 16 MiB.
    pub fn checkpoint_after(mut self, bytes: u64) -> Self {
        self.checkpoint_after = bytes;
        self
    }

    /// How much write-ahead log, in bytes, makes writers wait for the moment that starting it afresh takes.
    /// Default: 64 MiB. The log stays near it as long as no other process reads one snapshot for long.
    pub fn max_wal_bytes(mut self, bytes: u64) -> Self {
        self.max_wal_bytes = bytes;
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        let path = &self.path;
        if path.as_os_str().is_empty() {
            return Err(wrong("the path is empty"));
        }
        if path == Path::new(":memory:") {
            return Err(wrong("the path is ':memory:', and this driver needs a file"));
        }
        if !(1..=256).contains(&self.readers) {
            return Err(wrong("readers is 1 to 256"));
        }
        if self.max_batch == 0 || self.max_queue == 0 || self.max_queue_bytes == 0 {
            return Err(wrong("max_batch and max_queue are at least 1"));
        }
        if !(1..=LARGEST_VALUE).contains(&self.max_record_bytes) {
            return Err(wrong("max_record_bytes is 1 to 999000000 bytes"));
        }
        if self.max_bytes.is_some_and(|bytes| bytes < SMALLEST_FILE) {
            return Err(wrong("max_bytes is at least 65536 bytes"));
        }
        if self.cache_bytes > i64::MAX as u64 / 2 {
            return Err(wrong("cache_bytes is too large"));
        }
        if self.checkpoint_after < PAGE_BYTES || self.max_wal_bytes < self.checkpoint_after {
            return Err(wrong(
                "checkpoint_after is at least 4096 bytes, and max_wal_bytes at least checkpoint_after",
            ));
        }
        if self.busy_timeout > Duration::from_secs(3600) {
            return Err(wrong("busy_timeout is at most an hour"));
        }
        if self.sync_every < Duration::from_millis(10) || self.sync_every > Duration::from_secs(3600) {
            return Err(wrong("sync_every is 10 ms to an hour"));
        }
        Ok(())
    }
}

impl From<&Path> for SqliteConfig {
    fn from(path: &Path) -> Self {
        Self::new(path)
    }
}

impl From<PathBuf> for SqliteConfig {
    fn from(path: PathBuf) -> Self {
        Self::new(path)
    }
}

impl From<&str> for SqliteConfig {
    fn from(path: &str) -> Self {
        Self::new(path)
    }
}

fn wrong(detail: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Misconfigured, Operation::Open).with_detail(detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_cannot_work_are_refused_by_name() {
        let fine = || SqliteConfig::new("sessions.db");
        assert!(fine().check().is_ok());
        for (config, word) in [
            (SqliteConfig::new(""), "path"),
            (SqliteConfig::new(":memory:"), ":memory:"),
            (fine().readers(0), "readers"),
            (fine().max_batch(0), "max_batch"),
            (fine().max_queue(0, 1), "max_queue"),
            (fine().max_record_bytes(1_000_000_000), "max_record_bytes"),
            (fine().max_bytes(Some(10)), "max_bytes"),
            (fine().cache_bytes(u64::MAX), "cache_bytes"),
            (fine().max_wal_bytes(4096), "max_wal_bytes"),
            (fine().busy_timeout(Duration::MAX), "busy_timeout"),
            (fine().sync_every(Duration::ZERO), "sync_every"),
        ] {
            let error = config.check().unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
