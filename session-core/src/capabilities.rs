//! What a driver says of itself, as data.

use std::time::Duration;

/// What a driver can do and what it promises. The conformance suite checks what is claimed; claiming less than is
/// true is allowed, claiming more fails.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Whether it can compare and store in one step. Without this, two requests can lose each other's writes.
    pub conditional: bool,
    /// What an acknowledged write survives.
    pub survives: Survives,
    /// What can take an acknowledged write back.
    pub rolls_back: RollsBack,
    /// Who may use the same store at the same time.
    pub shared: Shared,
    /// Who removes expired records, and how exactly expiry is observed.
    pub expiry: ExpiryMode,
    /// The largest data of one record, in bytes; `None` where only memory or disk bounds it.
    pub max_record_bytes: Option<u64>,
    /// Whether it may evict live records, only ever of prefix `session`, when it is full.
    pub evicts: bool,
    /// Whether a traversal reports a key that is there all the time exactly once, rather than at least once.
    pub exactly_once: bool,
}

impl Capabilities {
    /// The least that a driver can claim: nothing survives, nothing is shared, no compare-and-store.
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
        }
    }

    /// Sets `conditional`.
    #[must_use]
    pub const fn conditional(mut self, yes: bool) -> Self {
        self.conditional = yes;
        self
    }

    /// Sets `survives`.
    #[must_use]
    pub const fn survives(mut self, what: Survives) -> Self {
        self.survives = what;
        self
    }

    /// Sets `rolls_back`.
    #[must_use]
    pub const fn rolls_back(mut self, when: RollsBack) -> Self {
        self.rolls_back = when;
        self
    }

    /// Sets `shared`.
    #[must_use]
    pub const fn shared(mut self, by: Shared) -> Self {
        self.shared = by;
        self
    }

    /// Sets `expiry`.
    #[must_use]
    pub const fn expiry(mut self, by: ExpiryMode) -> Self {
        self.expiry = by;
        self
    }

    /// Sets `max_record_bytes`, in bytes.
    #[must_use]
    pub const fn max_record_bytes(mut self, bytes: Option<u64>) -> Self {
        self.max_record_bytes = bytes;
        self
    }

    /// Sets `evicts`.
    #[must_use]
    pub const fn evicts(mut self, yes: bool) -> Self {
        self.evicts = yes;
        self
    }

    /// Sets `exactly_once`.
    #[must_use]
    pub const fn exactly_once(mut self, yes: bool) -> Self {
        self.exactly_once = yes;
        self
    }
}

impl Default for Capabilities {
    fn default() -> Self {
        Self::none()
    }
}

/// What an acknowledged write survives; each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Survives {
    /// Nothing: the data goes with the process.
    Nothing,
    /// An orderly [`close`](crate::Driver::close).
    Close,
    /// The sudden death of the process (SIGKILL).
    Kill,
    /// Power loss.
    PowerLoss,
}

/// What can take an acknowledged write back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RollsBack {
    /// Nothing that the driver knows of (a restored backup is the operator's doing).
    Never,
    /// Power loss, and what it takes is bounded by the driver's documentation.
    PowerLoss,
    /// A failover of the engine.
    Failover,
}

/// Who may use the same store at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Shared {
    /// Handles within one process.
    Process,
    /// The processes of one host.
    Host,
    /// Any host that reaches the engine.
    Network,
}

/// Who removes expired records, and how exactly expiry is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExpiryMode {
    /// The driver compares deadlines with its clock, to the millisecond; `purge` removes what has expired.
    Caller,
    /// The engine expires records by itself, up to `granularity` late; `purge` has nothing to do.
    Engine {
        /// How late expiry may be observed; zero where the driver compares deadlines with its clock all the same.
        granularity: Duration,
    },
}
