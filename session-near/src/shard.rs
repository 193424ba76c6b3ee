//! One shard: its records, and the calls that run for each key. All rules of the cache are here.
//!
//! Every event of a shard has a number. The rules:
//!
//! 1. A record enters only if nothing has *disturbed* its key since the call began that brought it. The beginning and the end
//!    of a change disturb, so a read that ran beside a change brings nothing in.
//! 2. While a change runs, the key has no record.
//! 3. A read that finds something else than the cache has disturbs too: another handle has changed the record, and other reads
//!    that run may bring the older one.
//! 4. A change without an answer leaves a *doubt*: for one bound no record enters, because the change may still be made.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hashlink::LruCache;
use session_core::{Key, Record};

/// The memory of a record besides its key and data, in bytes: its entry with its links, and the parts of an allocation.
const OVERHEAD: usize = 200;

/// The limits of a shard.
pub(crate) struct Limits {
    pub(crate) staleness: Duration,
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
    /// The size of the largest record that enters.
    pub(crate) record: usize,
}

pub(crate) struct Shard {
    calls: HashMap<Key, Calls, RandomState>,
    entries: LruCache<Key, Kept, RandomState>,
    bytes: usize,
    /// The number of the last event.
    events: u64,
    closed: bool,
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            calls: HashMap::default(),
            // The limits are applied after each entry, because they count bytes too.
            entries: LruCache::with_hasher(usize::MAX, RandomState::new()),
            bytes: 0,
            events: 0,
            closed: false,
        }
    }
}

/// The calls that run for a key. An entry stays as long as one runs.
#[derive(Default)]
struct Calls {
    reads: usize,
    changes: usize,
    /// The event that disturbed the key last.
    disturbed: u64,
}

enum Kept {
    Record {
        record: Record,
        /// The moment at which the store still had it.
        since: Instant,
        /// The event that brought it.
        event: u64,
    },
    Doubt {
        until: Instant,
    },
}

/// The beginning of a call.
#[derive(Clone, Copy)]
pub(crate) struct Ticket {
    event: u64,
    since: Instant,
}

impl Shard {
    pub(crate) fn recent(&mut self, key: &Key, now: Instant, limits: &Limits) -> Option<Record> {
        match self.entries.get(key)? {
            Kept::Record { record, since, .. } => {
                (now.saturating_duration_since(*since) < limits.staleness).then(|| record.clone())
            }
            Kept::Doubt { .. } => None,
        }
    }

    pub(crate) fn begin_read(&mut self, key: &Key, since: Instant) -> Ticket {
        self.calls_of(key).reads += 1;
        Ticket { event: self.next(), since }
    }

    pub(crate) fn end_read(
        &mut self,
        key: &Key,
        ticket: Ticket,
        found: Option<&Record>,
        keep: bool,
        limits: &Limits,
    ) {
        let calm = self.is_calm(key, ticket, 0);
        match (self.entries.peek(key), found) {
            (Some(Kept::Doubt { until }), _) if ticket.since < *until => {}
            (Some(Kept::Record { record, since, event }), found) => {
                if found
                    .is_some_and(|found| (found.revision, found.expires) == (record.revision, record.expires))
                {
                    let (record, since, event) = (record.clone(), ticket.since.max(*since), *event);
                    if calm && since == ticket.since {
                        self.put(key, Kept::Record { record, since, event }, limits);
                    }
                } else {
                    let is_older = *event < ticket.event;
                    self.disturb(key);
                    self.forget(key);
                    if let Some(found) = found.filter(|_| calm && is_older) {
                        self.bring(key, found, ticket, limits);
                    }
                }
            }
            (_, Some(found)) if keep && calm => self.bring(key, found, ticket, limits),
            // Older reads must not bring what this one has not found, or has found and not kept.
            _ => self.disturb(key),
        }
        self.drop_read(key);
    }

    pub(crate) fn drop_read(&mut self, key: &Key) {
        self.leave(key, |calls| calls.reads -= 1);
    }

