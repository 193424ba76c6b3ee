//! The response, and the commit before its head is sent.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Response, StatusCode};
use pin_project_lite::pin_project;
use session_manager::{
    Closed, Committed, Error, ErrorKind, IdUpdate, NotStored, OnHandlerError, OnStoreError, Refused, Session,
    Unrendered,
};

use crate::engine::{Begun, Commit, Engine};
use crate::refusal::{DefaultRefusal, Refusal, Refuse, is_json, keep_headers};

pin_project! {
    /// The future of a [`SessionService`](crate::SessionService): the handler, and then the commit.
    ///
    /// If it is dropped before the commit begins, nothing is committed. If it is dropped during the commit, the session
    /// has its old state or its new one. In both cases, later writes through a clone of the session fail.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, R, E = DefaultRefusal> {
        // Before the session, so that it is dropped first: a commit that is cut short holds the session until then.
        #[pin]
        stage: Stage<F, R>,
        request: OpenRequest,
        refuse: E,
    }
}

/// A request whose response is not complete. Its drop closes the session.
struct OpenRequest {
    session: Session,
    is_head: bool,
    objection: Option<&'static str>,
    engine: Arc<dyn Engine>,
    closed: bool,
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        if !self.closed {
            self.session.close();
        }
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<F, R> {
        Handler { #[pin] inner: F },
        // Only the commit is boxed: its future has no name, and most requests have nothing to commit.
        Commit { commit: Commit, response: Option<Response<R>> },
    }
}

impl<F, R, E> ResponseFuture<F, R, E> {
    pub(crate) fn new(inner: F, begun: Begun, engine: Arc<dyn Engine>, refuse: E) -> Self {
        let Begun { session, is_head, objection } = begun;
        let request = OpenRequest { session, is_head, objection, engine, closed: false };
        Self { stage: Stage::Handler { inner }, request, refuse }
    }
}

impl<F, R, E, G> Future for ResponseFuture<F, R, G>
where
    F: Future<Output = Result<Response<R>, E>>,
    G: Refuse<R>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let (request, refuse) = (this.request, &*this.refuse);
        loop {
            match this.stage.as_mut().project() {
                StageProjection::Handler { inner } => {
                    // A service that fails has no response, and commits nothing, as for a server error.
                    let mut answer = ready!(inner.poll(cx));
                    let Ok(response) = &mut answer else {
                        request.close();
                        return Poll::Ready(answer);
                    };
                    if request.session.is_unused() {
                        request.closed = true;
                        request.render(response, refuse);
                        return Poll::Ready(answer);
                    }
                    match request.finish(response) {
                        Ok(closed) => {
                            request.complete(closed, response, refuse);
                            return Poll::Ready(answer);
                        }
                        Err(commit) => {
                            let response = Some(answer?);
                            this.stage.set(Stage::Commit { commit, response });
                        }
                    }
                }
                StageProjection::Commit { commit, response } => {
                    let committed = ready!(commit.as_mut().poll(cx));
                    let response = response.take().expect("a future is not polled after it was ready");
                    let mut response = request.judge(committed, response, refuse);
                    request.complete(request.session.close(), &mut response, refuse);
                    return Poll::Ready(Ok(response));
                }
            }
        }
    }
}

impl OpenRequest {
    fn close(&mut self) {
        self.session.close();
        self.closed = true;
    }

    /// Closes the session, or returns the commit that this response waits for.
    fn finish<R>(&self, response: &Response<R>) -> Result<Closed, Commit> {
        if response.status().is_server_error() && self.session.policies().1 == OnHandlerError::Discard {
            return Ok(self.session.close());
        }
        if self.is_head {
            // axum runs the handler of GET for HEAD. The call fails if the session is not loaded: nothing to keep.
            let _ = self.session.flash().keep_all();
        }
        let commit = || Arc::clone(&self.engine).finish(self.session.clone());
        self.engine.try_finish(&self.session).ok_or_else(commit)
    }

