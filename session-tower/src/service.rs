//! The service around the application.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use session_manager::AskedOutside;
use tower_service::Service;

use crate::engine::{Head, Source};
use crate::future::ResponseFuture;
use crate::lazy::LazySession;

/// The service that [`SessionLayer`](crate::SessionLayer) makes of another one.
///
/// It does not name the driver and the state. The session in a request's extensions must not name them either, or every
/// extractor of an application would.
#[derive(Clone)]
pub struct SessionService<Svc> {
    inner: Svc,
    source: Arc<dyn Source>,
}

impl<Svc> SessionService<Svc> {
    pub(crate) fn new(inner: Svc, source: Arc<dyn Source>) -> Self {
        Self { inner, source }
    }
}

impl<Svc, B, R> Service<Request<B>> for SessionService<Svc>
where
    Svc: Service<Request<B>, Response = Response<R>>,
    R: Default,
{
    type Response = Response<R>;
    type Error = Svc::Error;
    type Future = ResponseFuture<Svc::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if request.extensions_mut().remove::<AskedOutside>().is_some() {
            self.source.mistakes().report_wrong_order();
        }
        let (begun, engine) = Arc::clone(&self.source).begin(Head {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            extensions: request.extensions(),
        });
        LazySession::insert(begun.session.clone(), request.extensions_mut());
        ResponseFuture::new(self.inner.call(request), begun, engine)
    }
}

impl<Svc: fmt::Debug> fmt::Debug for SessionService<Svc> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionService").field("inner", &self.inner).finish_non_exhaustive()
    }
}
