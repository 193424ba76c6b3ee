//! The options of a store.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use session_core::{Clock, Result, SystemClock};

/// The options of a [`SledStore`](crate::SledStore).
///
/// With feature `serde` the options can be read from a configuration file, under the names of the methods, with a `path`
/// and the same defaults; durations are text such as `30s`.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default = "SledConfig::without_path", deny_unknown_fields))]
#[must_use]
pub struct SledConfig {
    #[cfg_attr(feature = "serde", serde(rename = "path"))]
    pub(crate) source: Source,
    pub(crate) create: bool,
    pub(crate) cache_bytes: u64,
    pub(crate) tree: String,
    pub(crate) flush_each_change: bool,
    #[cfg_attr(feature = "serde", serde(skip, default = "SystemClock::shared"))]
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) max_record_bytes: u64,
    pub(crate) scan: usize,
    #[cfg_attr(feature = "serde", serde(deserialize_with = "session_core::deserialize_duration"))]
    pub(crate) flush_timeout: Duration,
}

/// The database that the store uses.
#[derive(Clone)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(from = "PathBuf"))]
pub(crate) enum Source {
    Path(PathBuf),
    Database(sled::Db),
}

impl SledConfig {
    /// A database of the store's own in the directory `path`. A missing directory is created with mode 0700, but no
    /// parents.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::from_source(Source::Path(path.into()))
    }

    /// A tree of a database that the application has opened. Closing the store leaves the database open.
    pub fn in_database(database: sled::Db) -> Self {
        Self::from_source(Source::Database(database))
    }

    fn from_source(source: Source) -> Self {
        Self {
            source,
            create: true,
            cache_bytes: 64 << 20,
            tree: "session-kit".into(),
            flush_each_change: false,
            clock: SystemClock::shared(),
            max_record_bytes: 100 << 10,
            scan: 4_096,
            flush_timeout: Duration::from_secs(30),
        }
    }

    session_core::setters! {
        /// Whether a missing directory, database or tree is created. Default: yes. Without it, opening fails with `Missing`.
        create: bool,
        /// The tree that holds the records. Default: `session-kit`. Nothing else may write to it. With
        /// [`flush_each_change`](Self::flush_each_change) only one store may have it open, because a store knows the
        /// unflushed changes of its own handles only.
        tree: impl Into<String> => tree.into(),
        /// Whether every change is flushed before it is answered, so that it survives a killed process. Default: `false`.
        ///
        /// With `false`, a killed process loses what sled has not flushed by itself, up to half a second of changes. With
        /// `true`, no answer shows an unflushed change either: a reader of one waits for its flush. Neither survives power
        /// loss for certain, because sled offers nothing that does; so this is not
        /// [`Durability`](session_core::Durability).
        flush_each_change: bool,
        /// The clock for deadlines. Default: the wall clock.
        clock: Arc<dyn Clock>,
        /// The largest data of one record, in bytes, 1 to 1 GiB. A larger store fails with `TooLarge`. Default: 100 KiB,
        /// because sled keeps values above about 128 KiB in files of their own, and removes these late.
        max_record_bytes: u64,
        /// How many records one call of `traverse` or `purge` examines, 1 to 1,000,000. Default: 4,096. Other tasks get a
        /// turn after every 128 records.
        scan: usize,
        /// How long a flush may take, 1 ms to an hour. Default: 30 s. After that its callers fail with `Timeout`, and other
        /// calls with `Unavailable` until the flush ends. sled waits forever after some errors.
        flush_timeout: Duration,
        /// The size of sled's page cache, in bytes, at least 1 MiB. Default: 64 MiB. Ignored by
        /// [`in_database`](Self::in_database).
        cache_bytes: u64,
    }

    pub(crate) fn check(&self) -> Result<()> {
        if let Source::Path(path) = &self.source {
            session_core::check_path(path)?;
        }
        let (shortest, longest) = (Duration::from_millis(1), Duration::from_secs(3_600));
        session_core::check_options(&[
            (!self.tree.is_empty() && self.tree != "__sled__default", "tree is empty or sled's default tree"),
            ((1..=1 << 30).contains(&self.max_record_bytes), "max_record_bytes is outside 1 byte to 1 GiB"),
            ((1..=1_000_000).contains(&self.scan), "scan is outside 1 to 1,000,000"),
            ((shortest..=longest).contains(&self.flush_timeout), "flush_timeout is outside 1 ms to 1 h"),
            (self.cache_bytes >= 1 << 20, "cache_bytes is below 1 MiB"),
        ])
    }
}

session_core::from_path!(SledConfig);

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
    }
}

/// Not derived, because the `Debug` of a sled database shows every key and value.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::Database(_) => f.write_str("Database"),
        }
    }
}

#[cfg(all(test, feature = "serde"))]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_from_a_configuration_file() {
        let text = r#"{"path": "/here", "flush_each_change": true, "flush_timeout": "250ms"}"#;
        let config: SledConfig = serde_json::from_str(text).unwrap();
        assert!(matches!(&config.source, Source::Path(path) if path.to_str() == Some("/here")));
        assert!(config.flush_each_change);
        assert_eq!((config.flush_timeout, config.scan), (Duration::from_millis(250), 4_096));
        assert!(serde_json::from_str::<SledConfig>(r#"{"path": "/here", "durability": 1}"#).is_err());
    }
}
