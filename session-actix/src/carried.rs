//! The middleware for sessions that the client keeps.

use std::sync::Arc;

use session_core::{Carrier, Driver};
use session_manager::CarriedSessions;
use session_web::{LayerParts, layer_options};

use crate::refuse::{Refuser, refuse_with};
use crate::service::wraps;

/// Gives every request the session that its client carries: cookie-only sessions.
///
/// The options, extractors and guarantees of a response are those of
/// [`SessionMiddleware`](crate::SessionMiddleware): changes are committed, sealed and checked for their size before the
/// head of the response goes out. A session that is too large for its cookies fails in the call that makes it so, or in
/// the commit, and then the response is refused.
///
/// [`on_store_error`](Self::on_store_error) also applies to a session that its cookies cannot hold, and to the driver of
/// epochs.
///
/// The promises between requests are weaker, because no store compares them: see [`CarriedSessions`].
pub struct CarriedSessionMiddleware<D, C> {
    parts: Arc<LayerParts<CarriedSessions<D>, C>>,
    refuse: Refuser,
}

impl<D: Driver, C: Carrier> CarriedSessionMiddleware<D, C> {
    /// A layer whose sessions have the options of `sessions` and are exchanged with clients by `carrier`.
    #[must_use]
    pub fn new(sessions: CarriedSessions<D>, carrier: C) -> Self {
        Self { parts: Arc::new(LayerParts::carried(sessions, carrier)), refuse: Refuser::default() }
    }
}

layer_options!(CarriedSessionMiddleware<D, E>);
refuse_with!(CarriedSessionMiddleware);
wraps!(CarriedSessionMiddleware, Carrier);
