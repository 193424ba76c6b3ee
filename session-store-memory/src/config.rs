//! The options of a store.

use std::sync::Arc;

use session_core::{Clock, OnFull, Operation, Result, StoreError, StoreErrorKind};

use crate::bounds::OVERHEAD;

/// The options of a store, for [`MemoryStore::open`](crate::MemoryStore::open).
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(default, deny_unknown_fields))]
#[must_use = "nothing happens until `open`"]
pub struct MemoryConfig {
    pub(crate) max_entries: Option<u64>,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) on_full: Option<OnFull>,
    pub(crate) max_record_bytes: Option<u64>,
    pub(crate) shards: Option<usize>,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) clock: Option<Arc<dyn Clock>>,
}

impl MemoryConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    session_core::setters! {
        /// Sets how many records the store keeps at most; no bound by default. Expired records count until they are removed.
        max_entries: u64 => Some(max_entries),
        /// Sets how many bytes the store keeps at most; no bound by default. Counts the data of each record and [`OVERHEAD`] bytes. A key of more
        /// than 51 bytes, the length of a session's key, counts too.
        max_bytes: u64 => Some(max_bytes),
        /// Sets what happens at the bound; [`OnFull::Reject`] by default. Needs [`max_entries`](Self::max_entries) or [`max_bytes`](Self::max_bytes).
        /// [`OnFull::Evict`] removes sessions nearest to their deadline first. Where every request extends its session,
        /// these are the least recently used ones. The store compares 16 sessions of one shard, not all.
        on_full: OnFull => Some(on_full),
        /// Refuses data of more than this many bytes with the error kind `TooLarge`.
        max_record_bytes: u64 => Some(max_record_bytes),
        /// Sets how many parts with a lock of their own the store has: a power of two from 2 to 65,536,
        /// by default 64, or four for each core where that is more. With more shards,
        /// more threads write at once and traversals of very large stores are cheaper. An empty shard takes about 1 KiB.
        shards: usize => Some(shards),
        /// Sets the clock by which the store judges deadlines; the system clock by default. Not part of `Deserialize`.
        clock: Arc<dyn Clock> => Some(clock),
    }

    pub(crate) fn check(&self) -> Result<()> {
        let too_large = |bytes: u64| self.max_bytes.is_some_and(|most| bytes.saturating_add(OVERHEAD) > most);
        let wrong = if self.max_entries == Some(0) {
            "max_entries is 0"
        } else if too_large(0) {
            "max_bytes is too small for a single record, which takes 160 and its data"
        } else if self.max_record_bytes.is_some_and(too_large) {
            "max_record_bytes does not fit into max_bytes"
        } else if self.on_full.is_some() && self.max_entries.is_none() && self.max_bytes.is_none() {
            "on_full needs max_entries or max_bytes"
        } else if self.shards.is_some_and(|n| !n.is_power_of_two() || !(2..=MAX_SHARDS).contains(&n)) {
            "shards is not a power of two from 2 to 65536"
        } else {
            return Ok(());
        };
        Err(StoreError::new(StoreErrorKind::Misconfigured, Operation::Open).with_detail(wrong))
    }

    pub(crate) fn shard_count(&self) -> usize {
        self.shards.unwrap_or_else(|| {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            (cores * 4).next_power_of_two().clamp(DEFAULT_SHARDS, MAX_SHARDS)
        })
    }
}

/// More than contention asks for, because a page of a traversal looks through the tags of one shard.
const DEFAULT_SHARDS: usize = 64;
const MAX_SHARDS: usize = 1 << 16;
