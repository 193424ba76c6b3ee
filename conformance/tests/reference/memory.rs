//! The memory of a defect.

use std::collections::{HashMap, HashSet};
use std::thread::ThreadId;
use std::time::Instant;

use session_core::{ChangeRequest, Key, Record, Revision, Timestamp};

/// Each handle with its clones has one of its own.
#[derive(Debug, Default)]
pub struct Memory {
    /// The records that were stored under each key, the newest last.
    pub versions: HashMap<Key, Vec<Record>>,
    /// The record of each key, as this handle knows it.
    pub cache: HashMap<Key, Option<Record>>,
    /// The first deadline of each key.
    pub first_due: HashMap<Key, Timestamp>,
    /// The keys with an odd number of calls.
    odd: HashSet<Key>,
    pub last: Option<(Key, Revision)>,
    pub changes: u64,
    pub reads: u64,
    /// Set once an id was refused, a call failed, the backend was away, or the store was full.
    pub refused: bool,
    pub failed: bool,
    pub away: bool,
    pub full: bool,
    pub thread: Option<ThreadId>,
    /// The cache of `retrieve_recent`, and how many changes it has seen begin or end.
    pub recent: HashMap<Key, (Record, Instant)>,
    pub turns: u64,
}

impl Memory {
    pub fn newest(&self, key: &Key) -> Option<Record> {
        self.versions.get(key)?.last().cloned()
    }

    pub fn one_behind(&self, key: &Key) -> Option<Record> {
        self.versions.get(key)?.iter().rev().nth(1).cloned()
    }

    /// Whether this is an odd call for the key: the first, the third and so on.
    pub fn is_odd(&mut self, key: &Key) -> bool {
        if self.odd.remove(key) {
            return false;
        }
        self.odd.insert(key.clone())
    }

    pub fn has_changed(&mut self, key: &Key, request: ChangeRequest, caches: bool) {
        self.changes += 1;
        let stored = match request {
            ChangeRequest::Store { record, .. } => Some(record),
            ChangeRequest::Remove { .. } => None,
            ChangeRequest::Touch(_) => return,
        };
        if let Some(record) = &stored {
            self.last = Some((key.clone(), record.revision));
            if let Some(deadline) = record.expires {
                self.first_due.entry(key.clone()).or_insert(deadline);
            }
            self.versions.entry(key.clone()).or_default().push(record.clone());
        }
        if caches {
            self.cache.insert(key.clone(), stored);
        } else {
            self.cache.remove(key);
        }
    }
}
