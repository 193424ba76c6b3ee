//! Reading a record, without a lock as a rule.

use session_core::{Key, OnFull, Record, Timestamp};

use crate::error::Fault;
use crate::file::SessionFile;
use crate::layout::{hash, shard};
use crate::protocol::read;
use crate::shard::{Lookup, Shard};

/// How often a reader tries without the lock. A try fails only where the shard was changed meanwhile.
const TRIES: usize = 32;

/// How exactly the store knows when a session was last used, in milliseconds. More exactly, reads would write more.
const USE_GRAIN: u64 = 1000;

impl SessionFile {
    pub(crate) fn retrieve(&self, key: &Key) -> Result<Option<Record>, Fault> {
        let key = key.as_bytes();
        let hash = hash(self.seed, key);
        let Some((record, last_used)) = self.shard_of(hash).read(key, hash)? else { return Ok(None) };
        let evicts = self.on_full == OnFull::Evict;
        if record.expires.is_none() && !evicts {
            return Ok(Some(record));
        }
        let now = self.clock.now();
        if !record.is_live(now) {
            return Ok(None);
        }
        if evicts && now.as_millis().abs_diff(last_used) >= USE_GRAIN {
            self.note_use(key, hash, now);
        }
        Ok(Some(record))
    }

    /// Notes the use of a session if the lock is free. A read does not wait for this.
    #[cold]
    fn note_use(&self, key: &[u8], hash: u64, now: Timestamp) {
        if let Ok(locked) = self.shard_of(hash).lock()
            && let Ok(Lookup::Found(record)) = locked.look(key, hash)
        {
            locked.note_use(&record, now);
        }
    }
}

impl Shard<'_> {
    /// The record of `key`, live or expired, and when it was last used.
    #[inline(always)]
    fn read(self, key: &[u8], hash: u64) -> Result<Option<(Record, u64)>, Fault> {
        for _ in 0..TRIES {
            if let Some(seen) = read(&self.head, shard::STAMP, || self.copy(key, hash)) {
                return seen;
            }
            std::hint::spin_loop();
        }
        self.read_locked(key, hash)
    }

    #[cold]
    fn read_locked(self, key: &[u8], hash: u64) -> Result<Option<(Record, u64)>, Fault> {
        self.lock()?.copy(key, hash)
    }

    #[inline(always)]
    fn copy(&self, key: &[u8], hash: u64) -> Result<Option<(Record, u64)>, Fault> {
        match self.look(key, hash)? {
            Lookup::Missing(_) => Ok(None),
            Lookup::Found(record) => Ok(Some((record.record(self.file.in_place)?, record.head.last_used))),
            Lookup::Damaged(_) => Err(Fault::Damaged("the head of the record")),
        }
    }
}
