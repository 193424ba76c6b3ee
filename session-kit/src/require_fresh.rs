//! Handlers for actions that need a recent login.

use std::time::Duration;

use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;

use crate::require_user::{RequireUser, refusal};
use crate::{Error, ErrorKind, Session};

/// An extractor for handlers that need a user whose last login is less than `SECONDS` ago: for a new password, a new
/// address or a payment (OWASP ASVS 5.0, 7.5.1 and 7.5.3).
///
/// Otherwise the handler does not run, and the client is answered as by [`RequireUser`]: browsers go to the
/// [`LoginPage`](crate::LoginPage), other clients get status 401. [`Session::is_fresh`] says what counts as a login.
///
/// ```
/// use axum::{Router, routing::post};
/// use session_kit::RequireFresh;
///
/// async fn change_password(user: RequireFresh<300>) -> String {
///     format!("{} has a new password", user.name)
/// }
///
/// let app: Router = Router::new().route("/password", post(change_password)); // and the session layer
/// ```
#[derive(Clone)]
pub struct RequireFresh<const SECONDS: u64> {
    /// The user that the session is bound to.
    pub name: String,
    /// The loaded session.
    pub session: Session,
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

impl<const SECONDS: u64> std::fmt::Debug for RequireFresh<SECONDS> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequireFresh").finish_non_exhaustive()
    }
}
