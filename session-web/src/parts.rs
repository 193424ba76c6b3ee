//! The parts of a layer.

use std::sync::Arc;

use session_core::{Carrier, Driver, State};
use session_manager::{CarriedSessions, Sessions};

use crate::mistakes::Mistakes;
use crate::options::LayerOptions;

/// The sessions of a layer, what exchanges them or their ids with clients, and the layer's options. Shared by the clones of
/// the layer, and the [`SessionSource`](crate::SessionSource) of its requests.
pub struct LayerParts<M, E> {
    pub(crate) sessions: M,
    pub(crate) exchange: Arc<E>,
    pub(crate) options: LayerOptions,
    pub(crate) mistakes: Arc<Mistakes>,
}

impl<D: Driver, S: State> LayerParts<Sessions<D>, S> {
    /// Sessions of a store, whose ids `state` exchanges with clients.
    #[must_use]
    pub fn stored(sessions: Sessions<D>, state: S) -> Self {
        Self::new(sessions, state)
    }

    /// Reports that the sessions check an address which the layer cannot find. Not in the constructor, because the address
    /// is set after it: call it when the layer wraps a service.
    pub fn report_missing_address(&self) {
        self.report_if(self.sessions.checks_address());
    }
}

impl<D: Driver, C: Carrier> LayerParts<CarriedSessions<D>, C> {
    /// Sessions that the client keeps, which `carrier` exchanges.
    #[must_use]
    pub fn carried(sessions: CarriedSessions<D>, carrier: C) -> Self {
        Self::new(sessions.max_data_bytes(carrier.max_data_bytes()), carrier)
    }

    /// As for [`stored`](Self::stored) sessions.
    pub fn report_missing_address(&self) {
        self.report_if(self.sessions.base().checks_address());
    }
}

impl<M, E> LayerParts<M, E> {
    fn new(sessions: M, exchange: E) -> Self {
        let (exchange, mistakes) = (Arc::new(exchange), Arc::new(Mistakes::new()));
        Self { sessions, exchange, options: LayerOptions::new(), mistakes }
    }

    /// The options.
    pub fn options(&self) -> &LayerOptions {
        &self.options
    }

    fn report_if(&self, checks: bool) {
        if checks && self.options.address.is_none() {
            self.mistakes.report_missing_address();
        }
    }
}

impl<M: Clone, E> LayerParts<M, E> {
    /// The same with other options. Earlier clones of the layer keep theirs.
    #[must_use]
    pub fn with(&self, set: impl FnOnce(&mut LayerOptions)) -> Self {
        let mut options = self.options.clone();
        set(&mut options);
        let (exchange, mistakes) = (Arc::clone(&self.exchange), Arc::clone(&self.mistakes));
        Self { sessions: self.sessions.clone(), exchange, options, mistakes }
    }
}

impl<M, E> std::fmt::Debug for LayerParts<M, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LayerParts").field("options", &self.options).finish_non_exhaustive()
    }
}
