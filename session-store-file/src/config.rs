//! The options of a store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use session_core::{Clock, Durability, Result, SystemClock};

const LARGEST_RECORD: u64 = 1 << 30;

/// The options of a [`FileStore`](crate::FileStore). Only the path is required.
///
/// With feature `serde` the options can be read from a configuration file, under the names of the methods and with the
/// same defaults; durations are text such as `5s`.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default = "FileConfig::without_path", deny_unknown_fields))]
#[must_use]
pub struct FileConfig {
    pub(crate) path: PathBuf,
    pub(crate) create: bool,
    pub(crate) create_directory: bool,
    pub(crate) durability: Durability,
    #[cfg_attr(feature = "serde", serde(deserialize_with = "session_core::deserialize_duration"))]
    pub(crate) busy_timeout: Duration,
    pub(crate) max_record_bytes: u64,
    pub(crate) offload_reads: bool,
    pub(crate) offload_threshold: usize,
    pub(crate) threads: usize,
    pub(crate) max_queue: usize,
    #[cfg_attr(feature = "serde", serde(skip, default = "SystemClock::shared"))]
    pub(crate) clock: Arc<dyn Clock>,
}

impl FileConfig {
    /// A store in the directory `path`, with default options.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            create: true,
            create_directory: false,
            durability: Durability::Process,
            busy_timeout: Duration::from_secs(5),
            max_record_bytes: 16 << 20,
            offload_reads: false,
            offload_threshold: 128 << 10,
            threads: 8,
            max_queue: 16_384,
            clock: SystemClock::shared(),
        }
    }

    session_core::setters! {
        /// Whether an empty directory becomes a store. With `false`, only an existing store is opened, which detects an
        /// unmounted disk. Default: `true`.
        create: bool,
        /// Whether a missing directory is created, with mode 0700. Parents are never created, which detects a mistyped
        /// path. Default: `false`.
        create_directory: bool,
        /// The failures that an acknowledged write survives. Default: [`Durability::Process`].
        ///
        /// With `Process`, power loss may undo changes since the kernel last wrote back (usually 30 s) or since `flush`.
        /// With `Power`, each change waits until file and directory are synchronised, on worker threads.
        durability: Durability,
        /// How long a change waits for the lock of its shard before it fails with `Unavailable`. Default: 5 s.
        busy_timeout: Duration,
        /// The largest data of one record, in bytes, 1 to 1 GiB. A larger store fails with `TooLarge`. Default: 16 MiB.
        max_record_bytes: u64,
        /// Whether reads run on worker threads. For slow disks, where a read would block a runtime worker for long.
        /// Default: `false`.
        offload_reads: bool,
        /// The size of data, in bytes, from which records are read and written on worker threads under
        /// [`Durability::Process`] too, because copying and checking them takes long. Default: 128 KiB.
        offload_threshold: usize,
        /// How many worker threads make changes, 1 to 256. It bounds how many `fsync` calls run at once. Threads start
        /// when they are needed. Default: 8.
        threads: usize,
        /// How many operations may be queued for worker threads. Further ones fail with `Unavailable`. Default: 16,384.
        max_queue: usize,
        /// The clock for deadlines. Default: the wall clock.
        clock: Arc<dyn Clock>,
    }

    pub(crate) fn check(&self) -> Result<()> {
        session_core::check_path(&self.path)?;
        session_core::check_options(&[
            (
                (1..=LARGEST_RECORD).contains(&self.max_record_bytes),
                "max_record_bytes is outside 1 byte to 1 GiB",
            ),
            (self.max_queue > 0, "max_queue is 0"),
            ((1..=256).contains(&self.threads), "threads is outside 1 to 256"),
        ])
    }
}

session_core::from_path!(FileConfig);

#[cfg(all(test, feature = "serde"))]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_from_a_configuration_file() {
        let text = r#"{"path": "/here", "durability": "power", "busy_timeout": "250ms"}"#;
        let config: FileConfig = serde_json::from_str(text).unwrap();
        assert_eq!((config.path.to_str(), config.durability), (Some("/here"), Durability::Power));
        assert_eq!((config.busy_timeout, config.threads), (Duration::from_millis(250), 8));
        assert!(serde_json::from_str::<FileConfig>(r#"{"path": "/here", "thread": 1}"#).is_err());
    }
}
