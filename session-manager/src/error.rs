//! Errors of the session layer.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use http::{Extensions, StatusCode};
use session_core::{StoreError, StoreErrorKind};

/// When a request that another one was in the way of may be repeated.
const SOON: Duration = Duration::from_secs(1);

/// When a request may be repeated that the store has failed.
const LATER: Duration = Duration::from_secs(5);

/// An error of the session layer.
///
/// It names the session's own keys (`"cart"`), never an id and never a value. A decoder's message would repeat the
/// value, so only the requested type is kept.
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
    source: Option<StoreError>,
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

    /// The error of an extractor outside every session layer, for web layers. It leaves an [`AskedOutside`] in the
    /// request's extensions.
    #[must_use]
    pub fn no_layer(extensions: &mut Extensions) -> Self {
        extensions.insert(AskedOutside::note());
        Self::new(ErrorKind::NoLayer)
    }

    pub(crate) fn uncertain(source: StoreError) -> Self {
        Self::new(ErrorKind::Uncertain).with_source(source)
    }

    pub(crate) fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    pub(crate) fn with_source(mut self, source: StoreError) -> Self {
        self.0.source = Some(source);
        self
    }

    pub(crate) fn critical(mut self, critical: bool) -> Self {
        self.0.critical = critical;
        self
    }

    /// The same failure, where the session is known to be unchanged.
    pub(crate) fn without_effect(mut self) -> Self {
        if self.0.kind == ErrorKind::Uncertain {
            self.0.kind = ErrorKind::Store;
        }
        self
    }

    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The store's own error, if the store caused this one.
    #[must_use]
    pub fn store_error(&self) -> Option<&StoreError> {
        self.0.source.as_ref()
    }

    /// Whether the handler's response must not be sent. The commit held a rotation, a `bind_user` or a `take`, which
    /// failed or may have failed.
    #[must_use]
    pub fn refuses_response(&self) -> bool {
        self.0.critical
    }

    /// The HTTP status of a response for this error: `503 Service Unavailable` if the same request may succeed later,
    /// `500 Internal Server Error` otherwise.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.0.kind {
            ErrorKind::Store
            | ErrorKind::Contention
            | ErrorKind::Uncertain
            | ErrorKind::Ended
            | ErrorKind::Entropy
            | ErrorKind::TooManySessions => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::NoUser | ErrorKind::NotFresh => StatusCode::UNAUTHORIZED,
            ErrorKind::OtherSite => StatusCode::FORBIDDEN,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Error {
    /// The error of a request whose session ended before a privilege change was stored, for web layers.
    #[must_use]
    pub fn ended() -> Self {
        Self::new(ErrorKind::Ended)
    }

    /// After which time the same request may succeed, for `Retry-After`: 1 s where another request was in the way, 5 s
    /// where the store is unavailable. `None` if the failure does not pass by itself.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let passes = self.0.source.as_ref().is_none_or(StoreError::is_retryable);
        match self.0.kind {
            ErrorKind::Contention | ErrorKind::Ended => Some(SOON),
            ErrorKind::Store | ErrorKind::Uncertain | ErrorKind::Entropy if passes => Some(LATER),
            _ => None,
        }
    }
}

impl From<StoreError> for Error {
    fn from(source: StoreError) -> Self {
        let entropy = source.kind() == StoreErrorKind::Entropy;
        Self::new(if entropy { ErrorKind::Entropy } else { ErrorKind::Store }).with_source(source)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, detail, critical, source } = &*self.0;
        let mut text = f.debug_struct("Error");
        text.field("kind", kind);
        if let Some(detail) = detail {
            text.field("detail", detail);
        }
        if *critical {
            text.field("refuses_response", critical);
        }
        if let Some(source) = source {
            text.field("source", source);
        }
        text.finish()
    }
}

/// A marker in the extensions of each response that replaces a handler's response because of a session error. A layer
/// outside can render a page for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// The kind of the error.
    pub kind: ErrorKind,
}

impl Refused {
    /// The marker for an error of this kind.
    #[must_use]
    pub fn new(kind: ErrorKind) -> Self {
        Self { kind }
    }
}

/// A marker in the extensions of the response that an [`Error`] of a handler or an extractor became. The session layer
/// around it replaces the response by one that the client accepts. A middleware in between that renders its own response
/// removes the marker. An extractor or a middleware that refuses requests itself may set it, with a status of 400 or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unrendered {
    /// The status.
    pub status: StatusCode,
    /// The kind of the error.
    pub kind: ErrorKind,
    /// After which time the same request may succeed.
    pub retry_after: Option<Duration>,
}

