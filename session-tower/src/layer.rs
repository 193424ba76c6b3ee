//! The layer and its options.

use std::fmt;
use std::sync::Arc;

use session_core::{Driver, State};
use session_manager::{OnHandlerError, OnNotStored, OnStoreError, Sessions};
use tower_layer::Layer;

use crate::clear::ClearSiteData;
use crate::client::ClientAddress;
use crate::engine::{Options, Parts};
use crate::service::SessionService;

/// Gives every request of a service its session.
///
/// The defaults: a store failure is `503 Service Unavailable`, the changes of a handler that answers with a server
/// error are dropped, a response that sets a cookie is `no-store`, and no client address is determined. A
/// [`RoutePolicy`](crate::RoutePolicy) overrides the first two, and [`on_not_stored`](Self::on_not_stored), for a route.
///
/// # Several layers
/// Two layers may be nested if their cookies have different names. A handler sees the inner layer's session; the outer
/// one is [`LazySession::outer`](crate::LazySession::outer). Each layer commits its own session and writes its own
/// cookie.
pub struct SessionLayer<D, S> {
    /// Shared, because axum calls [`Layer::layer`] for every request of a router without its state (`with_state`).
    parts: Arc<Parts<D, S>>,
}

impl<D: Driver, S: State> SessionLayer<D, S> {
    /// A layer that keeps its sessions in `sessions` and exchanges their ids with clients by `state`.
    #[must_use]
    pub fn new(sessions: Sessions<D>, state: S) -> Self {
        Self { parts: Arc::new(Parts::new(sessions, state)) }
    }

    /// What happens when the session store fails; [`OnStoreError::Reject`] by default.
    #[must_use]
    pub fn on_store_error(self, policy: OnStoreError) -> Self {
        self.with(|options| options.on_store_error = policy)
    }

    /// What happens to the changes of a handler that answers with a server error; [`OnHandlerError::Discard`] by
    /// default.
    #[must_use]
    pub fn on_handler_error(self, policy: OnHandlerError) -> Self {
        self.with(|options| options.on_handler_error = policy)
    }

    /// What happens to the response if recorded writes were not stored because the session has ended meanwhile;
    /// [`OnNotStored::Continue`] by default.
    #[must_use]
    pub fn on_not_stored(self, policy: OnNotStored) -> Self {
        self.with(|options| options.on_not_stored = policy)
    }

    /// Whether a response that sets or deletes the session's cookie gets `Cache-Control: no-store`; true by default. A
    /// cache that stores such a response gives one visitor's session to the next.
    #[must_use]
    pub fn cache_control_no_store(self, yes: bool) -> Self {
        self.with(|options| options.no_store = yes)
    }

    /// The data that a browser clears besides the cookie when a response ends its session; nothing by default.
    #[must_use]
    pub fn clear_site_data(self, data: ClearSiteData) -> Self {
        self.with(|options| options.clear = data)
    }

    /// How to find the client's address, for `Sessions` that check it; none by default.
    ///
    /// `Sessions` that check addresses need it. Without it, new sessions are bound to no address, and bound sessions are
    /// refused to every client. The layer reports that in one warning event when it wraps its first service.
    #[must_use]
    pub fn client_address(self, address: ClientAddress) -> Self {
        self.with(|options| options.address = Some(address))
    }

    /// Earlier clones keep their options.
    fn with(self, set: impl FnOnce(&mut Options)) -> Self {
        let mut parts = Parts::clone(&self.parts);
        set(&mut parts.options);
        Self { parts: Arc::new(parts) }
    }
}

impl<D, S> Clone for SessionLayer<D, S> {
    fn clone(&self) -> Self {
        Self { parts: Arc::clone(&self.parts) }
    }
}

impl<D, S> fmt::Debug for SessionLayer<D, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionLayer").field("options", &self.parts.options).finish_non_exhaustive()
    }
}

impl<D: Driver, S: State, Svc> Layer<Svc> for SessionLayer<D, S> {
    type Service = SessionService<Svc>;

    fn layer(&self, inner: Svc) -> Self::Service {
        // Not in `new`, because the address is set after it.
        if self.parts.misses_address() {
            self.parts.mistakes.report_missing_address();
        }
        SessionService::new(inner, Arc::clone(&self.parts) as _)
    }
}
