//! The one error type of every driver.

use std::error::Error as StdError;
use std::fmt;

/// What a driver's operation returns.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Why an operation failed, in a form that a caller can act on.
///
/// Neither `Display` nor `Debug` shows a session id, a key or any stored data; whoever writes a driver
/// MUST keep that true of the sources it attaches.
///
/// # For driver authors
/// Start from a kind and an operation, then say what is known: `StoreError::new(StoreErrorKind::Timeout,
/// Operation::Store).applied_unknown().with_source(cause)`. An error that leaves the store as it was needs no
/// further word: [`Applied::No`] is the default.
///
/// # For applications
/// Decide by [`kind`](Self::kind), [`is_retryable`](Self::is_retryable) and [`applied`](Self::applied); the text is
/// for people.
#[derive(thiserror::Error)]
#[error(transparent)]
pub struct StoreError(Box<Inner>);

#[derive(Debug, thiserror::Error)]
#[error("{operation}: {kind}{}{}", Detail(.detail), .applied.suffix())]
struct Inner {
    kind: StoreErrorKind,
    operation: Operation,
    applied: Applied,
    detail: Option<String>,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

struct Detail<'a>(&'a Option<String>);

impl fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |text| write!(f, ": {text}"))
    }
}

impl StoreError {
    /// An error of `kind` in `operation`, which left the store unchanged.
    #[must_use]
    pub fn new(kind: StoreErrorKind, operation: Operation) -> Self {
        Self(Box::new(Inner { kind, operation, applied: Applied::No, detail: None, source: None }))
    }

    /// The error of an operation that this driver does not offer.
    #[must_use]
    pub fn unsupported(operation: Operation) -> Self {
        Self::new(StoreErrorKind::Unsupported, operation)
    }

    /// The error of a traversal whose cursor is not the driver's own.
    #[must_use]
    pub fn invalid_cursor(detail: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::InvalidCursor, Operation::Traverse).with_detail(detail)
    }

    /// The error of a store whose data is longer than `limit`, in bytes.
    #[must_use]
    pub fn too_large(len: usize, limit: u64) -> Self {
        Self::new(StoreErrorKind::TooLarge, Operation::Store)
            .with_detail(format!("{len} bytes of data, and max_record_bytes is {limit}"))
    }

    /// The error of every call after [`close`](crate::Driver::close).
    #[must_use]
    pub fn closed(operation: Operation) -> Self {
        Self::new(StoreErrorKind::Closed, operation)
    }

    /// Adds what a person needs to know. It MUST hold no id, no key and no data.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Keeps the cause, for logs and for `source()`.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Says that the change may have happened: the answer was lost, not the request.
    #[must_use]
    pub fn applied_unknown(mut self) -> Self {
        self.0.applied = Applied::Unknown;
        self
    }

    /// The same error, as that of the operation that was asked for. For operations that are made of others.
    #[must_use]
    pub fn during(mut self, operation: Operation) -> Self {
        self.0.operation = operation;
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.0.kind
    }

    /// Which operation failed.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.0.operation
    }

    /// Whether the change that was asked for may have happened.
    #[must_use]
    pub fn applied(&self) -> Applied {
        self.0.applied
    }

    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.0.kind, StoreErrorKind::Unavailable | StoreErrorKind::Timeout | StoreErrorKind::Entropy)
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreError")
            .field("kind", &self.0.kind)
            .field("operation", &self.0.operation)
            .field("applied", &self.0.applied)
            .field("detail", &self.0.detail)
            .field("source", &self.0.source)
            .finish()
    }
}

/// What kind of failure it is. The kinds are stable: a new one is an addition, never a change of meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The store cannot be reached or is busy; the same call may succeed later.
    #[error("the store is unavailable")]
    Unavailable,
    /// The store did not answer in time; the same call may succeed later.
    #[error("the store did not answer in time")]
    Timeout,
    /// What is stored under the key is damaged. It is reported and left as it is.
    #[error("the stored record is damaged")]
    Corrupt,
    /// The record is larger than the driver or its options allow.
    #[error("the record is too large")]
    TooLarge,
    /// The store has reached its bound, or the disk is full.
    #[error("the store is full")]
    Full,
    /// The text is no valid key or prefix.
    #[error("the key is invalid")]
    InvalidKey,
    /// The cursor is not from this store, or from a version that it no longer reads.
    #[error("the cursor is invalid")]
    InvalidCursor,
    /// The options, the path, the permissions or the stored format do not fit.
    #[error("the store is misconfigured")]
    Misconfigured,
    /// This driver does not offer the operation.
    #[error("the operation is not supported")]
    Unsupported,
    /// The driver was closed.
    #[error("the store is closed")]
    Closed,
    /// The operating system has no random bytes; the same call may succeed later.
    #[error("random bytes are unavailable")]
    Entropy,
    /// The engine failed in a way of its own: see `source()`.
    #[error("the engine failed")]
    Backend,
}

