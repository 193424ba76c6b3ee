//! Why a request gets no answer from its handler.

use http::StatusCode;
use session_manager::ErrorKind;

/// A session error on its way to becoming a response. With axum a handler returns it by `?`.
///
/// The response says nothing of the cause; that is in `Display`, `source()` and an event.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request did not come through a session layer: a mistake in how the application is put together.
    #[error(
        "no session layer: put `.layer(SessionLayer::new(sessions, state))` on the router, after its routes"
    )]
    MissingLayer,
    /// The session could not be loaded. An event has been sent.
    #[error("the session could not be loaded: {0}")]
    Load(#[source] session_manager::Error),
    /// Something else that was asked of the session failed.
    #[error(transparent)]
    Session(#[from] session_manager::Error),
}

impl Error {
    /// `503 Service Unavailable` where the same request may succeed later, `500 Internal Server Error` otherwise.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::MissingLayer => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Load(error) | Self::Session(error) => status_of(error),
        }
    }
}

/// In the extensions of every response that the session layer put in the place of the handler's, so that a layer
/// around it can make a page of it. With axum, the responses made from [`Error`] have it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused;

pub(crate) fn status_of(error: &session_manager::Error) -> StatusCode {
    match error.kind() {
        ErrorKind::Store | ErrorKind::Contention | ErrorKind::Uncertain => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// What the store said, for events: the session layer's own text only says that it failed.
pub(crate) fn cause_of(error: &session_manager::Error) -> Option<impl tracing::Value + '_> {
    error.store_error().map(tracing::field::display)
}
