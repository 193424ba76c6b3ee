//! The layer's own responses.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG, LAST_MODIFIED, RETRY_AFTER, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use session_manager::ErrorKind;

use crate::headers::items;

const JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Why the layer replaces a response, for [`SessionLayer::refuse_with`](crate::SessionLayer::refuse_with).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// `503 Service Unavailable` if the same request may succeed later, `409 Conflict` if the session has ended before its
    /// changes were stored, `500 Internal Server Error` otherwise.
    pub status: StatusCode,
    /// The kind of the error.
    pub kind: ErrorKind,
    /// After which time the client may try again, if the failure passes by itself.
    pub retry_after: Option<Duration>,
    /// Whether the client prefers JSON to text, by its `Accept` header.
    pub wants_json: bool,
}

impl Refusal {
    /// A sentence for people. It names neither the session nor the cause.
    #[must_use]
    pub fn detail(&self) -> &'static str {
        match (self.status, self.kind) {
            (StatusCode::CONFLICT, _) => "Your session has ended, so your changes were not saved.",
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

/// Whether the client prefers JSON to text. Of two types with equal weights, the first counts. `*/*` alone means text.
pub(crate) fn prefers_json(request: &HeaderMap) -> bool {
    let Some(first) = request.get(ACCEPT) else { return false };
    match first.as_bytes() {
        // What most clients begin with has the weight 1.
        [b't' | b'T', b'e', b'x', b't', b'/', b'h', b't', b'm', b'l', b',', ..] => false,
        b"*/*" => false,
        b"application/json" | b"application/problem+json" => true,
        _ => weighs_json(request),
    }
}

fn weighs_json(request: &HeaderMap) -> bool {
    let lines = request.get_all(ACCEPT).iter();
    let mut json = Weight::default();
    let mut text = Weight::default();
    for (place, item) in lines.flat_map(|line| items(line.as_bytes())).enumerate() {
        let mut parts = item.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let Some(kind) = parts.next() else { continue };
        let weight = parts.find_map(weight_of).unwrap_or(1_000);
        let kind = kind.to_ascii_lowercase();
        match &kind[..] {
            b"application/problem+json" => json.name(3, weight, place),
            b"application/json" => json.name(2, weight, place),
            b"application/*" => json.name(1, weight, place),
            b"text/plain" => text.name(3, weight, place),
            b"text/html" | b"application/xhtml+xml" => text.name(2, weight, place),
            b"text/*" => text.name(1, weight, place),
            b"*/*" => {
                json.name(0, weight, usize::MAX);
                text.name(0, weight, place);
            }
            _ => {}
        }
    }
    json.weight > text.weight || json.weight == text.weight && json.weight > 0 && json.place < text.place
}

/// The weight of a type by the most specific entry that names it.
#[derive(Default)]
struct Weight {
    /// In thousandths.
    weight: u32,
    place: usize,
    /// How specific the entry is; 0 for none and `*/*`.
    specific: u8,
}

impl Weight {
    fn name(&mut self, specific: u8, weight: u32, place: usize) {
        let better = specific > self.specific || specific == self.specific && weight > self.weight;
        if better {
            *self = Self { weight, place, specific };
        }
    }
}

/// `q=0.5` in thousandths.
fn weight_of(parameter: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(parameter).ok()?;
    let (name, value) = text.split_once('=')?;
    if !name.trim_end().eq_ignore_ascii_case("q") {
        return None;
    }
    let weight = value.trim_start().parse::<f32>().ok().filter(|weight| (0.0..=1.0).contains(weight));
    // A malformed weight is ignored.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 1")]
    weight.map(|weight| (weight * 1_000.0).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_header_chooses_the_format() {
        for (accept, json) in [
            (&[][..], false),
            (&["*/*"], false),
            (&[""], false),
            (&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], false),
            (&["TEXT/HTML, application/json"], false),
            (&["application/json"], true),
            (&["application/problem+json"], true),
            (&["Application/JSON; charset=utf-8"], true),
            (&["application/json, text/plain, */*"], true),
            (&["text/plain, application/json"], false),
            (&["text/plain;q=0.5, application/json"], true),
            (&["text/plain; q=0.5", "application/json;q=0.6"], true),
            (&["text/html;q=0.9, application/problem+json;q=0.9"], false),
            (&["application/json;q=0"], false),
            (&["application/json;q=0, */*"], false),
            (&["text/plain;q=0, */*"], true),
            (&["application/*"], true),
            (&["text/*, application/*;q=0.1"], false),
            (&["image/avif,image/webp,*/*;q=0.8"], false),
            (&["application/json;q=2"], true),
            (&["application/json;q=NaN, text/plain;q=0.1"], true),
            (&[";;;,,,q=1;=", "\u{7f}"], false),
            (&["application/json;v=\"a, text/plain\";q=0.1, text/plain"], false),
        ] {
            let mut headers = HeaderMap::new();
            for line in accept {
                if let Ok(line) = HeaderValue::from_str(line) {
                    headers.append(ACCEPT, line);
                }
            }
            assert_eq!(prefers_json(&headers), json, "{accept:?}");
        }
    }

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
