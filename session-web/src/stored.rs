//! Requests whose sessions are in a store.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, Uri};
use session_core::{Driver, State};
use session_manager::{Closed, Committed, Error, IdUpdate, Session, Sessions};

use crate::engine::{
    Begun, Commit, HeadersRead, RequestHead, SessionEngine, SessionSource, headers_read, request_info,
};
use crate::headers;
use crate::mistakes::Mistakes;
use crate::parts::LayerParts;

impl<D: Driver, S: State> SessionSource for LayerParts<Sessions<D>, S> {
    fn begin(self: Arc<Self>, head: RequestHead<'_>) -> (Begun, Arc<dyn SessionEngine>) {
        let request = request_info(&self.options, self.exchange.read(head.headers), &self.sessions, &head);
        // A client that sends an id keeps its cookies.
        let is_new = request.candidates.is_empty();
        (Begun::new(&self.sessions, request, &self.mistakes, || is_new), self)
    }

    fn headers_read(&self) -> HeadersRead {
        headers_read(&self.options, &self.sessions, self.exchange.varies_on())
    }

    fn mistakes(&self) -> &Mistakes {
        &self.mistakes
    }
}

impl<D: Driver, S: State> SessionEngine for LayerParts<Sessions<D>, S> {
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
        self.exchange.objection(uri, request)
    }

    fn write(&self, update: IdUpdate, headers: &mut HeaderMap) -> session_core::Result<()> {
        let now = || self.sessions.now();
        let written = match update {
            IdUpdate::Set { id, deadline, persistence } => {
                self.exchange.write(&id, deadline, persistence, now(), headers)?;
                Ok(())
            }
            IdUpdate::Extend { id, deadline, persistence } if self.exchange.follows_deadline(persistence) => {
                self.exchange.write(&id, deadline, persistence, now(), headers)
            }
            IdUpdate::Clear => self.exchange.erase(headers),
            _ => return Ok(()),
        };
        match written {
            Ok(()) if self.options.no_store => headers::no_store(headers),
            Ok(()) => {}
            // Harmless: a cookie that is not extended ends before its session, and the id of an ended session opens
            // nothing.
            Err(error) => tracing::warn!(%error, "session cookie could not be updated"),
        }
        Ok(())
    }

    #[cold]
    fn erase_others(&self, headers: &mut HeaderMap) -> session_core::Result<()> {
        match self.exchange.erase_others(headers) {
            Ok(()) if self.options.no_store => headers::no_store(headers),
            Ok(()) => {}
            // Harmless: the ids open nothing.
            Err(error) => tracing::warn!(%error, "further session cookies could not be deleted"),
        }
        Ok(())
    }

    #[cold]
    fn clear_site_data(&self, sets_cookie: bool, headers: &mut HeaderMap) {
        self.options.clear.write(sets_cookie, headers);
    }

    fn varies_on(&self) -> HeaderName {
        self.exchange.varies_on()
    }

    fn mistakes(&self) -> &Mistakes {
        &self.mistakes
    }
}