    /// Returns the record that leaves the cache, too.
    pub(crate) fn begin_change(&mut self, key: &Key, since: Instant) -> (Ticket, Option<Record>) {
        self.calls_of(key).changes += 1;
        self.disturb(key);
        let before = match self.entries.peek(key) {
            Some(Kept::Record { .. }) => self.forget(key),
            _ => None,
        };
        (Ticket { event: self.next(), since }, before)
    }

    /// `live` is what the store has had after the change, as far as the cache is to keep it.
    pub(crate) fn end_change(&mut self, key: &Key, ticket: Ticket, live: Option<Record>, limits: &Limits) {
        let calm = self.is_calm(key, ticket, 1);
        self.disturb(key);
        let doubtful = matches!(self.entries.peek(key), Some(Kept::Doubt { until }) if ticket.since < *until);
        if let Some(live) = live.filter(|_| calm && !doubtful) {
            self.bring(key, &live, ticket, limits);
        }
        self.leave(key, |calls| calls.changes -= 1);
    }

    pub(crate) fn drop_change(&mut self, key: &Key, now: Instant, limits: &Limits) {
        self.disturb(key);
        self.put(key, Kept::Doubt { until: now + limits.staleness }, limits);
        self.leave(key, |calls| calls.changes -= 1);
    }

    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.entries.clear();
        self.bytes = 0;
    }

    fn next(&mut self) -> u64 {
        self.events += 1;
        self.events
    }

    fn calls_of(&mut self, key: &Key) -> &mut Calls {
        self.calls.entry(key.clone()).or_default()
    }

    /// Whether nothing has disturbed the key since the call began, and no more than `own` changes run.
    fn is_calm(&self, key: &Key, ticket: Ticket, own: usize) -> bool {
        self.calls.get(key).is_some_and(|calls| calls.disturbed < ticket.event && calls.changes == own)
    }

    /// Keeps the reads that run from bringing a record.
    fn disturb(&mut self, key: &Key) {
        let event = self.next();
        if let Some(calls) = self.calls.get_mut(key) {
            calls.disturbed = event;
        }
    }

    fn leave(&mut self, key: &Key, leave: impl FnOnce(&mut Calls)) {
        if let Entry::Occupied(mut entry) = self.calls.entry(key.clone()) {
            let calls = entry.get_mut();
            leave(calls);
            if calls.reads + calls.changes == 0 {
                entry.remove();
            }
        }
    }

    fn bring(&mut self, key: &Key, record: &Record, ticket: Ticket, limits: &Limits) {
        // A copy, because the data may be a small part of a large buffer of the driver.
        let record = Record { data: Bytes::copy_from_slice(&record.data), ..*record };
        let event = self.next();
        self.put(key, Kept::Record { record, since: ticket.since, event }, limits);
    }

    fn put(&mut self, key: &Key, kept: Kept, limits: &Limits) {
        self.forget(key);
        let bytes = size(key, &kept);
        if self.closed || bytes > limits.record {
            return;
        }
        self.bytes += bytes;
        self.entries.insert(key.clone(), kept);
        while self.entries.len() > limits.entries || self.bytes > limits.bytes {
            let Some((key, kept)) = self.entries.remove_lru() else { return };
            self.bytes -= size(&key, &kept);
        }
    }

    fn forget(&mut self, key: &Key) -> Option<Record> {
        let kept = self.entries.remove(key)?;
        self.bytes -= size(key, &kept);
        match kept {
            Kept::Record { record, .. } => Some(record),
            Kept::Doubt { .. } => None,
        }
    }

    #[cfg(test)]
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        (self.entries.len(), self.bytes, self.calls.len())
    }
}

fn size(key: &Key, kept: &Kept) -> usize {
    let data = match kept {
        Kept::Record { record, .. } => record.data.len(),
        Kept::Doubt { .. } => 0,
    };
    key.as_bytes().len() + data + OVERHEAD
}
