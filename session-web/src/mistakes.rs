//! Mistakes in the assembly of an application. A layer reports each of them once, as a warning event.

use std::sync::Once;

/// The reports of one layer.
#[derive(Debug)]
pub struct Mistakes {
    address: Once,
    order: Once,
    cookie: Once,
}

impl Mistakes {
    pub(crate) const fn new() -> Self {
        Self { address: Once::new(), order: Once::new(), cookie: Once::new() }
    }

    pub(crate) fn report_missing_address(&self) {
        self.address.call_once(|| {
            tracing::warn!(
                "sessions check the client's address, but the layer cannot find it and binds no session: \
                 set its client_address"
            );
        });
    }

    /// A middleware outside of the layer has asked for the session.
    pub fn report_wrong_order(&self) {
        self.order.call_once(|| {
            tracing::warn!(
                "a middleware outside of this session layer asked for the session, which exists only inside: \
                 add the session layer after that middleware, because the layer that was added last runs first"
            );
        });
    }

    /// Whether a cookie that may be dropped is still worth a look.
    #[inline]
    pub(crate) fn watches_cookie(&self) -> bool {
        !self.cookie.is_completed()
    }

    pub(crate) fn report_dropped_cookie(&self, objection: &str) {
        self.cookie.call_once(|| tracing::warn!("{objection}"));
    }
}
