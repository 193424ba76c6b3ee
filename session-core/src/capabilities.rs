//! A driver's promises as data.

use std::time::Duration;

use crate::durability::Durability;

/// [`setters!`](crate::setters) cannot write `const` functions, because conversions are not constant.
macro_rules! setters {
    ($($name:ident: $type:ty,)*) => { $(
        #[doc = concat!("Sets `", stringify!($name), "`.")]
        #[must_use]
        pub const fn $name(mut self, $name: $type) -> Self {
            self.$name = $name;
            self
        }
    )* };
}

/// The abilities and promises of a driver. The conformance suite checks each claim except `rolls_back`.
///
/// A driver may claim less than it can do. A claim that does not hold fails the suite.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Whether the driver compares and stores in one atomic step. Without it, concurrent requests lose writes.
    pub conditional: bool,
    /// Which events an acknowledged write survives.
    pub survives: Survives,
    /// Which event can undo an acknowledged write.
    pub rolls_back: RollsBack,
    /// Which processes can use the same store at the same time.
    pub shared: Shared,
    /// Whether the driver or its engine removes expired records, and how late.
    pub expiry: ExpiryMode,
    /// The largest data of one record, in bytes. `None` if only memory or disk limits it.
    pub max_record_bytes: Option<u64>,
    /// Whether a full store may evict live records. Only records of prefix `session` may be evicted.
    pub evicts: bool,
    /// Whether a traversal reports each key exactly once if the key is stored throughout. Otherwise: at least once.
    pub exactly_once: bool,
    /// Whether a `retrieve` completes at its first poll, because the records are in memory. The session layer then needs
    /// no allocation for it, nor for a commit whose changes complete at their first poll too. Another commit is
    /// dropped there, and a second one finds out what it has stored.
    pub at_once: bool,
    /// How old an answer of [`retrieve_recent`](crate::Driver::retrieve_recent) may be. Zero without a cache: the answer is
    /// that of `retrieve`.
    pub staleness: Duration,
}

impl Capabilities {
    /// The weakest claims: nothing survives, no sharing between processes, no compare-and-swap.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            conditional: false,
            survives: Survives::Nothing,
            rolls_back: RollsBack::Never,
            shared: Shared::Process,
            expiry: ExpiryMode::Caller,
            max_record_bytes: None,
            evicts: false,
            exactly_once: false,
            at_once: false,
            staleness: Duration::ZERO,
        }
    }

    /// The claims of a driver whose records are in files of one host: it compares and stores in one step, serves several
    /// processes, compares deadlines with its clock, and reports each key exactly once. `durability` says what survives.
    #[must_use]
    pub const fn in_files(durability: Durability, max_record_bytes: u64) -> Self {
        let (survives, rolls_back) = match durability {
            Durability::Process => (Survives::Kill, RollsBack::PowerLoss),
            Durability::Power => (Survives::PowerLoss, RollsBack::Never),
        };
        Self {
            conditional: true,
            survives,
            rolls_back,
            shared: Shared::Host,
            expiry: ExpiryMode::Caller,
            max_record_bytes: Some(max_record_bytes),
            evicts: false,
            exactly_once: true,
            at_once: false,
            staleness: Duration::ZERO,
        }
    }

    setters! {
        conditional: bool,
        survives: Survives,
        rolls_back: RollsBack,
        shared: Shared,
        expiry: ExpiryMode,
        max_record_bytes: Option<u64>,
        evicts: bool,
        exactly_once: bool,
        at_once: bool,
        staleness: Duration,
    }
}

impl Default for Capabilities {
    fn default() -> Self {
        Self::none()
    }
}

/// Which events an acknowledged write survives. Each variant includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Survives {
    /// None. The data ends with the process.
    Nothing,
    /// An orderly [`close`](crate::Driver::close).
    Close,
    /// A kill of the process (SIGKILL).
    Kill,
    /// Power loss.
    PowerLoss,
}

/// Which event can undo an acknowledged write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RollsBack {
    /// None. A restored backup is the operator's decision and does not count.
    Never,
    /// Power loss. The driver documents how much can be lost.
    PowerLoss,
    /// A failover of the engine to a replica. Power loss too, if [`survives`](Capabilities::survives) is less than that.
    Failover,
}

/// Which processes can use the same store at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Shared {
    /// Only one. All handles belong to it.
    Process,
    /// All processes of one host.
    Host,
    /// Processes of any host that reaches the engine.
    Network,
}

/// Whether the driver or its engine removes expired records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExpiryMode {
    /// The driver compares deadlines with its clock, to the millisecond. `purge` removes expired records.
    Caller,
    /// The engine removes expired records, up to `granularity` late. `purge` does nothing.
    Engine {
        /// How late a record may expire. Zero if the driver also compares deadlines with its clock.
        granularity: Duration,
    },
}
