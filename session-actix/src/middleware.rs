//! The middleware and its options.

use std::sync::Arc;

use session_core::{Driver, State};
use session_manager::Sessions;
use session_web::{LayerParts, layer_options};

use crate::refuse::{Refuser, refuse_with};
use crate::service::wraps;

/// Gives every request of an application, a scope or a resource its session.
///
/// Make it once, outside of the closure of `HttpServer::new`, and clone it there: clones share their sessions and report a
/// mistake once.
///
/// The defaults: a store failure is `503 Service Unavailable`, the changes of a handler that answers with a server
/// error are dropped, a response that sets a cookie is `no-store`, and no client address is determined. A
/// [`RoutePolicy`](crate::RoutePolicy) overrides the first two and [`on_not_stored`](Self::on_not_stored) for a route.
///
/// # Several layers
/// Two session layers may be nested if their cookies have different names; a sealed cookie has the names `name.1` to
/// `name.3` as well. A handler sees the inner one's session; the outer one is
/// [`LazySession::outer`](crate::LazySession::outer). Each commits its own session and writes its own cookie.
pub struct SessionMiddleware<D, S> {
    parts: Arc<LayerParts<Sessions<D>, S>>,
    refuse: Refuser,
}

impl<D: Driver, S: State> SessionMiddleware<D, S> {
    /// A layer that keeps its sessions in `sessions` and exchanges their ids with clients by `state`.
    #[must_use]
    pub fn new(sessions: Sessions<D>, state: S) -> Self {
        Self { parts: Arc::new(LayerParts::stored(sessions, state)), refuse: Refuser::default() }
    }
}

layer_options!(SessionMiddleware<D, E>);
refuse_with!(SessionMiddleware);
wraps!(SessionMiddleware, State);
