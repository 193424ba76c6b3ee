//! The session as an axum extractor, and errors as responses. Only `axum-core` is needed, so the application chooses its
//! version of `axum`.

use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, RETRY_AFTER};
use http::request::Parts;

use crate::error::{Error, Refused, Unrendered};
use crate::session::Session;

/// Loads the session that a web layer put into the request's extensions.
impl<S: Send + Sync> FromRequestParts<S> for Session {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let Some(session) = parts.extensions.get::<Self>().cloned() else {
            return Err(Error::no_layer(&mut parts.extensions));
        };
        session.note_accept(&parts.headers);
        session.load().await?;
        Ok(session)
    }
}

/// A response without details. An event reports the error and its cause. A session layer around the handler replaces it by
/// what the client accepts.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = (self.status(), self.report()).into_response();
        let error = Unrendered::of(&self);
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(time) = error.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(time.as_secs()));
        }
        response.extensions_mut().insert(Refused::new(error.kind));
        response.extensions_mut().insert(error);
        response
    }
}
