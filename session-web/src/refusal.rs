//! The layer's own responses.

use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use session_manager::ErrorKind;

use crate::headers::no_store;

const JSON: &str = "application/problem+json";
const TEXT: &str = "text/plain; charset=utf-8";

/// The reason why a layer replaces a response. A layer's `refuse_with` gets it.
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
    /// A refusal without `Retry-After`.
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

    /// The `Content-Type` and the body that the client prefers: [`problem_json`](Self::problem_json) or
    /// [`detail`](Self::detail).
    #[must_use]
    pub fn content(&self) -> (&'static str, String) {
        match self.wants_json {
            true => (JSON, self.problem_json()),
            false => (TEXT, self.detail().to_owned()),
        }
    }

    /// Forbids caches to keep the response ([`no_store`](crate::no_store)), and adds `Retry-After` in whole seconds.
    pub fn write_headers(&self, headers: &mut HeaderMap) {
        no_store(headers);
        if let Some(time) = self.retry_after {
            let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
            let _ = headers.try_insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
    }
}

/// Whether the body of a response is JSON.
#[must_use]
pub fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes().split(|byte| *byte == b';').next());
    let kind = kind.flatten().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    kind == b"application/json" || kind.ends_with(b"+json")
}
