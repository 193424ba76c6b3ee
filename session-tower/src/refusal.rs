//! The layer's own responses.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LAST_MODIFIED, RETRY_AFTER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use session_manager::ErrorKind;

const JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Why the layer replaces a response, for [`SessionLayer::refuse_with`](crate::SessionLayer::refuse_with).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// `503 Service Unavailable` if the same request may succeed later, `409 Conflict` if the session has ended before its
    /// changes were stored, `401 Unauthorized` and `403 Forbidden` of an extractor or a middleware that refuses the request,
    /// `500 Internal Server Error` otherwise.
    pub status: StatusCode,
    /// The kind of the error.
    pub kind: ErrorKind,
    /// After which time the client may try again, if the failure passes by itself.
    pub retry_after: Option<Duration>,
    /// Whether the client prefers JSON to text. An extractor has noted its `Accept` header, or
    /// [`LazySession::of_request`](crate::LazySession::of_request) has; otherwise the replaced response is JSON.
    pub wants_json: bool,
}

impl Refusal {
    /// A refusal without `Retry-After`. A middleware that refuses requests as the layer does calls
    /// `DefaultRefusal.refuse(&refusal)` with it.
    #[must_use]
    pub const fn new(status: StatusCode, kind: ErrorKind, wants_json: bool) -> Self {
        Self { status, kind, retry_after: None, wants_json }
    }

    /// A sentence for people. It names neither the session nor the cause.
    #[must_use]
    pub fn detail(&self) -> &'static str {
        match (self.status, self.kind) {
            (StatusCode::CONFLICT, _) => "Your session has ended, so your changes were not saved.",
            (_, ErrorKind::NoUser) => "Please log in.",
            (_, ErrorKind::NotFresh) => "Please log in again.",
            (_, ErrorKind::OtherSite) => "The form came from another site.",
            (_, ErrorKind::TooManySessions) => "You are logged in too often. Please log out elsewhere.",
            (StatusCode::SERVICE_UNAVAILABLE, _) => {
                "Sessions are not available at the moment. Please try again."
            }
            _ => "Something went wrong with the session.",
        }
    }

    /// The problem as JSON (RFC 9457): a body of type `application/problem+json`.
    #[must_use]
    pub fn problem_json(&self) -> String {
        // None of the texts has a character that JSON escapes.
        let (status, detail) = (self.status.as_u16(), self.detail());
        let title = self.status.canonical_reason().unwrap_or("Error");
        format!(r#"{{"type":"about:blank","title":"{title}","status":{status},"detail":"{detail}"}}"#)
    }

    /// Adds `Cache-Control: no-store`, and `Retry-After` in whole seconds.
    pub fn write_headers(&self, headers: &mut HeaderMap) {
        let _ = headers.try_insert(CACHE_CONTROL, NO_STORE);
        if let Some(time) = self.retry_after {
            let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
            let _ = headers.try_insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
    }
}

/// Makes the layer's own responses: [`DefaultRefusal`], or a closure in [`RefuseWith`].
pub trait Refuse<R>: Clone {
    /// The response.
    fn refuse(&self, refusal: &Refusal) -> Response<R>;
}

/// The responses of a layer by default: problem details for clients that prefer JSON, and plain text for others.
///
/// The body is text if the type of bodies is axum's, `String` or `Vec<u8>`. Any other type has its default, an empty body:
/// use [`SessionLayer::refuse_with`](crate::SessionLayer::refuse_with).
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultRefusal;

impl<R: Default + 'static> Refuse<R> for DefaultRefusal {
    fn refuse(&self, refusal: &Refusal) -> Response<R> {
        let (kind, text) = match refusal.wants_json {
            true => (JSON, refusal.problem_json()),
            false => (TEXT, refusal.detail().to_owned()),
        };
        let mut response = Response::new(R::default());
        *response.status_mut() = refusal.status;
        refusal.write_headers(response.headers_mut());
        if fill(response.body_mut(), text) {
            let _ = response.headers_mut().try_insert(CONTENT_TYPE, kind);
        }
        response
    }
}

/// Puts the text into the body, if its type is known.
fn fill(body: &mut dyn Any, text: String) -> bool {
    #[cfg(feature = "axum")]
    if let Some(body) = body.downcast_mut::<axum_core::body::Body>() {
        *body = axum_core::body::Body::from(text);
        return true;
    }
    if let Some(body) = body.downcast_mut::<String>() {
        *body = text;
        return true;
    }
    let Some(body) = body.downcast_mut::<Vec<u8>>() else { return false };
    *body = text.into_bytes();
    true
}

/// The responses of a layer by a closure: see [`SessionLayer::refuse_with`](crate::SessionLayer::refuse_with).
pub struct RefuseWith<F>(Arc<F>);

impl<F> RefuseWith<F> {
    pub(crate) fn new(refuse: F) -> Self {
        Self(Arc::new(refuse))
    }
}

impl<F> Clone for RefuseWith<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<F> fmt::Debug for RefuseWith<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefuseWith(..)")
    }
}

impl<R, F: Fn(&Refusal) -> Response<R>> Refuse<R> for RefuseWith<F> {
    fn refuse(&self, refusal: &Refusal) -> Response<R> {
        (self.0)(refusal)
    }
}

/// Whether the body of a response is JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes().split(|byte| *byte == b';').next());
    let kind = kind.flatten().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    kind == b"application/json" || kind.ends_with(b"+json")
}

/// Adds the headers of an error response that do not describe its body: services inside of the layer may have added some.
pub(crate) fn keep_headers(new: &mut HeaderMap, old: HeaderMap) {
    let describes = |name: &HeaderName| {
        name.as_str().starts_with("content-")
            || [ETAG, LAST_MODIFIED, TRANSFER_ENCODING, RETRY_AFTER, CACHE_CONTROL].contains(name)
    };
    for name in old.keys().filter(|name| !describes(name)) {
        if !new.contains_key(name) {
            for value in old.get_all(name) {
                let _ = new.try_append(name.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_bodies_stay_empty() {
        let refusal = Refusal {
            status: StatusCode::SERVICE_UNAVAILABLE,
            kind: ErrorKind::Store,
            retry_after: Some(Duration::from_millis(1_500)),
            wants_json: true,
        };
        let response: Response<Option<u8>> = DefaultRefusal.refuse(&refusal);
        assert!(response.body().is_none() && !response.headers().contains_key(CONTENT_TYPE));
        assert_eq!(
            (response.headers()[RETRY_AFTER].as_bytes(), response.status()),
            (&b"2"[..], refusal.status)
        );
        let response: Response<Vec<u8>> = DefaultRefusal.refuse(&refusal);
        assert_eq!(response.headers()[CONTENT_TYPE], JSON);
        let response: Response<String> = DefaultRefusal.refuse(&Refusal { wants_json: false, ..refusal });
        assert_eq!(
            (response.headers()[CONTENT_TYPE].clone(), response.body().as_str()),
            (TEXT, refusal.detail())
        );
    }
}
