//! The options of a store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use session_core::{Clock, Operation, Result, StoreError, StoreErrorKind, SystemClock};

use crate::layout::{Geometry, UNIT};

/// What an acknowledged write survives. There is one: a mapped file cannot know when the disk has a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Durability {
    /// The sudden death of the process. After power loss the store opens, and what was written since the last `flush`
    /// may be absent or older.
    #[default]
    Process,
}

/// What happens when a record finds no room even though everything that had expired was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OnFull {
    /// The store answers `Full`, and the old record stays.
    #[default]
    Reject,
    /// Sessions that were not used for longest make room: only keys of prefix `session`, and never the one that is
    /// being written.
    Evict,
}

/// Where the store is and how it works. Only the path is required; [`MmapStore::open`](crate::MmapStore::open) checks the
/// options and says what is wrong with them.
///
/// `max_bytes`, `shards` and `extent_bytes` are fixed when the file is made: who opens it with others is refused.
#[derive(Clone, Debug)]
#[must_use]
pub struct MmapConfig {
    pub(crate) path: PathBuf,
    pub(crate) durability: Durability,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) create: bool,
    pub(crate) create_directory: bool,
    pub(crate) max_bytes: u64,
    pub(crate) shards: Option<u64>,
    pub(crate) extent_bytes: Option<u64>,
    pub(crate) on_full: OnFull,
    pub(crate) max_record_bytes: Option<u64>,
    pub(crate) busy_timeout: Duration,
    pub(crate) open_timeout: Duration,
}

impl MmapConfig {
    /// A store in the file at `path`, everything else by default.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            durability: Durability::Process,
            clock: SystemClock::shared(),
            create: true,
            create_directory: false,
            max_bytes: 1 << 30,
            shards: None,
            extent_bytes: None,
            on_full: OnFull::Reject,
            max_record_bytes: None,
            busy_timeout: Duration::from_secs(5),
            open_timeout: Duration::from_secs(30),
        }
    }

    /// What an acknowledged write survives: [`Durability::Process`], there is no other.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// The clock that decides what has expired. Default: the wall clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Whether a missing file is made, readable by its owner only (0600). Default: yes.
    pub fn create(mut self, yes: bool) -> Self {
        self.create = yes;
        self
    }

    /// Whether a missing directory of the file is made (0700): the last level only, so that a mistyped path or an
    /// unmounted disk is noticed. Default: no.
    pub fn create_directory(mut self, yes: bool) -> Self {
        self.create_directory = yes;
        self
    }

    /// How large the file may become, in bytes: it starts small and grows. At most 128 GiB; from 64 KiB up there is
    /// room for records. So much address space is reserved. Default: 1 GiB.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// How many parts have a lock of their own: a power of two, at most 4096. Default: up to 64, by `max_bytes`.
    pub fn shards(mut self, count: u64) -> Self {
        self.shards = Some(count);
        self
    }

    /// The bytes that a shard takes from the file at a time: a power of two from 4 KiB to 16 MiB. A record of more
    /// than half of this has its own. Default: 4 KiB to 1 MiB, by `max_bytes`; 64 KiB for a file of 1 GiB.
    pub fn extent_bytes(mut self, bytes: u64) -> Self {
        self.extent_bytes = Some(bytes);
        self
    }

    /// What happens when a record finds no room. Default: [`OnFull::Reject`].
    pub fn on_full(mut self, on_full: OnFull) -> Self {
        self.on_full = on_full;
        self
    }

    /// The largest data of one record, in bytes; more is `TooLarge`. Default: 16 MiB, or a quarter of the file where
    /// that is less; at most half of the file.
    pub fn max_record_bytes(mut self, bytes: u64) -> Self {
        self.max_record_bytes = Some(bytes);
        self
    }

    /// How long an operation waits, on a thread of the driver, for the lock of a shard, which somebody holds for
    /// microseconds as a rule; then it is `Unavailable`, and nothing has changed. Default: 5 s.
    pub fn busy_timeout(mut self, deadline: Duration) -> Self {
        self.busy_timeout = deadline;
        self
    }

    /// How long opening waits for another process that is just opening, and perhaps repairing, the same file; then it
    /// is `Unavailable`. Default: 30 s.
    pub fn open_timeout(mut self, deadline: Duration) -> Self {
        self.open_timeout = deadline;
        self
    }

    /// The geometry that these options ask for.
    pub(crate) fn geometry(&self) -> Result<Geometry> {
        let (extent, shards) = Geometry::defaults(self.max_bytes);
        let (extent, shards) = (self.extent_bytes.unwrap_or(extent), self.shards.unwrap_or(shards));
        Geometry::new(self.max_bytes, extent, shards).ok_or_else(|| {
            misconfigured(format!(
                "max_bytes {}, extent_bytes {extent} and shards {shards}: at most 128 GiB, powers of two, and room for \
                 two extents in each shard and six more",
                self.max_bytes
            ))
        })
    }

    /// The largest value in this geometry.
    pub(crate) fn largest_value(&self, geometry: &Geometry) -> Result<u64> {
        let room = u64::from(geometry.extents) * geometry.extent_bytes;
        // A head, the longest key, and the last unit.
        let largest = (room / 2).saturating_sub(512 + UNIT);
        match self.max_record_bytes {
            None => Ok((16 << 20).min(room / 4)),
            Some(bytes) if bytes <= largest => Ok(bytes),
            Some(bytes) => Err(misconfigured(format!(
                "max_record_bytes {bytes} is more than {largest}, half of the file"
            ))),
        }
    }
}

pub(crate) fn misconfigured(detail: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Misconfigured, Operation::Open).with_detail(detail)
}

impl From<&Path> for MmapConfig {
    fn from(path: &Path) -> Self {
        Self::new(path)
    }
}

impl From<PathBuf> for MmapConfig {
    fn from(path: PathBuf) -> Self {
        Self::new(path)
    }
}

impl From<&str> for MmapConfig {
    fn from(path: &str) -> Self {
        Self::new(path)
    }
}
