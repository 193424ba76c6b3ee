//! Extractors for axum. Only `axum-core` is needed, so that the version of `axum` is the application's own choice.

use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

use crate::error::{Error, Refused, cause_of};
use crate::handle::LazySession;
use crate::session::Session;
use crate::typed::{SessionValue, Typed};

/// Gives the handle, without loading anything.
impl<S: Send + Sync> FromRequestParts<S> for LazySession {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        Self::of(&parts.extensions).cloned().ok_or(Error::MissingLayer)
    }
}

/// Loads the session.
impl<S: Send + Sync> FromRequestParts<S> for Session {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        LazySession::of(&parts.extensions).ok_or(Error::MissingLayer)?.load().await
    }
}

/// Loads the session and decodes one value of it.
impl<T: SessionValue, S: Send + Sync> FromRequestParts<S> for Typed<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let session = Session::from_request_parts(parts, state).await?;
        Ok(Self::read(session)?)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = self.status();
        let text = match &self {
            // What to do about it is for whoever builds the application, and a visitor may be the first to come here.
            Self::MissingLayer => {
                tracing::error!(error = %self, "a session was asked for outside of every session layer");
                text_of(status)
            }
            // Has had its event.
            Self::Load(_) => text_of(status),
            Self::Session(error) => {
                tracing::error!(%error, cause = cause_of(error), "a handler failed with a session error");
                text_of(status)
            }
        };
        let mut response = (status, text).into_response();
        response.extensions_mut().insert(Refused);
        response
    }
}

fn text_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::SERVICE_UNAVAILABLE => "Sessions are not available at the moment. Please try again.",
        _ => "Something went wrong with the session.",
    }
}
