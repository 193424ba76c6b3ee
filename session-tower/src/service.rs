//! The service around the application.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Method, Request, Response};
use session_manager::AskedOutside;
use session_web::{LazySession, OpenRequest, RequestHead, SessionSource};
use tower_service::Service;

use crate::future::ResponseFuture;
use crate::refuse::{DefaultRefusal, Refuse};

/// The service that [`SessionLayer`](crate::SessionLayer) makes of another one.
///
/// It does not name the driver and the state. The session in a request's extensions must not name them either, or every
/// extractor of an application would.
#[derive(Clone)]
pub struct SessionService<Svc, F = DefaultRefusal> {
    inner: Svc,
    source: Arc<dyn SessionSource>,
    refuse: F,
}

impl<Svc, F> SessionService<Svc, F> {
    pub(crate) fn new(inner: Svc, source: Arc<dyn SessionSource>, refuse: F) -> Self {
        Self { inner, source, refuse }
    }
}

impl<Svc, B, R, F> Service<Request<B>> for SessionService<Svc, F>
where
    Svc: Service<Request<B>, Response = Response<R>>,
    F: Refuse<R>,
{
    type Response = Response<R>;
    type Error = Svc::Error;
    type Future = ResponseFuture<Svc::Future, R, F>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    // Inlined, so that the future is made where it stays.
    #[inline]
    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let open = begin(&self.source, &mut request);
        let refuse = self.refuse.clone();
        ResponseFuture::new(self.inner.call(request), open, refuse)
    }
}

fn begin<B>(source: &Arc<dyn SessionSource>, request: &mut Request<B>) -> OpenRequest {
    if AskedOutside::is_possible() && request.extensions_mut().remove::<AskedOutside>().is_some() {
        source.mistakes().report_wrong_order();
    }
    let (begun, engine) = Arc::clone(source).begin(RequestHead {
        is_head: *request.method() == Method::HEAD,
        headers: request.headers(),
        extensions: request.extensions(),
    });
    let objection = match begun.may_drop_cookie {
        true => engine.objection(request.uri(), request.headers()),
        false => None,
    };
    let mut open = OpenRequest::new(begun, engine);
    open.objects(objection);
    LazySession::insert(open.session().clone(), request.extensions_mut());
    open
}

impl<Svc: fmt::Debug, F> fmt::Debug for SessionService<Svc, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionService").field("inner", &self.inner).finish_non_exhaustive()
    }
}
