//! Extractors of axum for handlers that need a user.

use std::time::Duration;

use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::header::{ACCEPT, LOCATION};
use http::request::Parts;
use http::{HeaderValue, StatusCode};

use super::require_user::{CHALLENGE, HEADERS, LoginPage, RequireFresh, RequireUser};
use crate::{Error, ErrorKind, Session, Unrendered};

impl<S: Send + Sync> FromRequestParts<S> for RequireUser {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let session = Session::from_request_parts(parts, state).await.map_err(Error::into_response)?;
        match session.user().map_err(Error::into_response)? {
            Some(name) => Ok(Self { name, session }),
            None => Err(refusal(parts, ErrorKind::NoUser)),
        }
    }
}

impl<S: Send + Sync, const SECONDS: u64> FromRequestParts<S> for RequireFresh<SECONDS> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let RequireUser { name, session } = RequireUser::from_request_parts(parts, state).await?;
        match session.is_fresh(Duration::from_secs(SECONDS)).map_err(Error::into_response)? {
            true => Ok(Self { name, session }),
            false => Err(refusal(parts, ErrorKind::NotFresh)),
        }
    }
}

/// A redirect, or a response that the session layer renders as the client accepts it.
fn refusal(parts: &Parts, kind: ErrorKind) -> Response {
    let accept = parts.headers.get_all(ACCEPT).iter().map(HeaderValue::as_bytes);
    match parts.extensions.get::<LoginPage>().and_then(|page| page.for_accept(accept)) {
        Some(page) => (StatusCode::SEE_OTHER, HEADERS, [(LOCATION, page.clone())]).into_response(),
        None => {
            let error = Unrendered::new(StatusCode::UNAUTHORIZED, kind);
            let mut response = (error.status, HEADERS, [CHALLENGE], "Please log in.").into_response();
            response.extensions_mut().insert(error);
            response
        }
    }
}
