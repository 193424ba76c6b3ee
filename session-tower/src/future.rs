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
use crate::handle::SessionHandle;

pin_project! {
    /// The future of a [`SessionService`](crate::SessionService): the handler's, and then the commit.
    ///
    /// Dropped before the commit began, it commits nothing. Dropped in the middle, it leaves the session as it was or
    /// as it would have been.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, R> {
        handle: SessionHandle,
        #[pin]
        stage: Stage<F, R>,
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
    pub(crate) fn new(inner: F, handle: SessionHandle) -> Self {
        Self { handle, stage: Stage::Handler { inner } }
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
        loop {
            match this.stage.as_mut().project() {
                StageProjection::Handler { inner } => {
                    // A service that fails has no response, and commits as little as one that answers 5xx.
                    let response = ready!(inner.poll(cx))?;
                    match commit_of(this.handle, &response) {
                        Some(commit) => this.stage.set(Stage::Commit { commit, response: Some(response) }),
                        None => return Poll::Ready(Ok(close(this.handle, response))),
                    }
                }
                StageProjection::Commit { commit, response } => {
                    let committed = ready!(commit.as_mut().poll(cx));
                    let response = response.take().expect("a future is not polled after it was ready");
                    return Poll::Ready(Ok(close(this.handle, judge(this.handle, committed, response))));
                }
            }
        }
    }
}

/// The commit that this response has to wait for.
fn commit_of<R>(handle: &SessionHandle, response: &Response<R>) -> Option<Commit> {
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
    handle: &SessionHandle,
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

/// Adds to the response what the client has to know of the session, whatever came of the handler and of the commit:
/// what a handler did at once, such as a logout, stands.
fn close<R: Default>(handle: &SessionHandle, mut response: Response<R>) -> Response<R> {
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
        f.debug_struct("ResponseFuture").field("handle", &self.handle).finish_non_exhaustive()
    }
}
