//! The options of a store.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use session_core::{Clock, Operation, Result, StoreError, StoreErrorKind, SystemClock};

/// What an acknowledged write survives. sled offers nothing that survives power loss for certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Durability {
    /// An orderly `close`. A killed process loses what sled had not flushed by itself: up to half a second of changes,
    /// the oldest of them acknowledged that long ago.
    #[default]
    Relaxed,
    /// The sudden death of the process. A change is flushed before it is answered, and whoever reads a change that is
    /// not flushed yet waits for it too: no answer tells of what a kill could take back.
    Process,
}

/// Where the store is and how it works.
#[derive(Clone, Debug)]
#[must_use]
pub struct SledConfig {
    pub(crate) place: Place,
    pub(crate) cache_bytes: u64,
    pub(crate) options: Options,
}

#[derive(Clone)]
pub(crate) enum Place {
    Path(PathBuf),
    Database(sled::Db),
}

/// What a store needs to know of its options once it is open.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) tree: String,
    pub(crate) durability: Durability,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) max_record_bytes: u64,
    pub(crate) scan: usize,
    pub(crate) flush_timeout: Duration,
}

impl SledConfig {
    /// A database of its own in the directory at `path`, which is made (0700) if it is missing, but not its parents.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::at(Place::Path(path.into()))
    }

    /// A tree of a database that the application has opened already. Closing the store leaves the database open.
    pub fn in_database(database: sled::Db) -> Self {
        Self::at(Place::Database(database))
    }

    fn at(place: Place) -> Self {
        Self {
            place,
            cache_bytes: 64 << 20,
            options: Options {
                tree: "session-kit".into(),
                durability: Durability::default(),
                clock: SystemClock::shared(),
                max_record_bytes: 100 << 10,
                scan: 4_096,
                flush_timeout: Duration::from_secs(30),
            },
        }
    }

    /// The tree that holds the records. Default: `session-kit`. Nothing else may write there, and one store at a time
    /// may have it open with [`Durability::Process`], for it knows only of its own changes whether they are flushed.
    pub fn tree(mut self, name: impl Into<String>) -> Self {
        self.options.tree = name.into();
        self
    }

    /// What an acknowledged write survives. Default: [`Durability::Relaxed`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.options.durability = durability;
        self
    }

    /// The clock that decides what has expired. Default: the wall clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.options.clock = clock;
        self
    }

    /// The largest data of one record, in bytes, 1 to 1 GiB; more is `TooLarge`. Default: 100 KiB, for sled keeps what
    /// is larger than about 128 KiB in files of its own, and removes these late.
    pub fn max_record_bytes(mut self, bytes: u64) -> Self {
        self.options.max_record_bytes = bytes;
        self
    }

    /// How many records one call of `traverse` or `purge` looks at, 1 to 1,000,000. Default: 4,096. The worker is given
    /// back after every 128 of them.
    pub fn scan(mut self, records: usize) -> Self {
        self.options.scan = records;
        self
    }

    /// How long a flush may take, 1 ms to an hour, before those who wait for it get `Timeout` and changes are refused
    /// as `Unavailable`, until it comes to its end. Default: 30 s. sled waits for ever after some errors.
    pub fn flush_timeout(mut self, limit: Duration) -> Self {
        self.options.flush_timeout = limit;
        self
    }

    /// sled's page cache, in bytes, for a database of its own; at least 1 MiB. Default: 64 MiB.
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// What is wrong with the options by themselves.
    pub(crate) fn check(&self) -> Result<()> {
        let options = &self.options;
        let wrong =
            |detail| Err(StoreError::new(StoreErrorKind::Misconfigured, Operation::Open).with_detail(detail));
        if options.tree.is_empty() || options.tree == "__sled__default" {
            return wrong("the tree needs a name of its own");
        }
        if options.max_record_bytes == 0 || options.max_record_bytes > 1 << 30 {
            return wrong("max_record_bytes is 1 byte to 1 GiB");
        }
        if !(1..=1_000_000).contains(&options.scan) {
            return wrong("scan is 1 to 1,000,000 records");
        }
        if !(Duration::from_millis(1)..=Duration::from_secs(3_600)).contains(&options.flush_timeout) {
            return wrong("flush_timeout is 1 ms to an hour");
        }
        if self.cache_bytes < 1 << 20 {
            return wrong("cache_bytes is at least 1 MiB");
        }
        Ok(())
    }
}

/// Not derived: sled's `Debug` of a database shows every key and value in it.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::Database(_) => f.write_str("Database"),
        }
    }
}
