//! The options of a store.

use std::path::PathBuf;
use std::sync::Arc;

use session_core::{Clock, SystemClock};

/// What an acknowledged write survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Durability {
    /// An orderly `close`. A killed process loses what sled had not flushed by itself: every half second by default,
    /// and in a probe 706 of 2,000 inserts.
    #[default]
    Relaxed,
    /// The sudden death of the process: a flush before the answer, one for all who wait. It is not power-safe, for
    /// sled 0.34 does not promise that of its flush.
    Process,
}

/// Where the store is and how it works.
#[derive(Clone, Debug)]
#[must_use]
pub struct Config {
    pub(crate) place: Place,
    pub(crate) tree: String,
    pub(crate) durability: Durability,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) max_value: u64,
    pub(crate) scan: usize,
    pub(crate) cache_bytes: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Place {
    Path(PathBuf),
    Database(sled::Db),
}

impl Config {
    /// A database of its own in the directory at `path`, which is made (0700) if it is missing, but not its parents.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::at(Place::Path(path.into()))
    }

    /// A tree of a database that the application has opened already.
    pub fn in_database(database: sled::Db) -> Self {
        Self::at(Place::Database(database))
    }

    fn at(place: Place) -> Self {
        Self {
            place,
            tree: "session-kit".into(),
            durability: Durability::default(),
            clock: SystemClock::shared(),
            max_value: 16 << 20,
            scan: 4_096,
            cache_bytes: 64 << 20,
        }
    }

    /// The tree that holds the records. Default: `session-kit`. Nothing else may write there.
    pub fn tree(mut self, name: impl Into<String>) -> Self {
        self.tree = name.into();
        self
    }

    /// What an acknowledged write survives. Default: [`Durability::Relaxed`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// The clock that decides what has expired. Default: the wall clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The largest data of one record, in bytes; more is `TooLarge`. Default: 16 MiB.
    pub fn max_value(mut self, bytes: u64) -> Self {
        self.max_value = bytes;
        self
    }

    /// How many records one call of `traverse` or `purge` looks at, 1 to 1,000,000: both run in place. Default:
    /// 4,096, some milliseconds.
    pub fn scan(mut self, records: usize) -> Self {
        self.scan = records;
        self
    }

    /// sled's page cache, in bytes, for a database of its own; at least 1 MiB. Default: 64 MiB.
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes;
        self
    }
}
