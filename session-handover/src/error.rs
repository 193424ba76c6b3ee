//! The error.

/// The kind of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input does not follow its format.
    Malformed,
    /// The input ends before its value does.
    Truncated,
    /// Bytes follow the value.
    Trailing,
    /// The input is of another version or another format.
    Version,
    /// Values nest more deeply than [`Bounds`](crate::Bounds) allow.
    TooDeep,
    /// There are more values than the bounds allow.
    TooMany,
    /// There are more bytes than the bounds allow.
    TooLarge,
    /// A signature or a seal does not hold: no session.
    Signature,
    /// The session has ended.
    Expired,
    /// The cookie was made for another purpose.
    Purpose,
    /// The other system could not read this value back.
    Unwritable,
}

/// A failed decoding: a kind, the offset in the input, and a text for people. It holds nothing of the input.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    offset: usize,
    what: &'static str,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, offset: usize, what: &'static str) -> Self {
        Self { kind, offset, what }
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The byte of the input where decoding failed. Within a cookie it counts from the beginning of the decoded content.
    pub fn offset(&self) -> usize {
        self.offset
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at byte {}", self.what, self.offset)
    }
}

impl std::error::Error for Error {}
