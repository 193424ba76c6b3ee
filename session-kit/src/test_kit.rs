//! Tests of an application without a socket: a client that keeps cookies, and sessions whose clock the test moves.
//!
//! The [recipes](crate#recipes) have an example.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum_core::body::Body;
use http::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tower_service::Service;

pub use session_core::{TestClock, Timestamp};

use crate::memory::{MemoryConfig, MemoryStore};
use crate::{DynDriver, Sessions};

/// Sessions in memory, and their clock, which stands still until the test moves it.
///
/// # Panics
/// If the operating system has no random bytes.
#[must_use]
pub fn sessions() -> (Sessions, TestClock) {
    let clock = TestClock::new(Timestamp::from_millis(1_800_000_000_000));
    let store = MemoryStore::open(MemoryConfig::new().clock(Arc::new(clock.clone())));
    let store = DynDriver::new(store.expect("the options are valid"));
    (Sessions::new(store).expect("the options are valid"), clock)
}

/// A client of an application in this process: it keeps cookies as a browser does, by name.
///
/// It ignores attributes other than `Max-Age`, so a `Secure` cookie needs no HTTPS here. As in browsers, a cookie whose
/// name and value have more than 4,096 bytes together is ignored (RFC 6265bis §5.7). The client sends `X-Forwarded-Proto:
/// https` unless the request has that header. A clone is another tab with
/// the same cookies; later ones are its own.
#[derive(Clone, Debug)]
pub struct Client<A> {
    app: A,
    cookies: BTreeMap<String, String>,
}

/// A response with its whole body.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    ///
    /// # Panics
    /// If it is not UTF-8.
    #[must_use]
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    /// The value of a header; `None` if it is missing or not text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl<A> Client<A>
where
    A: Service<Request<Body>, Response = Response<Body>, Error = std::convert::Infallible> + Clone,
{
    /// A client without cookies. An axum `Router` is an application.
    pub fn new(app: A) -> Self {
        Self { app, cookies: BTreeMap::new() }
    }

    /// The value of a cookie that it keeps.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }

    /// The names of the cookies that it keeps, in their order.
    pub fn cookie_names(&self) -> impl Iterator<Item = &str> {
        self.cookies.keys().map(String::as_str)
    }

    /// Keeps this cookie, in place of one with the same name: for tests of planted and of older cookies.
    pub fn set_cookie(&mut self, name: &str, value: &str) {
        self.cookies.insert(name.to_owned(), value.to_owned());
    }

    /// Forgets all cookies.
    pub fn clear_cookies(&mut self) {
        self.cookies.clear();
    }

    /// Sends `GET path`.
    ///
    /// # Panics
    /// As [`send`](Self::send).
    pub async fn get(&mut self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).expect("the path is valid")).await
    }

    /// Sends `POST path` with a body of plain text.
    ///
    /// # Panics
    /// As [`send`](Self::send).
    pub async fn post(&mut self, path: &str, body: &str) -> Answer {
        let request = Request::post(path).header(CONTENT_TYPE, "text/plain; charset=utf-8");
        self.send(request.body(Body::from(body.to_owned())).expect("the path is valid")).await
    }

    /// Sends `POST path` with the fields of a form.
    ///
    /// # Panics
    /// As [`send`](Self::send).
    pub async fn post_form(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let pairs: Vec<_> =
            fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let request = Request::post(path).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(pairs.join("&"))).expect("the path is valid")).await
    }

    /// Sends a request with the client's cookies, and keeps those of the response.
    ///
    /// # Panics
    /// If the body of the response fails, or a cookie of the application is not valid in a header.
    pub async fn send(&mut self, mut request: Request<Body>) -> Answer {
        if !self.cookies.is_empty() {
            let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request.headers_mut().insert(COOKIE, pairs.join("; ").parse().expect("cookies are valid"));
        }
        request.headers_mut().entry("x-forwarded-proto").or_insert(HeaderValue::from_static("https"));
        let mut app = self.app.clone();
        let Ok(()) = std::future::poll_fn(|context| app.poll_ready(context)).await;
        let Ok(response) = app.call(request).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("the body arrives").to_bytes().to_vec();
        for line in parts.headers.get_all(SET_COOKIE).iter().filter_map(|line| line.to_str().ok()) {
            self.keep(line);
        }
        Answer { status: parts.status, headers: parts.headers, body }
    }

    fn keep(&mut self, line: &str) {
        let mut attributes = line.split(';').map(str::trim);
        let Some((name, value)) = attributes.next().and_then(|pair| pair.split_once('=')) else { return };
        if name.len() + value.len() > 4_096 {
            return;
        }
        if attributes.any(|attribute| attribute.eq_ignore_ascii_case("max-age=0")) {
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}

/// Percent-encodes a name or a value of a form.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'-' | b'.' | b'_' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}
