//! The options of a store.

use std::fmt;
use std::sync::Arc;

use session_core::{Clock, SystemClock};

use crate::mapping::{ByPrefix, Mapping};

/// A model and the options of the store in its objects.
#[derive(Clone)]
#[must_use]
pub struct DelegateConfig<M> {
    pub(crate) model: M,
    pub(crate) mapping: Arc<dyn Mapping>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl<M> DelegateConfig<M> {
    /// A store in the objects of `model`, with the default options.
    pub fn new(model: M) -> Self {
        Self { model, mapping: Arc::new(ByPrefix), clock: SystemClock::shared() }
    }

    /// Maps a key to an object and three of its fields. Default: [`ByPrefix`].
    pub fn mapping(mut self, mapping: impl Mapping) -> Self {
        self.mapping = Arc::new(mapping);
        self
    }

    /// The clock that decides which records are expired. Default: the system clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    pub(crate) fn with_model<N>(self, wrap: impl FnOnce(M) -> N) -> DelegateConfig<N> {
        DelegateConfig { model: wrap(self.model), mapping: self.mapping, clock: self.clock }
    }
}

impl<M> fmt::Debug for DelegateConfig<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DelegateConfig").field("clock", &self.clock).finish_non_exhaustive()
    }
}
