//! The cache under loom: every order of the steps of a few threads, with the files of the cache compiled on loom's locks.
#![allow(
    clippy::duplicate_mod,
    dead_code,
    unreachable_pub,
    reason = "the model compiles files of the library and uses a part of them"
)]

mod sync {
    use std::sync::OnceLock;
    pub(crate) use std::sync::PoisonError;
    use std::time::Instant;

    pub(crate) use loom::sync::{Mutex, MutexGuard};

    /// Time stands still, so that a model takes the same steps in every run and no record is too old.
    #[expect(clippy::disallowed_methods, reason = "an arbitrary moment, read once")]
    pub(crate) fn now() -> Instant {
        static START: OnceLock<Instant> = OnceLock::new();
        *START.get_or_init(Instant::now)
    }
}

#[path = "cache.rs"]
mod cache;
#[path = "config.rs"]
mod config;
#[path = "shard.rs"]
mod shard;

use std::sync::Arc;
use std::time::Duration;

use loom::sync::Mutex;
use loom::thread;
use session_core::{Key, Record, Revision};

use self::cache::Cache;
use self::config::NearConfig;
use self::sync::now;

/// A store of one record behind a cache.
struct Stage {
    cache: Cache,
    store: Mutex<Option<u8>>,
}

fn key() -> Key {
    Key::parse("session:one").unwrap()
}

fn record(number: u8) -> Record {
    Record::new(vec![number], None, Revision::from_bytes([number; 8]))
}

impl Stage {
    fn new() -> Arc<Self> {
        let cache = Cache::with_shards(&NearConfig::from(Duration::from_secs(1)), 1);
        Arc::new(Self { cache, store: Mutex::new(Some(1)) })
    }

    fn stored(&self) -> Option<u8> {
        *self.store.lock().unwrap()
    }

    fn read(&self) -> Option<u8> {
        let key = key();
        if let Some(kept) = self.cache.recent(&key, now()) {
            return Some(kept.data[0]);
        }
        let reading = self.cache.begin_read(&key, now());
        let found = self.stored();
        reading.end(found.map(record).as_ref(), true);
        found
    }

    fn change(&self, to: Option<u8>) {
        let key = key();
        let changing = self.cache.begin_change(&key, now());
        *self.store.lock().unwrap() = to;
        changing.end(to.map(record));
    }

    /// All calls have ended: the cache has nothing, or what the store has.
    fn check(&self) {
        let kept = self.cache.recent(&key(), now()).map(|record| record.data[0]);
        assert!(kept.is_none() || kept == self.stored());
        assert_eq!(self.cache.counts().2, 0, "no call is left");
    }
}

fn model(threads: [fn(&Stage); 2], last: fn(&Stage)) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let stage = Stage::new();
        let others = threads.map(|steps| {
            let stage = Arc::clone(&stage);
            thread::spawn(move || steps(&stage))
        });
        last(&stage);
        others.into_iter().for_each(|other| other.join().unwrap());
        stage.check();
    });
}

#[test]
fn slow_reads_never_bring_a_removed_record_back() {
    let read = |stage: &Stage| {
        let _ = stage.read();
    };
    model([read, read], |stage| {
        stage.change(None);
        assert_eq!(stage.read(), None, "the record was removed");
        assert!(stage.cache.recent(&key(), now()).is_none());
    });
}

#[test]
fn overlapping_changes_leave_no_old_record() {
    let store = |stage: &Stage| {
        stage.read();
        stage.change(Some(2));
    };
    model(
        [store, |stage| {
            let _ = stage.read();
        }],
        |stage| stage.change(Some(3)),
    );
}

#[test]
fn dropped_change_keeps_reads_from_the_cache() {
    model(
        [
            |stage| {
                let _ = stage.read();
            },
            |stage| {
                let _ = stage.read();
            },
        ],
        |stage| {
            stage.read();
            let key = key();
            drop(stage.cache.begin_change(&key, now()));
            // The store makes the change later.
            assert!(stage.cache.recent(&key, now()).is_none());
            *stage.store.lock().unwrap() = None;
            assert_eq!(stage.read(), None);
        },
    );
}