impl Unrendered {
    /// A marker without a time to try again.
    #[must_use]
    pub const fn new(status: StatusCode, kind: ErrorKind) -> Self {
        Self { status, kind, retry_after: None }
    }

    /// The marker for this error.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        Self { status: error.status(), kind: error.kind(), retry_after: error.retry_after() }
    }
}

/// A marker in the extensions of a request: an extractor or a middleware outside every session layer asked for the
/// session. A session layer that finds it is inside of that middleware, and reports the wrong order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskedOutside(());

/// Set once this process makes an [`AskedOutside`].
static ANY_ASKED_OUTSIDE: AtomicBool = AtomicBool::new(false);

impl AskedOutside {
    /// Makes the marker. A web layer whose extractor finds no session inserts it into the request's extensions.
    #[must_use]
    pub fn note() -> Self {
        ANY_ASKED_OUTSIDE.store(true, Relaxed);
        Self(())
    }

    /// Whether a request can have one, because this process has made any. Ask before you look into the extensions, which
    /// costs more.
    #[must_use]
    #[inline]
    pub fn is_possible() -> bool {
        ANY_ASKED_OUTSIDE.load(Relaxed)
    }
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store failed: see [`Error::store_error`].
    #[error("session store failed")]
    Store,
    /// Other requests of this session kept changing it, or took the value that this request took. Nothing was written.
    #[error("another request changed the session")]
    Contention,
    /// The store's answer was lost, and a later read did not show whether the change was applied.
    #[error("session may or may not be stored")]
    Uncertain,
    /// The response is complete: the session can be read and no longer changed.
    #[error("session is already committed")]
    Committed,
    /// [`Session::load`](crate::Session::load) has not been called.
    #[error("session is not loaded")]
    NotLoaded,
    /// A new user or id of the session needs a response that takes the new id to the client. The session was opened by a
    /// [`SessionRef`](crate::SessionRef), outside of every request.
    #[error("no response carries a new session id")]
    NoResponse,
    /// The client keeps the session ([`CarriedSessions`](crate::CarriedSessions)), so no store decides which of two
    /// requests takes a value, and no reference finds the session later.
    #[error("no store keeps the session")]
    NoStore,
    /// Another task of this request is loading, committing or destroying this session.
    #[error("session is in use by another task of the request")]
    Busy,
    /// The session has ended, or has a new id. Nothing was stored.
    #[error("session has ended")]
    Ended,
    /// A value could not be encoded.
    #[error("session value could not be encoded")]
    Encode,
    /// A value could not be decoded as the requested type. The value and all others are still stored.
    #[error("session value could not be decoded")]
    Decode,
    /// A value was written with a codec that this build does not contain.
    #[error("codec of the session value is not enabled")]
    Codec,
    /// The session would have more keys or bytes than
    /// [`max_session_keys`](crate::SessionsBuilder::max_session_keys) and
    /// [`max_session_bytes`](crate::SessionsBuilder::max_session_bytes) allow. Nothing was written.
    #[error("session is too large")]
    TooLarge,
    /// A key or user name is too long or empty.
    #[error("name has an invalid length")]
    Name,
    /// The options contradict each other or the driver.
    #[error("session options are invalid")]
    Config,
    /// The stored record is damaged, or has a format that this release does not know.
    #[error("stored session is damaged")]
    Corrupt,
    /// Three random ids in a row were in use, so the random numbers of this machine are not random.
    #[error("no unused session id was drawn")]
    NoFreeId,
    /// The operating system returned no random bytes.
    #[error("no random bytes from the operating system")]
    Entropy,
    /// The user has as many sessions as [`max_user_sessions`](crate::SessionsBuilder::max_user_sessions) allows.
    #[error("too many sessions of this user")]
    TooManySessions,
    /// The request needs a user, and its session has none.
    #[error("no user is logged in")]
    NoUser,
    /// The request needs a more recent login.
    #[error("login is not recent enough")]
    NotFresh,
    /// The request comes from a page of another site.
    #[error("request comes from another site")]
    OtherSite,
    /// The request did not pass a session layer. The application is assembled wrongly.
    #[error(
        "no session layer around this handler or middleware: axum's `.layer(SessionLayer::new(sessions, state))` covers \
         only the routes, fallbacks, merged routers and layers that were added before it, and actix-web's \
         `.wrap(SessionMiddleware::new(sessions, state))` the routes of its application or scope and the middleware that \
         was added before it"
    )]
    NoLayer,
}
