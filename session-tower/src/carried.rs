//! The layer for sessions that the client keeps.

use std::sync::Arc;

use session_core::{Carrier, Driver};
use session_manager::CarriedSessions;
use session_web::{LayerParts, layer_options};
use tower_layer::Layer;

use crate::refuse::{DefaultRefusal, refuse_with};
use crate::service::SessionService;

/// Gives every request of a service the session that its client carries: cookie-only sessions.
///
/// The options, extractors and guarantees of a response are those of [`SessionLayer`](crate::SessionLayer): changes are
/// committed, sealed and checked for their size before the head of the response goes out. A session that is too large
/// for its cookies fails in the call that makes it so, or in the commit, and then the response is refused.
///
/// [`on_store_error`](Self::on_store_error) also applies to a session that its cookies cannot hold, and to the driver of
/// epochs.
///
/// The promises between requests are weaker, because no store compares them: see [`CarriedSessions`].
pub struct CarriedSessionLayer<D, C, F = DefaultRefusal> {
    parts: Arc<LayerParts<CarriedSessions<D>, C>>,
    refuse: F,
}

impl<D: Driver, C: Carrier> CarriedSessionLayer<D, C> {
    /// A layer whose sessions have the options of `sessions` and are exchanged with clients by `carrier`.
    #[must_use]
    pub fn new(sessions: CarriedSessions<D>, carrier: C) -> Self {
        Self { parts: Arc::new(LayerParts::carried(sessions, carrier)), refuse: DefaultRefusal }
    }
}

layer_options!(CarriedSessionLayer<D, E, F>);
refuse_with!(CarriedSessionLayer);

impl<D: Driver, C: Carrier, F: Clone, Svc> Layer<Svc> for CarriedSessionLayer<D, C, F> {
    type Service = SessionService<Svc, F>;

    fn layer(&self, inner: Svc) -> Self::Service {
        self.parts.report_missing_address();
        SessionService::new(inner, Arc::clone(&self.parts) as _, self.refuse.clone())
    }
}
