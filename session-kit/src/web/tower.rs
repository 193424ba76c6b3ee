//! Refusal of forms from other sites, as a tower layer.

use std::task::{Context, Poll};

use futures_util::future::{Either, Ready, ready};
use http::header::CONTENT_TYPE;
use http::uri::Authority;
use http::{HeaderValue, Request, Response, StatusCode};
use tower_layer::Layer;
use tower_service::Service;

use super::same_origin::SameOriginLayer;
use crate::{DefaultRefusal, ErrorKind, Refusal, Refuse as _, Refused, Unrendered, prefers_json};

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
        let header = |name: &str| request.headers().get(name).map(HeaderValue::as_bytes);
        let target = request.uri().authority().map(Authority::as_str);
        if self.layer.accepts(request.method().as_str(), header, target) {
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
