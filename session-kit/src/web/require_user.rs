//! Handlers for users who are logged in, and for those who have logged in recently.

use http::{HeaderValue, header};

use crate::Session;

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

/// Where [`RequireUser`] sends browsers. With axum it is an `Extension`, with actix-web `app_data`.
#[derive(Clone, Debug)]
pub struct LoginPage(HeaderValue);

impl LoginPage {
    /// A path such as `/login`, or an address.
    ///
    /// # Errors
    /// The text is not valid in a header.
    pub fn new(location: &str) -> Result<Self, header::InvalidHeaderValue> {
        HeaderValue::from_str(location).map(Self)
    }

    /// The page if the client names HTML in these lines of its `Accept` header. `*/*` is what scripts and tools send.
    pub(crate) fn for_accept<'a>(&self, lines: impl Iterator<Item = &'a [u8]>) -> Option<&HeaderValue> {
        let lines = lines.filter_map(|line| std::str::from_utf8(line).ok());
        let mut kinds = lines.flat_map(|line| line.split(',')).filter_map(|item| item.split(';').next());
        let names_html = |kind: &str| {
            ["text/html", "application/xhtml+xml"].iter().any(|html| kind.trim().eq_ignore_ascii_case(html))
        };
        kinds.any(names_html).then_some(&self.0)
    }
}

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

/// The headers of every answer to a request without a user.
pub(crate) const HEADERS: [(&str, &str); 2] = [("cache-control", "no-store"), ("vary", "Accept")];

/// RFC 9110, section 15.5.2, requires a challenge. No registered scheme means a login page.
pub(crate) const CHALLENGE: (&str, &str) = ("www-authenticate", "Session");

impl std::fmt::Debug for RequireUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequireUser").finish_non_exhaustive()
    }
}

impl<const SECONDS: u64> std::fmt::Debug for RequireFresh<SECONDS> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequireFresh").finish_non_exhaustive()
    }
}
