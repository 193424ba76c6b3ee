//! The error.

use std::borrow::Cow;

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
    /// A typed read met a value of another type.
    Type,
}

/// A failed decoding or typed read: a kind, the offset in the input or the path in the tree, and a text for people. It holds nothing of
/// the input but the keys of a path.
#[derive(Debug, Clone)]
pub struct Error(Box<Failure>); // Boxed to keep results small: a decoding returns thousands, and few are errors.

#[derive(Debug, Clone)]
struct Failure {
    kind: ErrorKind,
    offset: usize,
    what: Cow<'static, str>,
    path: Option<Box<str>>,
}

impl Error {
    #[cold]
    #[inline(never)]
    pub(crate) fn new(kind: ErrorKind, offset: usize, what: &'static str) -> Self {
        Self(Box::new(Failure { kind, offset, what: Cow::Borrowed(what), path: None }))
    }

    /// An error of a typed read.
    #[cfg(feature = "serde")]
    pub(crate) fn typed(what: String) -> Self {
        Self(Box::new(Failure {
            kind: ErrorKind::Type,
            offset: 0,
            what: Cow::Owned(what),
            path: Some("".into()),
        }))
    }

    /// Puts a step before the path.
    #[cfg(feature = "serde")]
    pub(crate) fn within(mut self, step: &str) -> Self {
        self.0.path = Some(format!("{step}{}", self.0.path.as_deref().unwrap_or_default()).into());
        self
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The byte of the input where decoding failed. Within a cookie it counts from the beginning of the decoded content.
    pub fn offset(&self) -> usize {
        self.0.offset
    }

    /// The path of the value that a typed read could not read, such as `user.roles[2]`: keys of maps and places in lists. It is empty for
    /// the value itself, and `None` for other errors.
    pub fn path(&self) -> Option<&str> {
        self.0.path.as_deref().map(|path| path.strip_prefix('.').unwrap_or(path))
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.path() {
            None => write!(f, "{} at byte {}", self.0.what, self.0.offset),
            Some("") => f.write_str(&self.0.what),
            Some(path) => write!(f, "{} at {path}", self.0.what),
        }
    }
}

impl std::error::Error for Error {}
