//! What can be chosen about a store, and the errors of choosing wrong.

use std::sync::Arc;

use session_core::{Clock, Operation, Result, StoreError, StoreErrorKind, SystemClock};

use crate::usage::OVERHEAD;

/// The options of a store, for [`MemoryStore::open`](crate::Memory::open). Whoever needs none calls
/// [`MemoryStore::new`](crate::Memory::new).
///
/// | option | default |
/// |---|---|
/// | [`max_entries`](Self::max_entries) | no bound |
/// | [`max_bytes`](Self::max_bytes) | no bound |
/// | [`on_full`](Self::on_full) | [`OnFull::Reject`] |
/// | [`max_record_bytes`](Self::max_record_bytes) | no bound but `max_bytes` |
/// | [`shards`](Self::shards) | 64, or four for each core where that is more |
/// | [`clock`](Self::clock) | [`SystemClock`] |
#[derive(Clone, Debug, Default)]
#[must_use = "nothing happens until `open`"]
pub struct MemoryConfig {
    pub(crate) max_entries: Option<u64>,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) on_full: Option<OnFull>,
    pub(crate) max_record_bytes: Option<u64>,
    pub(crate) shards: Option<usize>,
    pub(crate) clock: Option<Arc<dyn Clock>>,
}

/// What happens to a new record when the store has reached its bound and nothing in it has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnFull {
    /// It is refused with the error kind `Full`, and what was there stays.
    #[default]
    Reject,
    /// Live sessions make room, those nearest to their deadline first (that is, where every request extends its
    /// session, those unused for longest). Sixteen of one shard are compared for each, not all. Only keys of prefix
    /// `session` are ever evicted; where there are none left, the record is refused.
    Evict,
}

impl MemoryConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// At most this many records are kept, expired ones that nobody has removed yet included.
    pub fn max_entries(mut self, entries: u64) -> Self {
        self.max_entries = Some(entries);
        self
    }

    /// At most this many bytes are kept. What counts is the data of each record and [`OVERHEAD`] bytes for the rest of
    /// it; a key longer than a session's, which has 51 bytes, counts by its length, too.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// What to do at the bound. Only with [`max_entries`](Self::max_entries) or [`max_bytes`](Self::max_bytes).
    pub fn on_full(mut self, policy: OnFull) -> Self {
        self.on_full = Some(policy);
        self
    }

    /// Data of more than this many bytes is refused with the error kind `TooLarge`.
    pub fn max_record_bytes(mut self, bytes: u64) -> Self {
        self.max_record_bytes = Some(bytes);
        self
    }

    /// Into how many parts with a lock of their own the store is divided: a power of two from 2 to 65,536. More parts
    /// let more threads write at once and make traversals of very large stores cheaper; each costs about 2 KiB.
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = Some(shards);
        self
    }

    /// The clock by which deadlines are judged.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Whether these options can be kept.
    pub(crate) fn check(&self) -> Result<()> {
        if self.max_entries == Some(0) {
            return Err(misconfigured("max_entries is at least 1; leave it out for no bound"));
        }
        if self.max_bytes.is_some_and(|bytes| bytes < OVERHEAD) {
            return Err(misconfigured(
                "max_bytes is too small for a single record, which takes 160 and its data",
            ));
        }
        if let (Some(value), Some(total)) = (self.max_record_bytes, self.max_bytes)
            && value.saturating_add(OVERHEAD) > total
        {
            return Err(misconfigured("max_record_bytes does not fit into max_bytes"));
        }
        if self.on_full.is_some() && self.max_entries.is_none() && self.max_bytes.is_none() {
            return Err(misconfigured("on_full needs max_entries or max_bytes"));
        }
        if self.shards.is_some_and(|n| !n.is_power_of_two() || !(2..=MAX_SHARDS).contains(&n)) {
            return Err(misconfigured("shards is a power of two from 2 to 65536"));
        }
        Ok(())
    }

    pub(crate) fn shard_count(&self) -> usize {
        self.shards.unwrap_or_else(|| {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            (cores * 4).next_power_of_two().clamp(DEFAULT_SHARDS, MAX_SHARDS)
        })
    }

    pub(crate) fn clock_or_system(&self) -> Arc<dyn Clock> {
        self.clock.clone().unwrap_or_else(SystemClock::shared)
    }
}

/// More than contention asks for: a page of a traversal looks through the tags of one shard, and a purge locks one.
const DEFAULT_SHARDS: usize = 64;
const MAX_SHARDS: usize = 1 << 16;

fn misconfigured(detail: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Misconfigured, Operation::Open).with_detail(detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn what_is_wrong_is_an_error_when_the_store_is_made() {
        for (options, word) in [
            (MemoryConfig::new().max_entries(0), "max_entries"),
            (MemoryConfig::new().max_bytes(159), "max_bytes"),
            (MemoryConfig::new().max_bytes(1_000).max_record_bytes(841), "max_record_bytes"),
            (MemoryConfig::new().on_full(OnFull::Evict), "on_full"),
            (MemoryConfig::new().shards(0), "shards"),
            (MemoryConfig::new().shards(1), "shards"),
            (MemoryConfig::new().shards(48), "shards"),
            (MemoryConfig::new().shards(1 << 17), "shards"),
        ] {
            let error = MemoryStore::open(options).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
            assert_eq!(error.operation(), Operation::Open);
            assert!(error.to_string().contains(word), "{error}");
        }
        let most =
            MemoryConfig::new().max_bytes(1_000).max_record_bytes(840).on_full(OnFull::Evict).shards(2);
        assert!(MemoryStore::open(most.max_entries(1)).is_ok());
    }
}
