//! Handlers for users who are logged in.

use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::header::{ACCEPT, CACHE_CONTROL, LOCATION, VARY, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::{Error, ErrorKind, Session, Unrendered};

/// An extractor for handlers that need a logged-in user: the user's name and the session.
///
/// Without a user the handler does not run. A browser that asks for a page is redirected to the [`LoginPage`] (status
/// 303), if the application has named one. Other clients, such as scripts that accept JSON, get status 401: the session layer
/// renders it, as problem details (RFC 9457) or by its `refuse_with`.
///
/// ```
/// use axum::{Extension, Router, routing::get};
/// use session_kit::{LoginPage, RequireUser};
///
/// async fn account(user: RequireUser) -> String {
///     format!("Hello, {}", user.name)
/// }
///
/// let app: Router = Router::new()
///     .route("/account", get(account))
///     .layer(Extension(LoginPage::new("/login")?)); // and the session layer
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct RequireUser {
    /// The user that the session is bound to.
    pub name: String,
    /// The loaded session.
    pub session: Session,
}

/// Where [`RequireUser`] sends browsers. Put it into the requests' extensions, as axum's `Extension` does.
#[derive(Clone, Debug)]
pub struct LoginPage(HeaderValue);

impl LoginPage {
    /// A path such as `/login`, or an address.
    ///
    /// # Errors
    /// The text is not valid in a header.
    pub fn new(location: &str) -> Result<Self, http::header::InvalidHeaderValue> {
        HeaderValue::from_str(location).map(Self)
    }
}

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

/// A redirect, or a response that the session layer renders as the client accepts it.
pub(crate) fn refusal(parts: &Parts, kind: ErrorKind) -> Response {
    const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
    let page = parts.extensions.get::<LoginPage>().filter(|_| accepts_html(&parts.headers));
    let headers = [(CACHE_CONTROL, NO_STORE), (VARY, HeaderValue::from_static("Accept"))];
    match page {
        Some(LoginPage(location)) => {
            (StatusCode::SEE_OTHER, headers, [(LOCATION, location.clone())]).into_response()
        }
        None => {
            // RFC 9110, section 15.5.2, requires a challenge. No registered scheme means a login page.
            let challenge = [(WWW_AUTHENTICATE, HeaderValue::from_static("Session"))];
            let error = Unrendered::new(StatusCode::UNAUTHORIZED, kind);
            let mut response = (error.status, headers, challenge, "Please log in.").into_response();
            response.extensions_mut().insert(error);
            response
        }
    }
}

/// Whether the client names HTML. `*/*` is what scripts and tools send.
fn accepts_html(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let kinds = lines.flat_map(|line| line.split(',')).filter_map(|item| item.split(';').next());
    kinds.map(str::trim).any(|kind| {
        kind.eq_ignore_ascii_case("text/html") || kind.eq_ignore_ascii_case("application/xhtml+xml")
    })
}

impl std::fmt::Debug for RequireUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequireUser").finish_non_exhaustive()
    }
}
