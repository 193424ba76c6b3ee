//! The options of a store.

use std::fmt;
use std::sync::Arc;

use session_core::{Clock, SystemClock};

use crate::mapping::{ByPrefix, Mapping};

/// A model and the options of the store in its objects.
#[derive(Clone)]
pub struct DelegateConfig<M> {
    pub(crate) model: M,
    pub(crate) mapping: Arc<dyn Mapping>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl<M> DelegateConfig<M> {
    /// A store in the objects of `model`, with the default options.
    #[must_use]
    pub fn new(model: M) -> Self {
        Self { model, mapping: Arc::new(ByPrefix), clock: SystemClock::shared() }
    }

    session_core::setters! {
        /// Maps a key to an object and three of its fields. Default: [`ByPrefix`].
        mapping: impl Mapping => Arc::new(mapping),

        /// The clock that decides which records are expired. Default: the system clock.
        clock: Arc<dyn Clock>,
    }
}

impl<M> fmt::Debug for DelegateConfig<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DelegateConfig").field("clock", &self.clock).finish_non_exhaustive()
    }
}
