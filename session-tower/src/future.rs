//! The response, and the commit before its head goes out.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Response, StatusCode};
use pin_project_lite::pin_project;
use session_manager::Committed;

use crate::engine::Commit;
use crate::error::{Refused, cause_of, status_of};
use crate::handle::LazySession;

pin_project! {
    /// The future of a [`SessionService`](crate::SessionService): the handler's, and then the commit.
    ///
    /// Dropped before the commit began, it commits nothing. Dropped in the middle, it leaves the session as it was or
    /// as it would have been. Writes through a handle that outlives it are errors in either case.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, R> {
        // Before the handle, so that it is dropped first: a commit that is cut short holds the session until then.
        #[pin]
        stage: Stage<F, R>,
        handle: Open,
    }
}

/// A request's handle until its response is decided, or will never be: it closes what it leaves.
struct Open(LazySession);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.close();
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<F, R> {
        Handler { #[pin] inner: F },
        // The commit alone is boxed: it is a future that has no name, and only requests that asked for their session
        // come here.
        Commit { commit: Commit, response: Option<Response<R>> },
    }
}

impl<F, R> ResponseFuture<F, R> {
    pub(crate) fn new(inner: F, handle: LazySession) -> Self {
        Self { stage: Stage::Handler { inner }, handle: Open(handle) }
    }
}

impl<F, R, E> Future for ResponseFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Default,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let handle = &this.handle.0;
        loop {
            match this.stage.as_mut().project() {
                StageProjection::Handler { inner } => {
                    // A service that fails has no response, and commits as little as one that answers 5xx.
                    let response = match ready!(inner.poll(cx)) {
                        Ok(response) => response,
                        Err(error) => {
                            handle.close();
                            return Poll::Ready(Err(error));
                        }
                    };
                    match commit_of(handle, &response) {
                        Some(commit) => this.stage.set(Stage::Commit { commit, response: Some(response) }),
                        None => return Poll::Ready(Ok(close(handle, response))),
                    }
                }
                StageProjection::Commit { commit, response } => {
                    let committed = ready!(commit.as_mut().poll(cx));
                    let response = response.take().expect("a future is not polled after it was ready");
                    return Poll::Ready(Ok(close(handle, judge(handle, committed, response))));
                }
            }
        }
    }
}

/// The commit that this response has to wait for.
fn commit_of<R>(handle: &LazySession, response: &Response<R>) -> Option<Commit> {
    let session = handle.used().filter(|session| session.is_loaded())?;
    if response.status().is_server_error() && !handle.policy().commits_failed() {
        return None;
    }
    match handle.spare() {
        None => Arc::clone(handle.engine()).finish(session),
        Some(_) => handle.engine().finish_spare(session.clone()),
    }
}

/// The handler's response, or the one that takes its place because it would tell the client what is not so.
fn judge<R: Default>(
    handle: &LazySession,
    committed: Result<Committed, session_manager::Error>,
    response: Response<R>,
) -> Response<R> {
    match committed {
        Ok(committed) if !committed.refuses_response() => response,
        Ok(committed) => {
            tracing::warn!(outcome = ?committed.outcome, "a session ended before a change of privilege was stored; the response is refused");
            refusal(StatusCode::SERVICE_UNAVAILABLE)
        }
        Err(error) if error.refuses_response() || !handle.policy().goes_on() => {
            let cause = cause_of(&error);
            tracing::warn!(%error, cause, "a session could not be committed; the response is refused");
            refusal(status_of(&error))
        }
        // That this request goes on without its session has had its event.
        Err(_) if handle.spare().is_some() => response,
        Err(error) => {
            let cause = cause_of(&error);
            tracing::warn!(%error, cause, "a session could not be committed; the response goes out without");
            response
        }
    }
}

/// Ends the request's part in the session, and adds to the response what the client has to know of it, whatever came
/// of the handler and of the commit: what a handler did at once, such as a logout, stands.
fn close<R: Default>(handle: &LazySession, mut response: Response<R>) -> Response<R> {
    handle.close();
    let Some(own) = handle.own() else { return response };
    if let Err(error) = handle.engine().tell(own, response.headers_mut()) {
        tracing::error!(%error, "a session id could not be put into the response; the response is refused");
        response = refusal(StatusCode::INTERNAL_SERVER_ERROR);
    }
    if handle.used().is_some_and(session_manager::Session::is_loaded) {
        handle.engine().vary(response.headers_mut());
    }
    response
}

fn refusal<R: Default>(status: StatusCode) -> Response<R> {
    let mut response = Response::new(R::default());
    *response.status_mut() = status;
    response.extensions_mut().insert(Refused);
    response
}

impl<F, R> std::fmt::Debug for ResponseFuture<F, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").field("handle", &self.handle.0).finish_non_exhaustive()
    }
}
