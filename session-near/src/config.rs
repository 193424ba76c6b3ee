//! The options of a cache.

use std::time::Duration;

use session_core::{Result, check_options, setters};

/// How long a record may be used, and how much memory the records may take.
/// [`NearCache::open`](crate::NearCache::open) checks the options.
#[derive(Clone, Debug)]
#[must_use]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct NearConfig {
    #[cfg_attr(feature = "serde", serde(deserialize_with = "session_core::deserialize_duration"))]
    pub(crate) staleness: Duration,
    pub(crate) max_entries: usize,
    pub(crate) max_bytes: u64,
}

impl Default for NearConfig {
    fn default() -> Self {
        Self { staleness: Duration::from_secs(1), max_entries: 10_000, max_bytes: 32 << 20 }
    }
}

impl From<Duration> for NearConfig {
    /// The default options with another bound on staleness.
    fn from(staleness: Duration) -> Self {
        Self::default().staleness(staleness)
    }
}

impl NearConfig {
    setters! {
        /// How old a record may be: the longest time for which this handle may not notice a change through another handle
        /// or process. From 1 ms to 60 s. Default: 1 s.
        staleness: Duration,
        /// How many records the cache keeps. The least recently used ones are dropped first. At least 1. Default: 10,000.
        max_entries: usize,
        /// How many bytes the records may take, with about 200 bytes for each one besides its key and data. A record that
        /// takes more than a sixteenth of it is not kept. At least 64 KiB. Default: 32 MiB.
        max_bytes: u64,
    }

    pub(crate) fn check(&self) -> Result<()> {
        let bounds = Duration::from_millis(1)..=Duration::from_secs(60);
        check_options(&[
            (bounds.contains(&self.staleness), "staleness is not between 1 ms and 60 s"),
            (self.max_entries > 0, "max_entries is zero"),
            (self.max_bytes >= 64 << 10, "max_bytes is less than 64 KiB"),
        ])
    }
}
