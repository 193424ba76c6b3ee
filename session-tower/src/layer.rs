//! The layer and its options.

use std::sync::Arc;

use session_core::{Driver, State};
use session_manager::Sessions;
use session_web::{LayerParts, layer_options};
use tower_layer::Layer;

use crate::refuse::{DefaultRefusal, refuse_with};
use crate::service::SessionService;

/// Gives every request of a service its session.
///
/// The defaults: a store failure is `503 Service Unavailable`, the changes of a handler that answers with a server
/// error are dropped, a response that sets a cookie is `no-store`, and no client address is determined. A
/// [`RoutePolicy`](crate::RoutePolicy) overrides the first two, and [`on_not_stored`](Self::on_not_stored), for a route.
///
/// # Several layers
/// Two layers may be nested if their cookies have different names; a sealed cookie has the names `name.1` to `name.3` as
/// well. A handler sees the inner layer's session; the outer one is [`LazySession::outer`](crate::LazySession::outer).
/// Each layer commits its own session and writes its own cookie.
pub struct SessionLayer<D, S, F = DefaultRefusal> {
    /// Shared, because axum calls [`Layer::layer`] for every request of a router without its state (`with_state`).
    parts: Arc<LayerParts<Sessions<D>, S>>,
    refuse: F,
}

impl<D: Driver, S: State> SessionLayer<D, S> {
    /// A layer that keeps its sessions in `sessions` and exchanges their ids with clients by `state`.
    #[must_use]
    pub fn new(sessions: Sessions<D>, state: S) -> Self {
        Self { parts: Arc::new(LayerParts::stored(sessions, state)), refuse: DefaultRefusal }
    }
}

layer_options!(SessionLayer<D, E, F>);
refuse_with!(SessionLayer);

impl<D: Driver, S: State, F: Clone, Svc> Layer<Svc> for SessionLayer<D, S, F> {
    type Service = SessionService<Svc, F>;

    fn layer(&self, inner: Svc) -> Self::Service {
        self.parts.report_missing_address();
        SessionService::new(inner, Arc::clone(&self.parts) as _, self.refuse.clone())
    }
}
