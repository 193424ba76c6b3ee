//! The layer and its options.

use std::fmt;
use std::sync::{Arc, Once};

use session_core::{Driver, State};
use session_manager::Sessions;
use tower_layer::Layer;

use crate::client::ClientAddress;
use crate::engine::{Options, Parts};
use crate::policy::{OnHandlerError, OnStoreError};
use crate::service::SessionService;

/// Gives every request of a service its session.
///
/// The defaults: a store failure is `503 Service Unavailable`, the changes of a handler that answers with a server
/// error are dropped, a response that sets a cookie is `no-store`, and no client address is looked for. The first
/// two can be overruled per route by [`RoutePolicy`](crate::RoutePolicy).
///
/// # Several layers
/// Two layers may be nested, each with its own cookie name. A handler sees the inner one's session; the outer one's
/// is behind [`LazySession::outer`](crate::LazySession::outer). Each layer commits its own and writes its own
/// cookie. Two nested layers of one cookie name would both write it: do not do that.
pub struct SessionLayer<D, S> {
    /// Ready to be shared: axum calls [`Layer::layer`] for every request of a router that is not finished
    /// (`with_state`), so that must not make anything.
    parts: Arc<Parts<D, S>>,
    /// Whether it was said that an address is to be checked which nobody finds.
    told: Arc<Once>,
}

impl<D: Driver, S: State> SessionLayer<D, S> {
    /// A layer that keeps its sessions in `sessions` and gets clients to repeat their ids by `state`.
    #[must_use]
    pub fn new(sessions: Sessions<D>, state: S) -> Self {
        Self { parts: Arc::new(Parts::new(sessions, Arc::new(state))), told: Arc::new(Once::new()) }
    }

    /// What a visitor gets when the session store fails; [`OnStoreError::Reject`] by default.
    #[must_use]
    pub fn on_store_error(self, what: OnStoreError) -> Self {
        self.with(|options| options.policy.on_store_error(what))
    }

    /// What happens to the changes of a handler that answers with a server error; [`OnHandlerError::Discard`] by
    /// default.
    #[must_use]
    pub fn on_handler_error(self, what: OnHandlerError) -> Self {
        self.with(|options| options.policy.on_handler_error(what))
    }

    /// Whether a response that sets or deletes the session's cookie says `Cache-Control: no-store`; true by default.
    /// A cache that keeps such a response hands one visitor's session to the next.
    #[must_use]
    pub fn no_store(self, no_store: bool) -> Self {
        self.with(|options| options.no_store = no_store)
    }

    /// How to find the client's address, for `Sessions` that check it; none by default.
    ///
    /// `Sessions` that check addresses need it: without it no new session is bound to one, so that the check protects
    /// nobody, and sessions that are bound to one open for nobody. The layer says so in one warning event, when it is
    /// put around its first service; it is no error, for neither this type's nor tower's constructor can give one.
    #[must_use]
    pub fn client_address(self, address: ClientAddress) -> Self {
        self.with(|options| options.address = Some(address))
    }

    /// A clone that was made before keeps its own options.
    fn with(self, set: impl FnOnce(&mut Options)) -> Self {
        let mut parts = Parts::clone(&self.parts);
        set(&mut parts.options);
        Self { parts: Arc::new(parts), told: self.told }
    }
}

impl<D, S> Clone for SessionLayer<D, S> {
    fn clone(&self) -> Self {
        Self { parts: Arc::clone(&self.parts), told: Arc::clone(&self.told) }
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
        // Not in `new`: the address is an option that follows it.
        if self.parts.misses_address() {
            self.told.call_once(|| {
                tracing::warn!(
                    "these sessions check the client's address, and the layer knows no way to find it, so none is \
                     bound to any: see SessionLayer::client_address"
                );
            });
        }
        SessionService::new(inner, Arc::clone(&self.parts) as _)
    }
}
