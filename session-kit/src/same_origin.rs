//! Refusal of forms from other sites.

use std::task::{Context, Poll};

use futures_util::future::{Either, Ready, ready};
use http::header::{CONTENT_TYPE, HOST, ORIGIN};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tower_layer::Layer;
use tower_service::Service;

use crate::{DefaultRefusal, ErrorKind, Refusal, Refuse as _, Refused, Unrendered, prefers_json};

/// Refuses requests that another site made the browser send: cross-site request forgery (CSRF).
///
/// A request of another method than `GET`, `HEAD` and `OPTIONS` needs `Sec-Fetch-Site: same-origin` or `none`. Browsers
/// without this header need an `Origin` of this host. Pages cannot change these headers. Other requests get status 403, as
/// problem details (RFC 9457) or text by what the client accepts. Inside of a session layer, its `refuse_with` applies.
/// Programs other than browsers send neither header and pass.
///
/// `SameSite=Lax` alone is not enough, because another port or subdomain is the same site. A token in each form
/// ([`csrf`](crate::csrf)) needs a session before the first action.
#[derive(Clone, Debug, Default)]
#[must_use = "a layer does nothing by itself"]
pub struct SameOriginLayer {
    allowed: Vec<String>,
}

impl SameOriginLayer {
    /// Accepts requests of this host's own pages only.
    pub fn new() -> Self {
        Self::default()
    }

    /// Also accepts requests with this `Origin`, such as `https://login.example.com`.
    pub fn allow(mut self, origin: impl Into<String>) -> Self {
        self.allowed.push(origin.into());
        self
    }

    fn accepts<B>(&self, request: &Request<B>) -> bool {
        if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
            return true;
        }
        let headers = request.headers();
        let origin = text(headers, ORIGIN.as_str());
        if origin.is_some_and(|origin| self.allowed.iter().any(|allowed| allowed == origin)) {
            return true;
        }
        match (text(headers, "sec-fetch-site"), origin) {
            (Some(site), _) => matches!(site, "same-origin" | "none"),
            (None, Some(origin)) => {
                let sender = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
                // HTTP/2 has the host in the target of the request.
                let host =
                    text(headers, HOST.as_str()).or(request.uri().authority().map(|host| host.as_str()));
                sender.is_some() && sender == host
            }
            (None, None) => true,
        }
    }
}

/// The value of a header. One that is not text is an empty text, which no rule accepts.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or(""))
}

impl<S> Layer<S> for SameOriginLayer {
    type Service = SameOriginService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SameOriginService { inner, layer: self.clone() }
    }
}

/// The service of [`SameOriginLayer`].
#[derive(Clone, Debug)]
pub struct SameOriginService<S> {
    inner: S,
    layer: SameOriginLayer,
}

impl<S, B, R> Service<Request<B>> for SameOriginService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Default + From<&'static str> + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Either<Ready<Result<Response<R>, S::Error>>, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if self.layer.accepts(&request) {
            return Either::Right(self.inner.call(request));
        }
        let error = Unrendered::new(StatusCode::FORBIDDEN, ErrorKind::OtherSite);
        let refusal = Refusal::new(error.status, error.kind, prefers_json(request.headers()));
        let mut response: Response<R> = DefaultRefusal.refuse(&refusal);
        if !response.headers().contains_key(CONTENT_TYPE) {
            *response.body_mut() = R::from(refusal.detail());
        }
        response.extensions_mut().insert(Refused::new(error.kind));
        response.extensions_mut().insert(error);
        Either::Left(ready(Ok(response)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(method: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().method(method).uri("/").header(HOST, "127.0.0.1:3000");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        SameOriginLayer::new().allow("https://login.example").accepts(&request.body(()).expect("a request"))
    }

    #[test]
    fn only_own_pages_and_programs_may_post() {
        for (sent, ours) in [
            (&[][..], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "same-site"), ("origin", "http://127.0.0.1:3000")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("origin", "http://127.0.0.1:3000")], true),
            (&[("origin", "http://127.0.0.1:4000")], false),
            (&[("origin", "https://evil.example")], false),
            (&[("origin", "null")], false),
            (&[("origin", "https://login.example"), ("sec-fetch-site", "cross-site")], true),
            (&[("origin", "https://login.example.evil.example")], false),
        ] {
            assert_eq!(accepts("POST", sent), ours, "{sent:?}");
            assert!(accepts("GET", sent) && accepts("HEAD", sent), "{sent:?}");
        }
    }

    #[test]
    fn host_of_an_http_2_request_is_its_target() {
        let request = |origin: &str| {
            let request = Request::post("https://shop.example/cart").header(ORIGIN, origin);
            SameOriginLayer::new().accepts(&request.body(()).expect("a request"))
        };
        assert!(request("https://shop.example"));
        assert!(!request("https://evil.example"));
    }

    /// Neither axum's body nor text, as in other frameworks.
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Page(&'static str);

    impl From<&'static str> for Page {
        fn from(text: &'static str) -> Self {
            Self(text)
        }
    }

    #[derive(Clone)]
    struct App;

    impl Service<Request<()>> for App {
        type Response = Response<Page>;
        type Error = std::convert::Infallible;
        type Future = Ready<Result<Response<Page>, Self::Error>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<()>) -> Self::Future {
            ready(Ok(Response::new(Page("sent"))))
        }
    }

    #[test]
    fn refusal_has_a_text_in_every_kind_of_body() {
        let mut app = SameOriginLayer::new().layer(App);
        let mut send = |site| {
            let request = Request::post("/").header("sec-fetch-site", site).body(()).expect("a request");
            let Ok(response) = futures_util::FutureExt::now_or_never(app.call(request)).expect("it is ready");
            (response.status().as_u16(), response.into_body())
        };
        assert_eq!(send("same-origin"), (200, Page("sent")));
        assert_eq!(send("cross-site"), (403, Page("The form came from another site.")));
    }
}
