//! Extractors and the settings of a route for actix-web. [`session_manager`] has the extractor of `Session`.

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::dev::{Payload, Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use session_manager::{AskedOutside, Error, Session};

use crate::lazy::{LazySession, Outer};
use crate::route::RoutePolicy;
use crate::typed::{SessionValue, Typed};

impl LazySession {
    /// The session of a request of actix-web; `None` outside every session layer. It notes the `Accept` header of the
    /// request, so that a refusal by the layer has the format that the client accepts.
    #[must_use]
    pub fn in_request(request: &HttpRequest) -> Option<Self> {
        let lazy = {
            let extensions = request.extensions();
            Self::new(extensions.get::<Session>()?.clone(), extensions.get::<Outer>())
        };
        lazy.session().note_accept_of(request);
        Some(lazy)
    }

    /// Puts a session into a request of actix-web, in front of the session of an outer layer, for web layers.
    pub fn insert_into(session: Session, request: &HttpRequest) {
        let mut extensions = request.extensions_mut();
        if let Some(before) = extensions.insert(session) {
            let outer = Outer::new(Self::new(before, extensions.get::<Outer>()));
            extensions.insert(outer);
        }
    }
}

/// Gives the session without loading it.
impl FromRequest for LazySession {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::in_request(request).ok_or_else(|| Error::no_layer_around(request)))
    }
}

/// Loads the session and decodes one value of it.
impl<T: SessionValue> FromRequest for Typed<T> {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let session = Session::from_request(request, payload);
        Box::pin(async { Self::read(session.await?) })
    }
}

impl<S, B> Transform<S, ServiceRequest> for RoutePolicy
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error>,
{
    type Response = ServiceResponse<B>;
    type Error = actix_web::Error;
    type Transform = RoutePolicyMiddleware<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(RoutePolicyMiddleware { inner, policy: *self }))
    }
}

/// The service that [`RoutePolicy`] makes of one of actix-web.
#[derive(Clone, Debug)]
pub struct RoutePolicyMiddleware<S> {
    inner: S,
    policy: RoutePolicy,
}

impl<S, B> Service<ServiceRequest> for RoutePolicyMiddleware<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error>,
{
    type Response = ServiceResponse<B>;
    type Error = actix_web::Error;
    type Future = S::Future;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        // In a block of its own, because the handler borrows the extensions too.
        let is_outside = match request.extensions().get() {
            Some(session) => {
                self.policy.apply(session);
                false
            }
            None => true,
        };
        if is_outside {
            request.extensions_mut().insert(AskedOutside::note());
            tracing::warn!("a RoutePolicy outside every session layer has no effect");
        }
        self.inner.call(request)
    }
}
