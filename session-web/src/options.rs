//! The options that the session layers share.

use session_manager::{OnHandlerError, OnNotStored, OnStoreError};

use crate::clear::ClearSiteData;
use crate::client::ClientAddress;

/// The options of a layer. The methods of [`layer_options!`](crate::layer_options) set and describe them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LayerOptions {
    /// What happens when the session store fails.
    pub on_store_error: OnStoreError,
    /// What happens to the changes of a handler that answers with a server error.
    pub on_handler_error: OnHandlerError,
    /// What happens to the response if recorded writes were not stored.
    pub on_not_stored: OnNotStored,
    /// Whether a response that sets or deletes the session's cookie is `no-store`.
    pub no_store: bool,
    /// The data that a browser clears when a response ends its session.
    pub clear: ClearSiteData,
    /// How to find the client's address.
    pub address: Option<ClientAddress>,
}

impl LayerOptions {
    pub(crate) const fn new() -> Self {
        Self {
            on_store_error: OnStoreError::Reject,
            on_handler_error: OnHandlerError::Discard,
            on_not_stored: OnNotStored::Continue,
            no_store: true,
            clear: ClearSiteData::new(),
            address: None,
        }
    }
}

/// The methods that set the options of a layer, its `Clone` and its `Debug`. The layer has the fields
/// `parts: Arc<LayerParts<_, _>>` and `refuse`, which makes its own responses.
#[macro_export]
macro_rules! layer_options {
    ($layer:ident<D, E $(, $refuse:ident)?>) => {
        impl<D, E $(, $refuse)?> $layer<D, E $(, $refuse)?> {
            /// What happens when the session store fails; [`OnStoreError::Reject`](crate::OnStoreError::Reject) by
            /// default.
            #[must_use]
            pub fn on_store_error(self, policy: $crate::OnStoreError) -> Self {
                self.with(|options| options.on_store_error = policy)
            }

            /// What happens to the changes of a handler that answers with a server error;
            /// [`OnHandlerError::Discard`](crate::OnHandlerError::Discard) by default.
            #[must_use]
            pub fn on_handler_error(self, policy: $crate::OnHandlerError) -> Self {
                self.with(|options| options.on_handler_error = policy)
            }

            /// What happens to the response if recorded writes were not stored because the session has ended meanwhile;
            /// [`OnNotStored::Continue`](crate::OnNotStored::Continue) by default.
            #[must_use]
            pub fn on_not_stored(self, policy: $crate::OnNotStored) -> Self {
                self.with(|options| options.on_not_stored = policy)
            }

            /// Whether a response that sets or deletes the session's cookie gets `Cache-Control: no-store`; true by
            /// default. A cache that stores such a response gives one visitor's session to the next.
            #[must_use]
            pub fn cache_control_no_store(self, yes: bool) -> Self {
                self.with(|options| options.no_store = yes)
            }

            /// The data that a browser clears besides the cookie when a response ends its session; nothing by default.
            #[must_use]
            pub fn clear_site_data(self, data: $crate::ClearSiteData) -> Self {
                self.with(|options| options.clear = data)
            }

            /// How to find the client's address, for `Sessions` that check it; none by default.
            ///
            /// `Sessions` that check addresses need it. Without it, new sessions are bound to no address, and bound
            /// sessions are refused to every client. The layer reports that in one warning event when it wraps its first
            /// service.
            #[must_use]
            pub fn client_address(self, address: $crate::ClientAddress) -> Self {
                self.with(|options| options.address = Some(address))
            }

            /// Earlier clones keep their options.
            fn with(self, set: impl FnOnce(&mut $crate::LayerOptions)) -> Self {
                Self { parts: std::sync::Arc::new(self.parts.with(set)), refuse: self.refuse }
            }
        }

        impl<D, E $(, $refuse: Clone)?> Clone for $layer<D, E $(, $refuse)?> {
            fn clone(&self) -> Self {
                Self { parts: std::sync::Arc::clone(&self.parts), refuse: self.refuse.clone() }
            }
        }

        impl<D, E $(, $refuse)?> std::fmt::Debug for $layer<D, E $(, $refuse)?> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($layer))
                    .field("options", self.parts.options())
                    .finish_non_exhaustive()
            }
        }
    };
}
