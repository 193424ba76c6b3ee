//! The options of a store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use session_core::{Clock, Operation, Result, StoreError, StoreErrorKind, SystemClock};

/// A frame larger than this could not be read back in one piece everywhere.
const LARGEST_VALUE: u64 = 1 << 30;

/// What an acknowledged write survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Durability {
    /// The sudden death of the process. After power loss the store opens and is consistent, and what was written
    /// since the kernel last wrote back (30 s as a rule, or since `flush`) may be absent or older.
    #[default]
    Process,
    /// Power loss too: file and directory are synchronised before the answer, on threads of the driver.
    Power,
}

/// Where the store is and how it works. Only the directory is required; [`File::open`](crate::File::open) checks the
/// options and says what is wrong with them.
#[derive(Clone, Debug)]
#[must_use]
pub struct FileConfig {
    pub(crate) root: PathBuf,
    pub(crate) durability: Durability,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) create: bool,
    pub(crate) create_directory: bool,
    pub(crate) offload_reads: bool,
    pub(crate) offload_from: usize,
    pub(crate) max_record_bytes: u64,
    pub(crate) max_queue: usize,
    pub(crate) threads: usize,
    pub(crate) busy_timeout: Duration,
}

impl FileConfig {
    /// A store in the directory `root`, everything else by default.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            durability: Durability::Process,
            clock: SystemClock::shared(),
            create: true,
            create_directory: false,
            offload_reads: false,
            offload_from: 128 << 10,
            max_record_bytes: 16 << 20,
            max_queue: 16_384,
            threads: 8,
            busy_timeout: Duration::from_secs(5),
        }
    }

    /// What an acknowledged write survives. Default: [`Durability::Process`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// The clock that decides what has expired. Default: the wall clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Whether an empty directory becomes a store. With `false` only a directory that is one already is opened, so
    /// that an unmounted disk is noticed. Default: yes.
    pub fn create(mut self, yes: bool) -> Self {
        self.create = yes;
        self
    }

    /// Whether a missing directory is made (0700): the last level only, so that a mistyped path is noticed.
    /// Default: no.
    pub fn create_directory(mut self, yes: bool) -> Self {
        self.create_directory = yes;
        self
    }

    /// Whether reads run on threads of the driver instead of the caller's: for slow disks, where a read would stall
    /// a runtime worker. Default: no.
    pub fn offload_reads(mut self, yes: bool) -> Self {
        self.offload_reads = yes;
        self
    }

    /// The size of data, in bytes, from which it is read and written on threads of the driver under `Process` too:
    /// copying and checking it takes too long for a runtime worker. Default: 128 KiB.
    pub fn offload_from(mut self, bytes: usize) -> Self {
        self.offload_from = bytes;
        self
    }

    /// The largest data of one record, in bytes; more is `TooLarge`. Default: 16 MiB; at most 1 GiB.
    pub fn max_record_bytes(mut self, bytes: u64) -> Self {
        self.max_record_bytes = bytes;
        self
    }

    /// How many operations may wait for the driver's threads; then one more is refused as `Unavailable`.
    /// Default: 16,384.
    pub fn max_queue(mut self, operations: usize) -> Self {
        self.max_queue = operations;
        self
    }

    /// How many threads of the driver make changes that may wait, 1 to 256: so many `fsync`s are under way at once.
    /// They are started when they are needed. Default: 8.
    pub fn threads(mut self, count: usize) -> Self {
        self.threads = count;
        self
    }

    /// How long a change waits for another process that holds the lock of its shard; then it is `Unavailable`.
    /// Default: 5 s.
    pub fn busy_timeout(mut self, deadline: Duration) -> Self {
        self.busy_timeout = deadline;
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.root.as_os_str().is_empty() {
            return Err(wrong("the path is empty"));
        }
        if !(1..=LARGEST_VALUE).contains(&self.max_record_bytes) {
            return Err(wrong("max_record_bytes is 1 byte to 1 GiB"));
        }
        if self.max_queue == 0 {
            return Err(wrong("max_queue is at least 1"));
        }
        if !(1..=256).contains(&self.threads) {
            return Err(wrong("threads is 1 to 256"));
        }
        Ok(())
    }
}

impl From<&Path> for FileConfig {
    fn from(root: &Path) -> Self {
        Self::new(root)
    }
}

impl From<PathBuf> for FileConfig {
    fn from(root: PathBuf) -> Self {
        Self::new(root)
    }
}

fn wrong(detail: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Misconfigured, Operation::Open).with_detail(detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_cannot_work_are_refused() {
        let good = || FileConfig::new("/somewhere");
        assert!(good().check().is_ok());
        for bad in [
            FileConfig::new(""),
            good().max_record_bytes(0),
            good().max_record_bytes((1 << 30) + 1),
            good().max_queue(0),
            good().threads(0),
            good().threads(257),
        ] {
            assert_eq!(bad.check().unwrap_err().kind(), StoreErrorKind::Misconfigured, "{bad:?}");
        }
    }
}
