//! The options of a store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use session_core::{Clock, OnFull, Operation, Result, StoreError, StoreErrorKind, SystemClock};

use crate::layout::{Geometry, UNIT};

/// Where the store is and how it works. Only the path is required. [`MmapStore::open`](crate::MmapStore::open) checks
/// the options.
///
/// `max_bytes`, `shards` and `extent_bytes` are fixed when the file is created. Opening it with other values fails.
///
/// With the feature `serde` the options can be read from a configuration file, under the names of the methods.
/// Durations are text with a unit: `"500ms"`, `"5s"`.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default = "MmapConfig::without_path", deny_unknown_fields))]
#[must_use]
pub struct MmapConfig {
    pub(crate) path: PathBuf,
    #[cfg_attr(feature = "serde", serde(skip, default = "SystemClock::shared"))]
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) create: bool,
    pub(crate) create_directory: bool,
    pub(crate) max_bytes: u64,
    pub(crate) shards: Option<u64>,
    pub(crate) extent_bytes: Option<u64>,
    pub(crate) on_full: OnFull,
    pub(crate) max_record_bytes: Option<u64>,
    #[cfg_attr(feature = "serde", serde(deserialize_with = "session_core::deserialize_duration"))]
    pub(crate) busy_timeout: Duration,
    #[cfg_attr(feature = "serde", serde(deserialize_with = "session_core::deserialize_duration"))]
    pub(crate) open_timeout: Duration,
}

impl MmapConfig {
    /// A store in the file at `path`, with defaults for everything else.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            clock: SystemClock::shared(),
            create: true,
            create_directory: false,
            max_bytes: 1 << 30,
            shards: None,
            extent_bytes: None,
            on_full: OnFull::Reject,
            max_record_bytes: None,
            busy_timeout: Duration::from_secs(5),
            open_timeout: Duration::from_secs(30),
        }
    }

    session_core::setters! {
        /// The clock that decides whether a record has expired. Default: the system clock.
        clock: Arc<dyn Clock>,
        /// Whether to create a missing file, readable by its owner only (0600). Default: yes.
        create: bool,
        /// Whether to create a missing directory for the file (0700). Only its last level is created, so that a mistyped
        /// path or an unmounted disk is noticed. Default: no.
        create_directory: bool,
        /// The largest size of the file, in bytes, from 64 KiB to 128 GiB. The file starts small and grows. The process
        /// reserves this much address space. Default: 1 GiB.
        max_bytes: u64,
        /// How many parts have a lock of their own: a power of two, at most 4096. Default: up to 64, by `max_bytes`.
        shards: u64 => Some(shards),
        /// How many bytes a shard takes from the file at a time: a power of two from 4 KiB to 16 MiB. A record larger than
        /// half of this has extents of its own. Default: 4 KiB to 1 MiB, by `max_bytes`; 64 KiB for a file of 1 GiB.
        extent_bytes: u64 => Some(extent_bytes),
        /// What happens when a record finds no room. [`OnFull::Evict`] removes the least recently used sessions first.
        /// Default: [`OnFull::Reject`].
        on_full: OnFull,
        /// The largest data of one record, in bytes, at most half of the file. More is `TooLarge`. Default: 16 MiB, or a
        /// quarter of the file if that is less.
        max_record_bytes: u64 => Some(max_record_bytes),
        /// How long an operation waits for a lock before it fails with `Unavailable` and changes nothing. Locks are held
        /// for microseconds as a rule. Default: 5 s.
        busy_timeout: Duration,
        /// How long opening waits for another process that is opening the same file before it fails with `Unavailable`.
        /// Default: 30 s.
        open_timeout: Duration,
    }

    pub(crate) fn geometry(&self) -> Result<Geometry> {
        let (extent, shards) = Geometry::defaults(self.max_bytes);
        let (extent, shards) = (self.extent_bytes.unwrap_or(extent), self.shards.unwrap_or(shards));
        Geometry::new(self.max_bytes, extent, shards).ok_or_else(|| {
            misconfigured(format!(
                "max_bytes {} (at most 128 GiB), extent_bytes {extent} and shards {shards} (powers of two) leave less \
                 than two extents per shard and six more",
                self.max_bytes
            ))
        })
    }

    /// The largest data of a record in this geometry.
    pub(crate) fn record_limit(&self, geometry: &Geometry) -> Result<u64> {
        let room = u64::from(geometry.extents) * geometry.extent_bytes;
        // Less a head, the longest key and the last unit.
        let largest = (room / 2).saturating_sub(512 + UNIT);
        match self.max_record_bytes {
            None => Ok((16 << 20).min(room / 4)),
            Some(bytes) if bytes <= largest => Ok(bytes),
            Some(bytes) => Err(misconfigured(format!(
                "max_record_bytes {bytes} is more than {largest}, half of the file"
            ))),
        }
    }
}

pub(crate) fn misconfigured(detail: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Misconfigured, Operation::Open).with_detail(detail)
}

session_core::from_path!(MmapConfig);

#[cfg(all(test, feature = "serde"))]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_from_a_configuration_file() {
        let text = r#"{"path": "a", "max_bytes": 65536, "on_full": "evict", "busy_timeout": "20ms"}"#;
        let config: MmapConfig = serde_json::from_str(text).unwrap();
        assert_eq!((config.max_bytes, config.on_full), (65_536, OnFull::Evict));
        assert_eq!(config.busy_timeout, Duration::from_millis(20));
        assert_eq!(config.open_timeout, MmapConfig::new("a").open_timeout);
        assert!(serde_json::from_str::<MmapConfig>(r#"{"path": "a", "max_byte": 1}"#).is_err());
    }
}