impl StoreErrorKind {
    /// The kind of a failed system call.
    #[must_use]
    pub fn from_io(kind: std::io::ErrorKind) -> Self {
        use std::io::ErrorKind as Io;
        match kind {
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => Self::Full,
            Io::TimedOut => Self::Timeout,
            Io::WouldBlock
            | Io::Interrupted
            | Io::ResourceBusy
            | Io::OutOfMemory
            | Io::StaleNetworkFileHandle
            | Io::ConnectionRefused
            | Io::ConnectionReset
            | Io::ConnectionAborted
            | Io::NotConnected
            | Io::BrokenPipe
            | Io::HostUnreachable
            | Io::NetworkUnreachable
            | Io::NetworkDown => Self::Unavailable,
            Io::NotFound
            | Io::PermissionDenied
            | Io::ReadOnlyFilesystem
            | Io::IsADirectory
            | Io::NotADirectory
            | Io::InvalidFilename
            | Io::Unsupported => Self::Misconfigured,
            _ => Self::Backend,
        }
    }
}

/// The operation that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Building a key, a prefix or a cursor.
    Parse,
    /// Drawing a random revision or id.
    Random,
    /// Opening the store.
    Open,
    /// [`Driver::retrieve`](crate::Driver::retrieve)
    Retrieve,
    /// [`Driver::store`](crate::Driver::store)
    Store,
    /// [`Driver::remove`](crate::Driver::remove)
    Remove,
    /// [`Driver::traverse`](crate::Driver::traverse)
    Traverse,
    /// [`Driver::touch`](crate::Driver::touch)
    Touch,
    /// [`Driver::purge`](crate::Driver::purge)
    Purge,
    /// [`DriverExt::count`](crate::DriverExt::count)
    Count,
    /// [`DriverExt::clear`](crate::DriverExt::clear)
    Clear,
    /// [`Driver::flush`](crate::Driver::flush)
    Flush,
    /// [`Driver::close`](crate::Driver::close)
    Close,
    /// Putting an id into a response, or taking it back: `State`.
    State,
}

impl Operation {
    /// Whether the operation changes what is stored or how durable it is, so that a lost answer leaves it unknown
    /// whether it was applied.
    #[must_use]
    pub const fn is_change(self) -> bool {
        matches!(
            self,
            Self::Store | Self::Remove | Self::Touch | Self::Purge | Self::Clear | Self::Flush | Self::Close
        )
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parse => "parse",
            Self::Random => "random",
            Self::Open => "open",
            Self::Retrieve => "retrieve",
            Self::Store => "store",
            Self::Remove => "remove",
            Self::Traverse => "traverse",
            Self::Touch => "touch",
            Self::Purge => "purge",
            Self::Count => "count",
            Self::Clear => "clear",
            Self::Flush => "flush",
            Self::Close => "close",
            Self::State => "state",
        })
    }
}

/// Whether a failed change may have happened all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Applied {
    /// The store is as it was before the call.
    No,
    /// The change happened or did not: read the record to know, or repeat the change with the same revision.
    Unknown,
}

impl Applied {
    fn suffix(self) -> &'static str {
        match self {
            Self::No => "",
            Self::Unknown => " (whether it was applied is unknown)",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_says_operation_kind_and_whether_it_was_applied() {
        let error = StoreError::new(StoreErrorKind::Timeout, Operation::Store)
            .with_detail("after 300 ms")
            .applied_unknown();
        assert_eq!(
            error.to_string(),
            "store: the store did not answer in time: after 300 ms (whether it was applied is unknown)"
        );
        assert!(error.is_retryable());
        assert_eq!(StoreError::closed(Operation::Touch).to_string(), "touch: the store is closed");
    }

    #[test]
    fn the_cause_is_kept() {
        let error = StoreError::new(StoreErrorKind::Backend, Operation::Flush)
            .with_source(std::io::Error::other("disk on fire"));
        assert_eq!(StdError::source(&error).map(ToString::to_string).as_deref(), Some("disk on fire"));
    }
}
