//! Extractors for axum. Only `axum-core` is needed, so the application chooses its version of `axum`.
//! [`session_manager`] has the extractor of `Session`.

use axum_core::extract::FromRequestParts;
use http::request::Parts;
use session_manager::{Error, Session};

use crate::lazy::LazySession;
use crate::typed::{SessionValue, Typed};

/// Gives the session without loading it.
impl<S: Send + Sync> FromRequestParts<S> for LazySession {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let lazy = Self::required(&mut parts.extensions)?;
        lazy.session().note_accept(&parts.headers);
        Ok(lazy)
    }
}

/// Loads the session and decodes one value of it.
impl<T: SessionValue, S: Send + Sync> FromRequestParts<S> for Typed<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        Self::read(Session::from_request_parts(parts, state).await?)
    }
}
