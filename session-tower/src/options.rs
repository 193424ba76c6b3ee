//! The options that the session layers share.

use std::sync::Arc;

use session_manager::{OnHandlerError, OnNotStored, OnStoreError};

use crate::clear::ClearSiteData;
use crate::client::ClientAddress;
use crate::mistakes::Mistakes;

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) on_store_error: OnStoreError,
    pub(crate) on_handler_error: OnHandlerError,
    pub(crate) on_not_stored: OnNotStored,
    pub(crate) no_store: bool,
    pub(crate) clear: ClearSiteData,
    pub(crate) address: Option<ClientAddress>,
}

impl Options {
    const fn new() -> Self {
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

/// The parts of a layer: its sessions, and what exchanges them or their ids with clients.
pub(crate) struct Parts<M, E> {
    pub(crate) sessions: M,
    pub(crate) exchange: Arc<E>,
    pub(crate) options: Options,
    pub(crate) mistakes: Arc<Mistakes>,
}

impl<M: Clone, E> Parts<M, E> {
    pub(crate) fn new(sessions: M, exchange: E) -> Self {
        let (exchange, mistakes) = (Arc::new(exchange), Arc::new(Mistakes::new()));
        Self { sessions, exchange, options: Options::new(), mistakes }
    }

    /// The same with other options.
    pub(crate) fn with(&self, set: impl FnOnce(&mut Options)) -> Self {
        let mut options = self.options.clone();
        set(&mut options);
        let (exchange, mistakes) = (Arc::clone(&self.exchange), Arc::clone(&self.mistakes));
        Self { sessions: self.sessions.clone(), exchange, options, mistakes }
    }
}

/// The options of a layer with the field `parts: Arc<Parts<_, _>>`, its `Clone` and its `Debug`.
macro_rules! layer_options {
    ($layer:ident) => {
        impl<D, E, F> $layer<D, E, F> {
            /// Replaces the layer's own responses: those in place of a handler's response, and those that an
            /// [`Error`](crate::Error) of a handler or an extractor becomes. By default they are
            /// [`DefaultRefusal`](crate::DefaultRefusal)'s. The layer adds the session's cookie where it has to, and the
            /// headers that services inside of it have added to an error.
            ///
            /// ```
            /// use axum::response::{Html, IntoResponse, Response};
            /// # use session_tower::{Refusal, SessionLayer};
            /// # let store = session_store_memory::MemoryStore::new()?;
            /// # let sessions = session_manager::Sessions::new(store)?;
            /// # let cookie = session_state_cookie::CookieState::default();
            ///
            /// let layer = SessionLayer::new(sessions, cookie).refuse_with(|refusal: &Refusal| -> Response {
            ///     let page = Html(format!("<h1>{}</h1>", refusal.detail()));
            ///     let mut response = (refusal.status, page).into_response();
            ///     refusal.write_headers(response.headers_mut());
            ///     response
            /// });
            /// # Ok::<(), Box<dyn std::error::Error>>(())
            /// ```
            #[must_use]
            pub fn refuse_with<R, G>(self, refuse: G) -> $layer<D, E, crate::RefuseWith<G>>
            where
                G: Fn(&crate::Refusal) -> http::Response<R> + Send + Sync + 'static,
            {
                $layer { parts: self.parts, refuse: crate::RefuseWith::new(refuse) }
            }

            /// What happens when the session store fails; [`OnStoreError::Reject`](crate::OnStoreError::Reject) by
            /// default.
            #[must_use]
            pub fn on_store_error(self, policy: crate::OnStoreError) -> Self {
                self.with(|options| options.on_store_error = policy)
            }

            /// What happens to the changes of a handler that answers with a server error;
            /// [`OnHandlerError::Discard`](crate::OnHandlerError::Discard) by default.
            #[must_use]
            pub fn on_handler_error(self, policy: crate::OnHandlerError) -> Self {
                self.with(|options| options.on_handler_error = policy)
            }

            /// What happens to the response if recorded writes were not stored because the session has ended meanwhile;
            /// [`OnNotStored::Continue`](crate::OnNotStored::Continue) by default.
            #[must_use]
            pub fn on_not_stored(self, policy: crate::OnNotStored) -> Self {
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
            pub fn clear_site_data(self, data: crate::ClearSiteData) -> Self {
                self.with(|options| options.clear = data)
            }

            /// How to find the client's address, for `Sessions` that check it; none by default.
            ///
            /// `Sessions` that check addresses need it. Without it, new sessions are bound to no address, and bound
            /// sessions are refused to every client. The layer reports that in one warning event when it wraps its first
            /// service.
            #[must_use]
            pub fn client_address(self, address: crate::ClientAddress) -> Self {
                self.with(|options| options.address = Some(address))
            }

            /// Earlier clones keep their options.
            fn with(self, set: impl FnOnce(&mut crate::options::Options)) -> Self {
                Self { parts: std::sync::Arc::new(self.parts.with(set)), refuse: self.refuse }
            }

            /// Reports that the sessions check an address which the layer cannot find. Not in `new`, because the address
            /// is set after it.
            fn report_missing_address(&self, checks: bool) {
                if checks && self.parts.options.address.is_none() {
                    self.parts.mistakes.report_missing_address();
                }
            }
        }

        impl<D, E, F: Clone> Clone for $layer<D, E, F> {
            fn clone(&self) -> Self {
                Self { parts: std::sync::Arc::clone(&self.parts), refuse: self.refuse.clone() }
            }
        }

        impl<D, E, F> std::fmt::Debug for $layer<D, E, F> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($layer))
                    .field("options", &self.parts.options)
                    .finish_non_exhaustive()
            }
        }
    };
}
pub(crate) use layer_options;
