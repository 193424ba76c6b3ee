//! The error type of all drivers.

use std::error::Error as StdError;
use std::fmt;

/// The result of a driver's operation.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Why an operation failed: a kind, the operation, whether the change may have happened, a detail and a source.
///
/// # For driver authors
/// Start from a kind and an operation, and add the rest: `StoreError::new(StoreErrorKind::Timeout,
/// Operation::Store).applied_unknown().with_source(cause)`. The default is [`Applied::No`]: the store is unchanged.
///
/// `Display` and `Debug` show no session id, key or data. Attached details and sources MUST not contain them either.
///
/// # For applications
/// Decide by [`kind`](Self::kind), [`is_retryable`](Self::is_retryable) and [`applied`](Self::applied). The text is for
/// people.
#[derive(thiserror::Error)]
#[error(transparent)]
pub struct StoreError(Box<Inner>);

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, operation, applied, detail, source } = &*self.0;
        let mut text = f.debug_struct("StoreError");
        text.field("kind", kind).field("operation", operation).field("applied", applied);
        if let Some(detail) = detail {
            text.field("detail", detail);
        }
        if let Some(source) = source {
            text.field("source", source);
        }
        text.finish()
    }
}

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
    /// An error that left the store unchanged.
    #[must_use]
    pub fn new(kind: StoreErrorKind, operation: Operation) -> Self {
        Self(Box::new(Inner { kind, operation, applied: Applied::No, detail: None, source: None }))
    }

    /// The error of an operation that the driver does not offer.
    #[must_use]
    pub fn unsupported(operation: Operation) -> Self {
        Self::new(StoreErrorKind::Unsupported, operation)
    }

    /// The error of a traversal whose cursor does not come from this driver.
    #[must_use]
    pub fn invalid_cursor(detail: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::InvalidCursor, Operation::Traverse).with_detail(detail)
    }

    /// The error of a store whose data is longer than `limit` bytes.
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

    /// Adds an explanation for people. It MUST NOT contain an id, a key or data.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds the cause, which logs show and `source()` returns.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Marks a change as possibly applied, for example because the response was lost. Does nothing if the operation
    /// [is not a change](Operation::is_change).
    #[must_use]
    pub fn applied_unknown(mut self) -> Self {
        if self.0.operation.is_change() {
            self.0.applied = Applied::Unknown;
        }
        self
    }

    /// Replaces the operation. For operations that consist of others.
    #[must_use]
    pub fn during(mut self, operation: Operation) -> Self {
        self.0.operation = operation;
        self
    }

    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.0.kind
    }

    /// The failed operation.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.0.operation
    }

    /// Whether the requested change may have happened.
    #[must_use]
    pub fn applied(&self) -> Applied {
        self.0.applied
    }

    /// Whether the same call may succeed later without a change by the operator.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.0.kind, StoreErrorKind::Unavailable | StoreErrorKind::Timeout | StoreErrorKind::Entropy)
    }
}

/// The kind of failure. New kinds may be added; the meaning of a kind never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The store is unreachable or busy. The same call may succeed later.
    #[error("the store is unavailable")]
    Unavailable,
    /// The store did not answer in time. The same call may succeed later.
    #[error("the store did not answer in time")]
    Timeout,
    /// The stored record is damaged. The driver leaves it unchanged.
    #[error("the stored record is damaged")]
    Corrupt,
    /// The record is larger than the driver or its options allow.
    #[error("the record is too large")]
    TooLarge,
    /// The store has reached its limit, or the disk is full.
    #[error("the store is full")]
    Full,
    /// The text is not a valid key or prefix.
    #[error("the key is invalid")]
    InvalidKey,
    /// The cursor comes from another store, or from a version that is no longer supported.
    #[error("the cursor is invalid")]
    InvalidCursor,
    /// The options, the path, the permissions or the stored format are wrong.
    #[error("the store is misconfigured")]
    Misconfigured,
    /// The store does not exist, and the options say not to create it.
    #[error("the store does not exist")]
    Missing,
    /// The driver does not offer the operation.
    #[error("the operation is not supported")]
    Unsupported,
    /// The driver was closed.
    #[error("the store is closed")]
    Closed,
    /// The operating system returned no random bytes. The same call may succeed later.
    #[error("random bytes are unavailable")]
    Entropy,
    /// Another failure of the engine. See `source()`.
    #[error("the engine failed")]
    Backend,
}

impl StoreErrorKind {
    /// The kind of a failed system call. A shortage that passes by itself is [`Unavailable`](Self::Unavailable), also
    /// where the process or the system has no file descriptor left.
    #[must_use]
    pub fn from_io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        // ENFILE and EMFILE, the same numbers on every Unix, have no kind of their own.
        if cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24)) {
            return Self::Unavailable;
        }
        match error.kind() {
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

/// An operation, as errors name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Parsing a key, a prefix or a cursor.
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
    /// Writing the id into a response, or erasing it: `State`.
    State,
}

impl Operation {
    /// Whether the operation changes records or their durability. If its response is lost, the effect is unknown.
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
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}

/// Whether a failed change may have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Applied {
    /// It did not. The store is unchanged.
    No,
    /// It may have. To find out, read the record, or repeat the change with the same revision.
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
    fn text_has_operation_kind_detail_and_effect() {
        let error = StoreError::new(StoreErrorKind::Timeout, Operation::Store)
            .with_detail("after 300 ms")
            .applied_unknown();
        assert_eq!(
            error.to_string(),
            "store: the store did not answer in time: after 300 ms (whether it was applied is unknown)"
        );
        assert!(error.is_retryable());
        let text = format!("{error:?}");
        assert_eq!(
            text,
            "StoreError { kind: Timeout, operation: Store, applied: Unknown, detail: \"after 300 ms\" }"
        );
        assert_eq!(StoreError::closed(Operation::Touch).to_string(), "touch: the store is closed");
    }

    #[test]
    #[cfg(unix)]
    fn system_calls_have_one_kind_everywhere() {
        use StoreErrorKind::{Backend, Full, Misconfigured, Unavailable};
        // Linux: EMFILE, ENFILE, ENOMEM, EAGAIN, EINTR; ENOSPC, EFBIG; EACCES, ENOENT; EIO.
        for (number, kind) in [
            (24, Unavailable),
            (23, Unavailable),
            (12, Unavailable),
            (11, Unavailable),
            (4, Unavailable),
            (28, Full),
            (27, Full),
            (13, Misconfigured),
            (2, Misconfigured),
            (5, Backend),
        ] {
            assert_eq!(StoreErrorKind::from_io(&std::io::Error::from_raw_os_error(number)), kind, "{number}");
        }
    }

    #[test]
    fn source_is_the_cause() {
        let error = StoreError::new(StoreErrorKind::Backend, Operation::Flush)
            .with_source(std::io::Error::other("disk on fire"));
        assert_eq!(StdError::source(&error).map(ToString::to_string).as_deref(), Some("disk on fire"));
    }
}
