//! Why a session could not do what was asked.

use std::fmt;

/// An error of the session layer.
///
/// It names the session's own keys (`"cart"`), never an id and never a value: a decoder's message would repeat the
/// value that it could not decode, so only the type that was asked for is kept.
#[derive(thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Inner>);

#[derive(Debug, thiserror::Error)]
#[error("{}", Text(self))]
struct Inner {
    kind: ErrorKind,
    detail: Option<String>,
    critical: bool,
    #[source]
    source: Option<session_core::StoreError>,
}

struct Text<'a>(&'a Inner);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.kind.fmt(f)?;
        self.0.detail.as_ref().map_or(Ok(()), |detail| write!(f, ": {detail}"))
    }
}

impl Error {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self(Box::new(Inner { kind, detail: None, critical: false, source: None }))
    }

    pub(crate) fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    pub(crate) fn with_source(mut self, source: session_core::StoreError) -> Self {
        self.0.source = Some(source);
        self
    }

    pub(crate) fn critical(mut self, critical: bool) -> Self {
        self.0.critical = critical;
        self
    }

    /// The same failure, where it is known that the session is as it was before.
    pub(crate) fn without_effect(mut self) -> Self {
        if self.0.kind == ErrorKind::Uncertain {
            self.0.kind = ErrorKind::Store;
        }
        self
    }

    /// What went wrong, in a form to act on.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The store's own error, where one caused this.
    #[must_use]
    pub fn store_error(&self) -> Option<&session_core::StoreError> {
        self.0.source.as_ref()
    }

    /// Whether the handler's response must not go out: the commit held a rotation, a `bind_user` or a `take`, and it
    /// did not happen or nobody knows whether it did.
    #[must_use]
    pub fn refuses_response(&self) -> bool {
        self.0.critical
    }
}

impl From<session_core::StoreError> for Error {
    fn from(source: session_core::StoreError) -> Self {
        Self::new(ErrorKind::Store).with_source(source)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store failed: see [`Error::store_error`].
    #[error("the session store failed")]
    Store,
    /// Other requests of this session kept changing it, or spent what this one took. Nothing was written.
    #[error("another request of this session was in the way")]
    Contention,
    /// The store's answer was lost, and reading again did not tell whether the change happened.
    #[error("whether the session was saved is not known")]
    Uncertain,
    /// The response has been committed: the session can be read but no longer changed.
    #[error("the session is committed already")]
    Committed,
    /// [`Session::load`](crate::Session::load) has not been called.
    #[error("the session is not loaded")]
    NotLoaded,
    /// Another task of this request is loading, committing or destroying this very session.
    #[error("the session is in use by a commit of the same request")]
    Busy,
    /// A value could not be encoded.
    #[error("a session value could not be encoded")]
    Encode,
    /// A value could not be decoded as the type that was asked for. It is still there, and so are the others.
    #[error("a session value could not be decoded")]
    Decode,
    /// A value was written with a codec that this build does not have.
    #[error("a session value has a codec that this build lacks")]
    Codec,
    /// A key or user name is too long.
    #[error("a name is too long")]
    Name,
    /// The options do not fit each other or the driver.
    #[error("the session options are wrong")]
    Config,
    /// The stored record is damaged, or of a format that this release does not know.
    #[error("the stored session is damaged")]
    Corrupt,
    /// Three random ids in a row were taken: the machine's randomness is broken.
    #[error("no unused session id could be drawn")]
    NoFreeId,
}
