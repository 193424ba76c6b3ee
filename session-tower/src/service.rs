//! The service around the application.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use crate::engine::Engine;
use crate::future::ResponseFuture;
use crate::handle::LazySession;

/// What [`SessionLayer`](crate::SessionLayer) makes of a service.
///
/// It does not name the driver and the state: each request would go through a pointer anyway, for the handle in its
/// extensions must not name them, or every extractor of an application would.
#[derive(Clone)]
pub struct SessionService<Svc> {
    inner: Svc,
    engine: Arc<dyn Engine>,
}

impl<Svc> SessionService<Svc> {
    pub(crate) fn new(inner: Svc, engine: Arc<dyn Engine>) -> Self {
        Self { inner, engine }
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
        let outer = LazySession::of(request.extensions()).cloned();
        let client = self.engine.read(request.headers(), request.extensions());
        let handle = LazySession::new(Arc::clone(&self.engine), client, outer);
        request.extensions_mut().insert(handle.clone());
        ResponseFuture::new(self.inner.call(request), handle)
    }
}

impl<Svc: fmt::Debug> fmt::Debug for SessionService<Svc> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionService").field("inner", &self.inner).finish_non_exhaustive()
    }
}
