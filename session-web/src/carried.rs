//! Requests whose sessions the client keeps.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, Uri};
use session_core::{Candidates, Carrier, Driver, Outgoing};
use session_manager::{CarriedSessions, Closed, Committed, Error, IdUpdate, OneRequest, Session, Sessions};

use crate::engine::{
    Begun, Commit, HeadersRead, RequestHead, SessionEngine, SessionSource, headers_read, request_info,
};
use crate::headers;
use crate::mistakes::Mistakes;
use crate::parts::LayerParts;

impl<D: Driver, C: Carrier> SessionSource for LayerParts<CarriedSessions<D>, C> {
    fn begin(self: Arc<Self>, head: RequestHead<'_>) -> (Begun, Arc<dyn SessionEngine>) {
        let carrier = &self.exchange;
        let (opener, kept) = (Arc::clone(carrier), values_of(&carrier.varies_on(), head.headers));
        let sessions = self.sessions.of_request(move || opener.open(&kept));
        let request = request_info(&self.options, Candidates::none(), &sessions, &head);
        // A client that sends a session keeps its cookies.
        let is_new = || !carrier.is_sent(head.headers);
        let begun = Begun::new(&sessions, request, &self.mistakes, is_new);
        (begun, Arc::new(OneEngine { layer: self, sessions }))
    }

    fn headers_read(&self) -> HeadersRead {
        headers_read(&self.options, self.sessions.base(), self.exchange.varies_on())
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
    layer: Arc<LayerParts<CarriedSessions<D>, C>>,
    sessions: Sessions<OneRequest<D>>,
}

impl<D: Driver, C: Carrier> SessionEngine for OneEngine<D, C> {
    fn try_finish(&self, session: &mut Session) -> Option<Closed> {
        self.sessions.try_finish(session)
    }

    fn finish_at_once(&self, session: &Session) -> Option<Result<Committed, Error>> {
        self.sessions.finish_at_once(session)
    }

    fn finish(self: Arc<Self>, session: Session) -> Commit {
        Box::pin(async move { self.sessions.finish(&session).await })
    }

    fn objection(&self, uri: &Uri, request: &HeaderMap) -> Option<&'static str> {
        self.layer.exchange.objection(uri, request)
    }

    fn write(&self, update: IdUpdate, headers: &mut HeaderMap) -> session_core::Result<()> {
        let (sessions, LayerParts { exchange: carrier, options, .. }) = (&self.sessions, &*self.layer);
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

    fn varies_on(&self) -> HeaderName {
        self.layer.exchange.varies_on()
    }

    fn mistakes(&self) -> &Mistakes {
        &self.layer.mistakes
    }
}
