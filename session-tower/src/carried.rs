//! The layer for sessions that the client keeps.

use std::fmt;
use std::sync::Arc;

use http::HeaderMap;
use session_core::{Carrier, Driver, Outgoing};
use session_manager::{
    CarriedSessions, Closed, IdUpdate, OnHandlerError, OnNotStored, OnStoreError, OneRequest, Session,
    Sessions,
};
use tower_layer::Layer;

use crate::clear::ClearSiteData;
use crate::client::ClientAddress;
use crate::engine::{Begun, Commit, Engine, Head, Options, Source};
use crate::headers;
use crate::mistakes::Mistakes;
use crate::service::SessionService;

/// Gives every request of a service the session that its client carries: cookie-only sessions.
///
/// The options, extractors and guarantees of a response are those of [`SessionLayer`](crate::SessionLayer): changes are
/// committed, sealed and checked for their size before the head of the response goes out. A session that is too large
/// for its cookies fails in the call that makes it so, or in the commit, and then the response is refused.
///
/// The promises between requests are weaker, because no store compares them: see [`CarriedSessions`].
pub struct CarriedSessionLayer<D, C> {
    parts: Arc<Parts<D, C>>,
}

/// The parts of a layer.
struct Parts<D, C> {
    sessions: CarriedSessions<D>,
    carrier: Arc<C>,
    options: Options,
    mistakes: Arc<Mistakes>,
}

impl<D: Driver, C: Carrier> CarriedSessionLayer<D, C> {
    /// A layer whose sessions have the options of `sessions` and are exchanged with clients by `carrier`.
    #[must_use]
    pub fn new(sessions: CarriedSessions<D>, carrier: C) -> Self {
        let mistakes = Arc::new(Mistakes::new());
        let carrier = Arc::new(carrier);
        Self { parts: Arc::new(Parts { sessions, carrier, options: Options::new(), mistakes }) }
    }

    /// As [`SessionLayer::on_store_error`](crate::SessionLayer::on_store_error). It also applies to a session that its
    /// cookies cannot hold, and to the driver of epochs.
    #[must_use]
    pub fn on_store_error(self, policy: OnStoreError) -> Self {
        self.with(|options| options.on_store_error = policy)
    }

    /// As [`SessionLayer::on_handler_error`](crate::SessionLayer::on_handler_error).
    #[must_use]
    pub fn on_handler_error(self, policy: OnHandlerError) -> Self {
        self.with(|options| options.on_handler_error = policy)
    }

    /// As [`SessionLayer::on_not_stored`](crate::SessionLayer::on_not_stored).
    #[must_use]
    pub fn on_not_stored(self, policy: OnNotStored) -> Self {
        self.with(|options| options.on_not_stored = policy)
    }

    /// As [`SessionLayer::cache_control_no_store`](crate::SessionLayer::cache_control_no_store).
    #[must_use]
    pub fn cache_control_no_store(self, yes: bool) -> Self {
        self.with(|options| options.no_store = yes)
    }

    /// As [`SessionLayer::clear_site_data`](crate::SessionLayer::clear_site_data).
    #[must_use]
    pub fn clear_site_data(self, data: ClearSiteData) -> Self {
        self.with(|options| options.clear = data)
    }

    /// As [`SessionLayer::client_address`](crate::SessionLayer::client_address).
    #[must_use]
    pub fn client_address(self, address: ClientAddress) -> Self {
        self.with(|options| options.address = Some(address))
    }

    /// Earlier clones keep their options.
    fn with(self, set: impl FnOnce(&mut Options)) -> Self {
        let Parts { sessions, carrier, options, mistakes } = &*self.parts;
        let (sessions, mut options) = (sessions.clone(), options.clone());
        set(&mut options);
        let (carrier, mistakes) = (Arc::clone(carrier), Arc::clone(mistakes));
        Self { parts: Arc::new(Parts { sessions, carrier, options, mistakes }) }
    }
}

impl<D, C> Clone for CarriedSessionLayer<D, C> {
    fn clone(&self) -> Self {
        Self { parts: Arc::clone(&self.parts) }
    }
}

impl<D, C> fmt::Debug for CarriedSessionLayer<D, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CarriedSessionLayer").field("options", &self.parts.options).finish_non_exhaustive()
    }
}

impl<D: Driver, C: Carrier, Svc> Layer<Svc> for CarriedSessionLayer<D, C> {
    type Service = SessionService<Svc>;

    fn layer(&self, inner: Svc) -> Self::Service {
        let Parts { sessions, options, mistakes, .. } = &*self.parts;
        if sessions.base().checks_address() && options.address.is_none() {
            mistakes.report_missing_address();
        }
        SessionService::new(inner, Arc::clone(&self.parts) as _)
    }
}

impl<D: Driver, C: Carrier> Source for Parts<D, C> {
    fn begin(self: Arc<Self>, head: Head<'_>) -> (Begun, Arc<dyn Engine>) {
        let carried = self.carrier.open(head.headers);
        let (candidates, kept) = (carried.candidates, carried.parts);
        let sessions = self.sessions.of_request(carried, self.carrier.max_data_bytes());
        let request = self.options.request(candidates, &sessions, &head);
        let objection = || self.carrier.objection(head.uri, head.headers);
        let begun = Begun::new(&sessions, request, &head, &self.mistakes, objection);
        (begun, Arc::new(OneEngine { layer: self, sessions, kept }))
    }

    fn mistakes(&self) -> &Mistakes {
        &self.mistakes
    }
}

/// The engine of one request.
struct OneEngine<D, C> {
    layer: Arc<Parts<D, C>>,
    sessions: Sessions<OneRequest<D>>,
    /// The parts that the client keeps besides the first cookie.
    kept: session_core::Parts,
}

impl<D: Driver, C: Carrier> Engine for OneEngine<D, C> {
    fn try_finish(&self, session: &Session) -> Option<Closed> {
        self.sessions.try_finish(session)
    }

    fn finish(self: Arc<Self>, session: Session) -> Commit {
        Box::pin(async move { self.sessions.finish(&session).await })
    }

    fn write(&self, update: IdUpdate, headers: &mut HeaderMap) -> session_core::Result<()> {
        let (sessions, Parts { carrier, options, .. }) = (&self.sessions, &*self.layer);
        match update {
            IdUpdate::Set { id, persistence, .. } | IdUpdate::Extend { id, persistence, .. } => {
                // It may have ended since.
                let Some(record) = sessions.driver().record(&id) else { return Ok(()) };
                let session = Outgoing::new(&id, &record, sessions.now()).persistence(persistence);
                carrier.write(session, self.kept, headers)?;
            }
            IdUpdate::Clear => {
                options.clear.write(headers);
                carrier.erase(self.kept, headers)?;
            }
            _ => return Ok(()),
        }
        if options.no_store {
            headers::no_store(headers);
        }
        Ok(())
    }

    fn vary(&self, headers: &mut HeaderMap) {
        headers::vary(headers, self.layer.carrier.varies_on());
    }

    fn mistakes(&self) -> &Mistakes {
        &self.layer.mistakes
    }
}
