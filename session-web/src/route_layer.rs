//! The settings of a route as a tower layer.

use std::task::{Context, Poll};

use http::Request;
use session_manager::AskedOutside;
use tower_layer::Layer;
use tower_service::Service;

use crate::route::RoutePolicy;

impl<Svc> Layer<Svc> for RoutePolicy {
    type Service = RoutePolicyService<Svc>;

    fn layer(&self, inner: Svc) -> Self::Service {
        RoutePolicyService { inner, policy: *self }
    }
}

/// The service that [`RoutePolicy`] makes of another one.
#[derive(Clone, Debug)]
pub struct RoutePolicyService<Svc> {
    inner: Svc,
    policy: RoutePolicy,
}

impl<Svc, B> Service<Request<B>> for RoutePolicyService<Svc>
where
    Svc: Service<Request<B>>,
{
    type Response = Svc::Response;
    type Error = Svc::Error;
    type Future = Svc::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match request.extensions().get() {
            Some(session) => self.policy.apply(session),
            None => {
                request.extensions_mut().insert(AskedOutside::note());
                tracing::warn!("a RoutePolicy outside every session layer has no effect");
            }
        }
        self.inner.call(request)
    }
}
