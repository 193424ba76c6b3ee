//! Settings of the layer that a route overrides.

use session_manager::{OnHandlerError, OnNotStored, OnStoreError, Session};

/// A layer for single routes, inside the session layer, that overrides its settings. A handler can do the same with the
/// methods of [`LazySession`](crate::LazySession).
///
/// It applies to the innermost session layer around it. Outside every session layer it has no effect, and a warning
/// event reports that. A session layer inside of it reports the wrong order.
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
    not_stored: Option<OnNotStored>,
    do_not_extend: bool,
}

impl RoutePolicy {
    /// Overrides nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What happens when the session store fails.
    #[must_use]
    pub fn on_store_error(mut self, policy: OnStoreError) -> Self {
        self.store = Some(policy);
        self
    }

    /// What happens to the changes of a handler that answers with a server error.
    #[must_use]
    pub fn on_handler_error(mut self, policy: OnHandlerError) -> Self {
        self.handler = Some(policy);
        self
    }

    /// What happens to the response if recorded writes were not stored because the session has ended meanwhile. For a
    /// page that says "saved": [`OnNotStored::Reject`].
    #[must_use]
    pub fn on_not_stored(mut self, policy: OnNotStored) -> Self {
        self.not_stored = Some(policy);
        self
    }

    /// Requests to these routes do not move the session's deadline, so a polling page does not keep a visitor logged in.
    #[must_use]
    pub fn do_not_extend(mut self) -> Self {
        self.do_not_extend = true;
        self
    }

    /// Overrides the settings of this request.
    pub fn apply(self, session: &Session) {
        if let Some(policy) = self.store {
            session.on_store_error(policy);
        }
        if let Some(policy) = self.handler {
            session.on_handler_error(policy);
        }
        if let Some(policy) = self.not_stored {
            session.on_not_stored(policy);
        }
        if self.do_not_extend {
            session.do_not_extend();
        }
    }
}
