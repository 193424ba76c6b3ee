//! The layer's settings, overruled for some routes.

use std::task::{Context, Poll};

use http::Request;
use tower_layer::Layer;
use tower_service::Service;

use crate::handle::LazySession;
use crate::policy::{OnHandlerError, OnStoreError};

/// A layer for single routes, inside of the [`SessionLayer`](crate::SessionLayer), that overrules its settings. What
/// is not set here stays as it is there. A handler can do the same with the methods of [`LazySession`].
///
/// It applies to the innermost session layer around it. Outside of every session layer it can do nothing and says so
/// in a warning event.
///
/// ```
/// use axum::{Router, routing::get};
/// use session_tower::{RoutePolicy, OnStoreError};
///
/// let front_page = RoutePolicy::new().on_store_error(OnStoreError::Continue);
/// let polling = RoutePolicy::new().do_not_extend();
/// let app: Router = Router::new()
///     .route("/", get(async || "hello").layer(front_page))
///     .route("/news-since", get(async || "nothing").layer(polling));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct RoutePolicy {
    store: Option<OnStoreError>,
    handler: Option<OnHandlerError>,
    do_not_extend: bool,
}

impl RoutePolicy {
    /// Overrules nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What a visitor gets when the session store fails.
    #[must_use]
    pub fn on_store_error(mut self, what: OnStoreError) -> Self {
        self.store = Some(what);
        self
    }

    /// What happens to the changes of a handler that answers with a server error.
    #[must_use]
    pub fn on_handler_error(mut self, what: OnHandlerError) -> Self {
        self.handler = Some(what);
        self
    }

    /// Requests to these routes do not count as activity: a page that polls keeps nobody logged in.
    #[must_use]
    pub fn do_not_extend(mut self) -> Self {
        self.do_not_extend = true;
        self
    }

    fn apply(self, handle: &LazySession) {
        if let Some(what) = self.store {
            handle.on_store_error(what);
        }
        if let Some(what) = self.handler {
            handle.on_handler_error(what);
        }
        if self.do_not_extend {
            handle.do_not_extend();
        }
    }
}

impl<Svc> Layer<Svc> for RoutePolicy {
    type Service = RoutePolicyService<Svc>;

    fn layer(&self, inner: Svc) -> Self::Service {
        RoutePolicyService { inner, policy: *self }
    }
}

/// What [`RoutePolicy`] makes of a service.
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

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match LazySession::of(request.extensions()) {
            Some(handle) => self.policy.apply(handle),
            None => tracing::warn!("a RoutePolicy stands outside of every SessionLayer and has no effect"),
        }
        self.inner.call(request)
    }
}
