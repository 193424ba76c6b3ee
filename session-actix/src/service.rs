//! The service around the application.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::{Error, HttpMessage};
use http::Extensions;
use session_manager::AskedOutside;
use session_web::{ClientAddress, LazySession, OpenRequest, RequestHead, SessionSource};

use crate::convert::Wanted;
use crate::future::SessionResponseFuture;
use crate::refuse::Refuser;

/// The service that a session middleware makes of another one.
pub struct SessionMiddlewareService<S> {
    inner: S,
    source: Arc<dyn SessionSource>,
    wanted: Wanted,
    refuse: Refuser,
}

impl<S> SessionMiddlewareService<S> {
    pub(crate) fn new(inner: S, source: Arc<dyn SessionSource>, refuse: Refuser) -> Self {
        let wanted = Wanted::new(source.headers_read());
        Self { inner, source, wanted, refuse }
    }

    fn begin(&self, request: &ServiceRequest) -> (OpenRequest, bool) {
        let mut extensions = Extensions::new();
        if let (Wanted::All, Some(peer)) = (&self.wanted, request.peer_addr()) {
            extensions.insert(peer);
        }
        let is_head = *request.method() == Method::HEAD;
        let (begun, engine) = self.wanted.of(request.headers(), |headers| {
            Arc::clone(&self.source).begin(RequestHead { is_head, headers, extensions: &extensions })
        });
        let may_drop_cookie = begun.may_drop_cookie;
        (OpenRequest::new(begun, engine), may_drop_cookie)
    }
}

/// The connection's address, as `HttpRequest::peer_addr` returns it, for
/// [`SessionMiddleware::client_address`](crate::SessionMiddleware::client_address). Behind a proxy it is the proxy's.
#[must_use]
pub fn peer_address() -> ClientAddress {
    ClientAddress::extension(|peer: &SocketAddr| peer.ip())
}

impl<S, B> Service<ServiceRequest> for SessionMiddlewareService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = SessionResponseFuture<S::Future, B>;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        if AskedOutside::is_possible() && request.extensions_mut().remove::<AskedOutside>().is_some() {
            self.source.mistakes().report_wrong_order();
        }
        let (open, may_drop_cookie) = self.begin(&request);
        LazySession::insert_into(open.session().clone(), request.request());
        SessionResponseFuture::new(self.inner.call(request), open, may_drop_cookie, self.refuse.clone())
    }
}

/// Makes a middleware of a type with the fields `parts` and `refuse`.
macro_rules! wraps {
    ($layer:ident, $exchange:path) => {
        impl<D, E, S, B> actix_web::dev::Transform<S, actix_web::dev::ServiceRequest> for $layer<D, E>
        where
            D: Driver,
            E: $exchange,
            S: actix_web::dev::Service<
                    actix_web::dev::ServiceRequest,
                    Response = actix_web::dev::ServiceResponse<B>,
                    Error = actix_web::Error,
                >,
            B: actix_web::body::MessageBody + 'static,
        {
            type Response = actix_web::dev::ServiceResponse<actix_web::body::EitherBody<B>>;
            type Error = actix_web::Error;
            type Transform = crate::service::SessionMiddlewareService<S>;
            type InitError = ();
            type Future = std::future::Ready<Result<Self::Transform, ()>>;

            fn new_transform(&self, inner: S) -> Self::Future {
                self.parts.report_missing_address();
                let (source, refuse) = (Arc::clone(&self.parts) as _, self.refuse.clone());
                std::future::ready(Ok(crate::service::SessionMiddlewareService::new(inner, source, refuse)))
            }
        }
    };
}
pub(crate) use wraps;

impl<S: fmt::Debug> fmt::Debug for SessionMiddlewareService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionMiddlewareService").field("inner", &self.inner).finish_non_exhaustive()
    }
}
