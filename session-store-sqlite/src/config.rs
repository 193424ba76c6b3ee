//! The options of a store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use session_core::{Clock, Durability, Result, SystemClock};

/// The page size of the files that this driver creates, in bytes.
pub(crate) const PAGE_BYTES: u64 = 4096;
/// SQLite limits a row to 10^9 bytes; the other columns need some of them.
const LARGEST_VALUE: u64 = 999_000_000;
/// A smaller file has no room for the schema.
const SMALLEST_FILE: u64 = 64 * 1024;

/// The path of a store and its options. Only the path is required.
///
/// [`SqliteStore::open`](crate::SqliteStore::open) checks the options. With the feature `serde` they can be
/// deserialized; durations are text such as `5s`, and missing options have their defaults.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default = "SqliteConfig::without_path", deny_unknown_fields))]
pub struct SqliteConfig {
    pub(crate) path: PathBuf,
    pub(crate) durability: Durability,
    #[cfg_attr(feature = "serde", serde(skip, default = "SystemClock::shared"))]
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
    #[cfg_attr(feature = "serde", serde(deserialize_with = "session_core::deserialize_duration"))]
    pub(crate) busy_timeout: Duration,
    #[cfg_attr(feature = "serde", serde(deserialize_with = "session_core::deserialize_duration"))]
    pub(crate) sync_every: Duration,
    pub(crate) checkpoint_after: u64,
    pub(crate) max_wal_bytes: u64,
}

impl SqliteConfig {
    /// A store in the file at `path`, with the default options.
    #[must_use]
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

    session_core::setters! {
        /// Whether acknowledged writes survive power loss. Default: [`Durability::Process`].
        durability: Durability,
        /// The clock that decides which records are expired. Default: the system clock.
        clock: Arc<dyn Clock>,
        /// Creates a missing file, readable by its owner only (0600). Default: yes.
        create: bool,
        /// Creates the file's directory (0700) if it is missing. Parent directories are never created, so that a
        /// mistyped path or an unmounted disk is an error. Default: no.
        create_directory: bool,
        /// Number of reading connections, 1 to 256. Default: the number of processors, at least 2 and at most 16.
        readers: usize,
        /// Page cache of each connection, in bytes. Default: 8 MiB.
        cache_bytes: u64,
        /// Runs reads on threads of the driver instead of the caller's thread. For slow or network disks, where a read
        /// would block a runtime worker. Default: no.
        offload_reads: bool,
        /// Largest data of one record, in bytes; a larger store fails with `TooLarge`. Default: 16 MiB. Limit:
        /// 999,000,000.
        max_record_bytes: u64,
        /// Largest size of the file, in bytes, without the write-ahead log. Changes of this process that need more fail
        /// with `Full`. Default: no limit.
        max_bytes: u64 => Some(max_bytes),
        /// Most changes that may be queued for the writer. Further changes fail with `Unavailable`. Default: 16,384.
        max_queue: usize,
        /// Most bytes of queued changes. Further changes fail with `Unavailable`. Default: 64 MiB.
        max_queue_bytes: usize,
        /// Most changes in one transaction. Default: 256.
        max_batch: usize,
        /// How long a change waits while another process holds the write lock, before it fails with `Unavailable`.
        /// Opening waits as long for a process that creates the same file. Default: 5 s.
        busy_timeout: Duration,
        /// Under `Process`, how long after a write the log is synchronized in the background. Power loss may undo the
        /// writes of this time. Default: 1 s.
        sync_every: Duration,
        /// Size of the write-ahead log, in bytes, that starts a checkpoint in the background. Default: 16 MiB.
        checkpoint_after: u64,
        /// Size of the write-ahead log, in bytes, at which changes wait until the log is restarted. Default: 64 MiB. The
        /// log grows beyond it only while another process keeps reading one snapshot.
        max_wal_bytes: u64,
    }

    pub(crate) fn check(&self) -> Result<()> {
        let hour = Duration::from_secs(3600);
        session_core::check_path(&self.path)?;
        session_core::check_options(&[
            (self.path != Path::new(":memory:"), "path is ':memory:', and this driver needs a file"),
            ((1..=256).contains(&self.readers), "readers is not in 1..=256"),
            (self.max_batch > 0, "max_batch is zero"),
            (self.max_queue > 0, "max_queue is zero"),
            (self.max_queue_bytes > 0, "max_queue_bytes is zero"),
            (
                (1..=LARGEST_VALUE).contains(&self.max_record_bytes),
                "max_record_bytes is not in 1..=999000000",
            ),
            (self.max_bytes.is_none_or(|bytes| bytes >= SMALLEST_FILE), "max_bytes is below 65536"),
            (self.cache_bytes <= i64::MAX as u64 / 2, "cache_bytes is too large"),
            (self.checkpoint_after >= PAGE_BYTES, "checkpoint_after is below 4096"),
            (self.max_wal_bytes >= self.checkpoint_after, "max_wal_bytes is below checkpoint_after"),
            (self.busy_timeout <= hour, "busy_timeout is longer than an hour"),
            (
                (Duration::from_millis(10)..=hour).contains(&self.sync_every),
                "sync_every is not between 10 ms and an hour",
            ),
        ])
    }
}

session_core::from_path!(SqliteConfig);

#[cfg(test)]
mod tests {
    use session_core::StoreErrorKind;

    use super::*;

    #[test]
    fn wrong_options_are_refused_by_name() {
        let fine = || SqliteConfig::new("sessions.db");
        assert!(fine().check().is_ok());
        for (config, word) in [
            (SqliteConfig::new(""), "path"),
            (SqliteConfig::new(":memory:"), ":memory:"),
            (fine().readers(0), "readers"),
            (fine().max_batch(0), "max_batch"),
            (fine().max_queue(0), "max_queue"),
            (fine().max_queue_bytes(0), "max_queue_bytes"),
            (fine().max_record_bytes(1_000_000_000), "max_record_bytes"),
            (fine().max_bytes(10), "max_bytes"),
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

    #[cfg(feature = "serde")]
    #[test]
    fn options_are_deserialized_and_unknown_ones_refused() {
        let text =
            r#"{"path": "sessions.db", "durability": "power", "max_bytes": 70000, "sync_every": "50ms"}"#;
        let config: SqliteConfig = serde_json::from_str(text).unwrap();
        assert_eq!(
            (config.durability, config.max_bytes, config.max_batch, config.sync_every),
            (Durability::Power, Some(70_000), 256, Duration::from_millis(50))
        );
        assert!(serde_json::from_str::<SqliteConfig>(r#"{"path": "a", "max_file": 1}"#).is_err());
    }
}
