//! The cache: shards of records, and the calls that run. Compiled a second time for the loom model.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use session_core::{Key, Record};

use super::config::NearConfig;
use super::shard::{Limits, Shard, Ticket};
use super::sync::{Mutex, MutexGuard, PoisonError, now};

const SHARDS: usize = 16;

/// The records of a store that this process has read lately.
pub(crate) struct Cache {
    shards: Vec<Mutex<Shard>>,
    limits: Limits,
    hasher: RandomState,
}

impl Cache {
    pub(crate) fn new(config: &NearConfig) -> Self {
        // A small cache has one shard, so that it keeps as many records as asked for.
        Self::with_shards(config, if config.max_entries < 64 * SHARDS { 1 } else { SHARDS })
    }

    pub(crate) fn with_shards(config: &NearConfig, shards: usize) -> Self {
        let limits = Limits {
            staleness: config.staleness,
            entries: config.max_entries.div_ceil(shards),
            bytes: usize::try_from(config.max_bytes).unwrap_or(usize::MAX) / shards,
            record: usize::try_from(config.max_bytes).unwrap_or(usize::MAX) / SHARDS,
        };
        let shards = (0..shards).map(|_| Mutex::new(Shard::default())).collect();
        Self { shards, limits, hasher: RandomState::new() }
    }

    pub(crate) const fn staleness(&self) -> Duration {
        self.limits.staleness
    }

    /// The record of `key`, if it was read from the store or written within the bound before `now`.
    pub(crate) fn recent(&self, key: &Key, now: Instant) -> Option<Record> {
        self.shard(key).recent(key, now, &self.limits)
    }

    /// Announces a read of the store.
    pub(crate) fn begin_read<'a>(&'a self, key: &'a Key, now: Instant) -> Reading<'a> {
        let ticket = self.shard(key).begin_read(key, now);
        Reading { call: Call { cache: self, key, ticket }, ended: false }
    }

    /// Announces a change, and forgets the record.
    pub(crate) fn begin_change<'a>(&'a self, key: &'a Key, now: Instant) -> Changing<'a> {
        let (ticket, before) = self.shard(key).begin_change(key, now);
        Changing { call: Call { cache: self, key, ticket }, before, ended: false }
    }

    /// Forgets all records, and keeps none from now on.
    pub(crate) fn close(&self) {
        for shard in &self.shards {
            lock(shard).close();
        }
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard> {
        // One shard in the model and in small caches, where nothing is hashed.
        let at =
            if self.shards.len() == 1 { 0 } else { self.hasher.hash_one(key) as usize % self.shards.len() };
        lock(&self.shards[at])
    }

    #[cfg(test)]
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        let counts = self.shards.iter().map(|shard| lock(shard).counts());
        counts.fold((0, 0, 0), |all, one| (all.0 + one.0, all.1 + one.1, all.2 + one.2))
    }
}

/// No call panics while it holds the lock, except where memory ends.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Call<'a> {
    cache: &'a Cache,
    key: &'a Key,
    ticket: Ticket,
}

/// A read of the store that runs. Dropping it says that no answer has come.
pub(crate) struct Reading<'a> {
    call: Call<'a>,
    ended: bool,
}

impl Reading<'_> {
    /// The answer has come. With `keep` the record enters the cache, unless a change has run meanwhile.
    pub(crate) fn end(mut self, found: Option<&Record>, keep: bool) {
        self.ended = true;
        let Call { cache, key, ticket } = &self.call;
        cache.shard(key).end_read(key, *ticket, found, keep, &cache.limits);
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let Call { cache, key, .. } = &self.call;
            cache.shard(key).drop_read(key);
        }
    }
}

/// A change that runs. Dropping it says that its outcome is unknown.
pub(crate) struct Changing<'a> {
    call: Call<'a>,
    before: Option<Record>,
    ended: bool,
}

impl Changing<'_> {
    /// The record that the cache had before the change.
    pub(crate) const fn before(&self) -> Option<&Record> {
        self.before.as_ref()
    }

    /// The answer has come, and says that the store has had this record. It enters the cache if the cache had a record of
    /// this key before, so that keys which are never read take no memory.
    pub(crate) fn end(mut self, live: Option<Record>) {
        self.ended = true;
        let live = live.filter(|_| self.before.is_some());
        let Call { cache, key, ticket } = &self.call;
        cache.shard(key).end_change(key, *ticket, live, &cache.limits);
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let Call { cache, key, .. } = &self.call;
            cache.shard(key).drop_change(key, now(), &cache.limits);
        }
    }
}