    /// The handler's response, or a refusal if the handler's response may claim a change that is not stored.
    fn judge<R>(
        &self,
        committed: Result<Committed, Error>,
        response: Response<R>,
        refuse: &impl Refuse<R>,
    ) -> Response<R> {
        let error = match committed {
            Ok(committed) if committed.refuses_response() => {
                tracing::warn!(outcome = ?committed.outcome, "session ended before a privilege change was stored; the response is refused");
                return self.refuse(&Error::ended(), &response, refuse);
            }
            Ok(committed) if committed.not_stored => {
                tracing::info!(outcome = ?committed.outcome, "session ended before its changes were stored");
                let conflict = Unrendered::new(StatusCode::CONFLICT, ErrorKind::Ended);
                return self.not_stored(&conflict, response, refuse);
            }
            Ok(_) => return response,
            Err(error) => error,
        };
        let cause = error.store_error().map(tracing::field::display);
        if error.refuses_response() || self.session.policies().0 == OnStoreError::Reject {
            tracing::warn!(%error, cause, "session could not be committed; the response is refused");
            return self.refuse(&error, &response, refuse);
        }
        // The load of a detached session has reported the failure.
        if !self.session.is_detached() {
            tracing::warn!(%error, cause, "session could not be committed; the response is sent without it");
        }
        self.not_stored(&Unrendered::of(&error), response, refuse)
    }

    /// The handler's response, marked, or a refusal: as the policy says.
    #[cold]
    fn not_stored<R>(
        &self,
        error: &Unrendered,
        mut response: Response<R>,
        refuse: &impl Refuse<R>,
    ) -> Response<R> {
        if self.session.rejects_not_stored() {
            response = refused(&self.refusal(error, &response), refuse);
        }
        response.extensions_mut().insert(NotStored);
        response
    }

    /// The refusal that replaces `response`, whose format says what the client accepts if nothing else does.
    fn refusal<R>(&self, error: &Unrendered, response: &Response<R>) -> Refusal {
        let wants_json = self.session.prefers_json().unwrap_or_else(|| is_json(response.headers()));
        let Unrendered { status, kind, retry_after, .. } = *error;
        Refusal { retry_after, ..Refusal::new(status, kind, wants_json) }
    }

    #[cold]
    fn refuse<R>(&self, error: &Error, response: &Response<R>, refuse: &impl Refuse<R>) -> Response<R> {
        refused(&self.refusal(&Unrendered::of(error), response), refuse)
    }

    /// The response that an error of a handler or an extractor became, as this client accepts it.
    #[inline]
    fn render<R>(&self, response: &mut Response<R>, refuse: &impl Refuse<R>) {
        if response.status().as_u16() >= 400 {
            self.render_error(response, refuse);
        }
    }

    #[cold]
    fn render_error<R>(&self, response: &mut Response<R>, refuse: &impl Refuse<R>) {
        let Some(error) = response.extensions_mut().remove::<Unrendered>() else { return };
        let refusal = self.refusal(&error, response);
        let headers = std::mem::take(response.headers_mut());
        *response = refused(&refusal, refuse);
        keep_headers(response.headers_mut(), headers);
    }

    /// Tells the client about its session. Immediate actions of a handler, such as a logout, are final even if the
    /// handler or the commit failed. A session that the client keeps ends by this response only, so a service that fails,
    /// or an outer timeout, leaves it as it was.
    fn complete<R>(&mut self, closed: Closed, response: &mut Response<R>, refuse: &impl Refuse<R>) {
        self.closed = true;
        self.render(response, refuse);
        if let (Some(objection), IdUpdate::Set { .. }) = (self.objection, closed.id_update) {
            self.engine.mistakes().report_dropped_cookie(objection);
        }
        let mut written = self.engine.write(closed.id_update, response.headers_mut());
        if closed.others_ended {
            // After the new cookie, which takes the place of these.
            written = written.and_then(|()| self.engine.erase_others(response.headers_mut()));
        }
        if let Err(error) = written {
            tracing::error!(%error, "session id could not be written into the response; the response is refused");
            let error = Unrendered::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorKind::Store);
            *response = refused(&self.refusal(&error, response), refuse);
            if closed.id_update == IdUpdate::Clear || closed.others_ended {
                // The session has ended, whether or not the handler's headers had space for that.
                let _ = self.engine.write(IdUpdate::Clear, response.headers_mut());
            }
            if closed.others_ended {
                let _ = self.engine.erase_others(response.headers_mut());
            }
        }
        if closed.cleared {
            // After the deletion, in case the space for headers is short.
            let sets_cookie = closed.id_update != IdUpdate::Clear;
            self.engine.clear_site_data(sets_cookie, response.headers_mut());
        }
        if closed.loaded {
            self.engine.vary(response.headers_mut());
        }
    }
}

fn refused<R>(refusal: &Refusal, refuse: &impl Refuse<R>) -> Response<R> {
    let mut response = refuse.refuse(refusal);
    response.extensions_mut().insert(Refused::new(refusal.kind));
    response
}

impl<F, R, E> std::fmt::Debug for ResponseFuture<F, R, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").field("session", &self.request.session).finish_non_exhaustive()
    }
}
