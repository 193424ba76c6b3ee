//! Opening a store.

use std::sync::Arc;

use session_core::{
    Capabilities, ExpiryMode, Gate, OnFull, Result, RollsBack, Shared, Survives, SystemClock,
};

use crate::bounds::{OVERHEAD, Usage};
use crate::config::MemoryConfig;
use crate::store::{Inner, MemoryStore};
use crate::table::Table;

impl MemoryStore {
    /// Opens a store without bounds, on the system clock.
    ///
    /// # Errors
    /// `Entropy` where the operating system has no random bytes.
    pub fn new() -> Result<Self> {
        Self::open(MemoryConfig::new())
    }

    /// Opens a store with options.
    ///
    /// # Errors
    /// `Misconfigured` for options that contradict each other or are out of range; `Entropy` where the operating
    /// system has no random bytes.
    pub fn open(config: impl Into<MemoryConfig>) -> Result<Self> {
        let config = config.into();
        config.check()?;
        let clock = config.clock.clone().unwrap_or_else(SystemClock::shared);
        let on_full = config.on_full.unwrap_or_default();
        let most = config.max_bytes.map(|bytes| bytes.saturating_sub(OVERHEAD));
        let capabilities = Capabilities::none()
            .conditional(true)
            .survives(Survives::Nothing)
            .rolls_back(RollsBack::Never)
            .shared(Shared::Process)
            .expiry(ExpiryMode::Caller)
            .max_record_bytes(config.max_record_bytes.or(most))
            .evicts(on_full == OnFull::Evict)
            .exactly_once(true)
            .at_once(true);
        Ok(Self(Arc::new(Inner {
            table: Table::new(config.shard_count(), clock.now())?,
            usage: Usage::new(config.max_entries, config.max_bytes),
            on_full,
            max_record_bytes: config.max_record_bytes,
            clock,
            gate: Gate::new(),
            capabilities,
        })))
    }
}
