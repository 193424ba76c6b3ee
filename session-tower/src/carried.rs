//! The layer for sessions that the client keeps.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use session_core::{Candidates, Carrier, Driver, Outgoing};
use session_manager::{CarriedSessions, Closed, IdUpdate, OneRequest, Session, Sessions};
use tower_layer::Layer;

use crate::engine::{Begun, Commit, Engine, Head, Source, request_info};
use crate::headers;
use crate::mistakes::Mistakes;
use crate::options::{Parts, layer_options};
use crate::refusal::DefaultRefusal;
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
    parts: Arc<Parts<CarriedSessions<D>, C>>,
    refuse: F,
}

impl<D: Driver, C: Carrier> CarriedSessionLayer<D, C> {
    /// A layer whose sessions have the options of `sessions` and are exchanged with clients by `carrier`.
    #[must_use]
    pub fn new(sessions: CarriedSessions<D>, carrier: C) -> Self {
        let sessions = sessions.max_data_bytes(carrier.max_data_bytes());
        Self { parts: Arc::new(Parts::new(sessions, carrier)), refuse: DefaultRefusal }
    }
}

layer_options!(CarriedSessionLayer);

impl<D: Driver, C: Carrier, F: Clone, Svc> Layer<Svc> for CarriedSessionLayer<D, C, F> {
    type Service = SessionService<Svc, F>;

    fn layer(&self, inner: Svc) -> Self::Service {
        self.report_missing_address(self.parts.sessions.base().checks_address());
        SessionService::new(inner, Arc::clone(&self.parts) as _, self.refuse.clone())
    }
}

impl<D: Driver, C: Carrier> Source for Parts<CarriedSessions<D>, C> {
    fn begin(self: Arc<Self>, head: Head<'_>) -> (Begun, Arc<dyn Engine>) {
        let carrier = &self.exchange;
        let (opener, kept) = (Arc::clone(carrier), values_of(&carrier.varies_on(), head.headers));
        let sessions = self.sessions.of_request(move || opener.open(&kept));
        let request = request_info(&self.options, Candidates::none(), &sessions, &head);
        // A client that sends a session keeps its cookies.
        let objection = || {
            let is_new = !carrier.is_sent(head.headers);
            if is_new { carrier.objection(head.uri, head.headers) } else { None }
        };
        let begun = Begun::new(&sessions, request, &head, &self.mistakes, objection);
        (begun, Arc::new(OneEngine { layer: self, sessions }))
    }

    fn mistakes(&self) -> &Mistakes {
        &self.mistakes
    }
}

/// The values of one header, which share their bytes with the request: many requests ask for no session.
fn values_of(name: &HeaderName, headers: &HeaderMap) -> HeaderMap {
    headers.get_all(name).iter().map(|value| (name.clone(), value.clone())).collect()
}

/// The engine of one request.
struct OneEngine<D, C> {
    layer: Arc<Parts<CarriedSessions<D>, C>>,
    sessions: Sessions<OneRequest<D>>,
}

impl<D: Driver, C: Carrier> Engine for OneEngine<D, C> {
    fn try_finish(&self, session: &Session) -> Option<Closed> {
        self.sessions.try_finish(session)
    }

    fn finish(self: Arc<Self>, session: Session) -> Commit {
        Box::pin(async move { self.sessions.finish(&session).await })
    }

    fn write(&self, update: IdUpdate, headers: &mut HeaderMap) -> session_core::Result<()> {
        let (sessions, Parts { exchange: carrier, options, .. }) = (&self.sessions, &*self.layer);
        match update {
            IdUpdate::Set { id, persistence, .. } | IdUpdate::Extend { id, persistence, .. } => {
                // It may have ended since.
                let Some(record) = sessions.driver().record(&id) else { return Ok(()) };
                let session = Outgoing::new(&id, &record, sessions.now()).persistence(persistence);
                carrier.write(session, sessions.driver().parts(), headers)?;
            }
            IdUpdate::Clear => carrier.erase(sessions.driver().parts(), headers)?,
            _ => return Ok(()),
        }
        if options.no_store {
            headers::no_store(headers);
        }
        Ok(())
    }

    fn erase_others(&self, headers: &mut HeaderMap) -> session_core::Result<()> {
        self.layer.exchange.erase_others(self.sessions.driver().parts(), headers)?;
        if self.layer.options.no_store {
            headers::no_store(headers);
        }
        Ok(())
    }

    fn clear_site_data(&self, sets_cookie: bool, headers: &mut HeaderMap) {
        self.layer.options.clear.write(sets_cookie, headers);
    }

    fn vary(&self, headers: &mut HeaderMap) {
        headers::vary(headers, self.layer.exchange.varies_on());
    }

    fn mistakes(&self) -> &Mistakes {
        &self.layer.mistakes
    }
}
