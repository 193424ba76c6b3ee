//! A request from the handler's response to the head that is sent.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, StatusCode};
use session_manager::{
    Closed, Committed, Error, ErrorKind, IdUpdate, OnHandlerError, OnStoreError, Session, Unrendered,
};

use crate::engine::{Begun, Commit, SessionEngine};
use crate::refusal::Refusal;

/// The response of a framework, as [`OpenRequest`] needs it.
pub trait Reply {
    /// Its status.
    fn status(&self) -> StatusCode;

    /// Whether its body is JSON: [`is_json`](crate::is_json).
    fn is_json(&self) -> bool;

    /// Takes the marker out of a response that an error became.
    fn take_unrendered(&mut self) -> Option<Unrendered>;

    /// Adds the marker [`NotStored`](session_manager::NotStored).
    fn mark_not_stored(&mut self);

    /// Becomes the layer's own response, with the marker [`Refused`](session_manager::Refused). With `keeps_headers`, it
    /// has the headers of the old response too: [`keep_headers`](crate::keep_headers).
    fn refuse(&mut self, refusal: &Refusal, keeps_headers: bool);

    /// Changes the headers.
    ///
    /// # Errors
    /// That of `change`. A framework with header types of its own fails also if it cannot convert them.
    fn change_headers(
        &mut self,
        change: impl FnOnce(&mut HeaderMap) -> session_core::Result<()>,
    ) -> session_core::Result<()>;

    /// Says that this response depends on the request's header `on`: [`vary`](crate::vary).
    fn vary(&mut self, on: HeaderName);
}

/// A request whose response is not complete. Its drop closes the session, so that nothing more is written.
///
/// A web layer calls [`closes_unused`](Self::closes_unused) with the handler's response, then
/// [`finish`](Self::finish), [`judge`](Self::judge) if there was a commit to wait for, and
/// [`complete`](Self::complete).
pub struct OpenRequest {
    session: Session,
    objection: Option<&'static str>,
    engine: Arc<dyn SessionEngine>,
    closed: bool,
}

impl Drop for OpenRequest {
    #[inline]
    fn drop(&mut self) {
        if !self.closed {
            self.session.close();
        }
    }
}

impl OpenRequest {
    /// A request that [`SessionSource::begin`](crate::SessionSource::begin) has begun.
    #[must_use]
    #[inline]
    pub fn new(begun: Begun, engine: Arc<dyn SessionEngine>) -> Self {
        Self { session: begun.session, objection: None, engine, closed: false }
    }

    /// Its session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Its engine.
    #[must_use]
    pub fn engine(&self) -> &Arc<dyn SessionEngine> {
        &self.engine
    }

    /// Sets why the client may drop a new id. [`complete`](Self::complete) reports it if there is one.
    #[inline]
    pub fn objects(&mut self, objection: Option<&'static str>) {
        self.objection = objection;
    }

    /// Closes the session without a commit, if the handler returned no response.
    #[inline]
    pub fn close(&mut self) {
        self.session.close();
        self.closed = true;
    }

    /// Whether nothing has used the session.
    #[inline]
    pub fn is_unused(&mut self) -> bool {
        self.session.is_unused()
    }

    /// Completes the response if nothing has used the session, and returns whether that is so.
    #[inline]
    pub fn closes_unused(&mut self, reply: &mut impl Reply) -> bool {
        let is_unused = self.session.is_unused();
        if is_unused {
            self.closed = true;
            self.render(reply);
        }
        is_unused
    }

    /// Closes the session, after a commit that needs no waiting.
    ///
    /// # Errors
    /// The commit that this response waits for, if there is one.
    #[inline]
    pub fn finish(&mut self, reply: &mut impl Reply) -> Result<Closed, Commit> {
        if reply.status().is_server_error() && self.session.policies().1 == OnHandlerError::Discard {
            return Ok(self.session.close());
        }
        if let Some(closed) = self.engine.try_finish(&mut self.session) {
            return Ok(closed);
        }
        match self.engine.finish_at_once(&self.session) {
            Some(committed) => Ok(self.judge(committed, reply)),
            None => Err(Arc::clone(&self.engine).finish(self.session.clone())),
        }
    }

    /// Replaces the handler's response by a refusal if it may claim a change that is not stored. Closes the session.
    pub fn judge(&mut self, committed: Result<Committed, Error>, reply: &mut impl Reply) -> Closed {
        self.replace(committed, reply);
        self.session.close()
    }

    fn replace(&self, committed: Result<Committed, Error>, reply: &mut impl Reply) {
        let error = match committed {
            Ok(committed) if committed.refuses_response() => {
                tracing::warn!(outcome = ?committed.outcome, "session ended before a privilege change was stored; the response is refused");
                return self.refuse(&Error::ended(), reply);
            }
            Ok(committed) if committed.not_stored => {
                tracing::info!(outcome = ?committed.outcome, "session ended before its changes were stored");
                let conflict = Unrendered::new(StatusCode::CONFLICT, ErrorKind::Ended);
                return self.not_stored(&conflict, reply);
            }
            Ok(_) => return,
            Err(error) => error,
        };
        let cause = error.store_error().map(tracing::field::display);
        if error.refuses_response() || self.session.policies().0 == OnStoreError::Reject {
            tracing::warn!(%error, cause, "session could not be committed; the response is refused");
            return self.refuse(&error, reply);
        }
        // The load of a detached session has reported the failure.
        if !self.session.is_detached() {
            tracing::warn!(%error, cause, "session could not be committed; the response is sent without it");
        }
        self.not_stored(&Unrendered::of(&error), reply);
    }

    /// Marks the handler's response, or replaces it by a refusal: as the policy says.
    #[cold]
    fn not_stored(&self, error: &Unrendered, reply: &mut impl Reply) {
        if self.session.rejects_not_stored() {
            reply.refuse(&self.refusal(error, reply), false);
        }
        reply.mark_not_stored();
    }

    /// The refusal that replaces this response, whose format says what the client accepts if nothing else does.
    fn refusal(&self, error: &Unrendered, reply: &impl Reply) -> Refusal {
        let wants_json = self.session.prefers_json().unwrap_or_else(|| reply.is_json());
        let Unrendered { status, kind, retry_after, .. } = *error;
        Refusal { retry_after, ..Refusal::new(status, kind, wants_json) }
    }

    #[cold]
    fn refuse(&self, error: &Error, reply: &mut impl Reply) {
        reply.refuse(&self.refusal(&Unrendered::of(error), reply), false);
    }

    /// The response that an error of a handler or an extractor became, as this client accepts it.
    #[inline]
    fn render(&self, reply: &mut impl Reply) {
        if reply.status().as_u16() >= 400 {
            self.render_error(reply);
        }
    }

    #[cold]
    fn render_error(&self, reply: &mut impl Reply) {
        if let Some(error) = reply.take_unrendered() {
            reply.refuse(&self.refusal(&error, reply), true);
        }
    }

    /// Tells the client about its session. Immediate actions of a handler, such as a logout, are final even if the
    /// handler or the commit failed. A session that the client keeps ends by this response only, so a service that fails,
    /// or an outer timeout, leaves it as it was.
    #[inline]
    pub fn complete(&mut self, closed: Closed, reply: &mut impl Reply) {
        self.closed = true;
        self.render(reply);
        if closed.id_update != IdUpdate::None || closed.others_ended {
            self.write(&closed, reply);
        }
        if closed.cleared {
            // After the deletion, in case the space for headers is short.
            let sets_cookie = closed.id_update != IdUpdate::Clear;
            let _ = reply.change_headers(|headers| {
                self.engine.clear_site_data(sets_cookie, headers);
                Ok(())
            });
        }
        if closed.loaded {
            reply.vary(self.engine.varies_on());
        }
    }

    fn write(&self, closed: &Closed, reply: &mut impl Reply) {
        if let (Some(objection), IdUpdate::Set { .. }) = (self.objection, closed.id_update) {
            self.engine.mistakes().report_dropped_cookie(objection);
        }
        let written = reply.change_headers(|headers| {
            self.engine.write(closed.id_update, headers)?;
            // After the new cookie, which takes the place of these.
            if closed.others_ended { self.engine.erase_others(headers) } else { Ok(()) }
        });
        let Err(error) = written else { return };
        tracing::error!(%error, "session id could not be written into the response; the response is refused");
        let error = Unrendered::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorKind::Store);
        reply.refuse(&self.refusal(&error, reply), false);
        let _ = reply.change_headers(|headers| {
            if closed.id_update == IdUpdate::Clear || closed.others_ended {
                // The session has ended, whether or not the handler's headers had space for that.
                let _ = self.engine.write(IdUpdate::Clear, headers);
            }
            if closed.others_ended {
                let _ = self.engine.erase_others(headers);
            }
            Ok(())
        });
    }
}

impl std::fmt::Debug for OpenRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenRequest").field("session", &self.session).finish_non_exhaustive()
    }
}
