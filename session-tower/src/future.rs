//! The response, and the commit before its head is sent.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, HeaderName, Response, StatusCode};
use pin_project_lite::pin_project;
use session_manager::{NotStored, Refused, Unrendered};
use session_web::{Commit, OpenRequest, Refusal, Reply, is_json, keep_headers, vary};

use crate::refuse::{DefaultRefusal, Refuse};

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

pin_project! {
    #[project = StageProjection]
    enum Stage<F, R> {
        Handler { #[pin] inner: F },
        // Only the commit is boxed: its future has no name, and most requests have nothing to commit.
        Commit { commit: Commit, response: Option<Response<R>> },
    }
}

impl<F, R, E> ResponseFuture<F, R, E> {
    #[inline]
    pub(crate) fn new(inner: F, request: OpenRequest, refuse: E) -> Self {
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
                    let mut reply = TowerReply { response, refuse };
                    if request.closes_unused(&mut reply) {
                        return Poll::Ready(answer);
                    }
                    match request.finish(&mut reply) {
                        Ok(closed) => {
                            request.complete(closed, &mut reply);
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
                    let mut response = response.take().expect("a future is not polled after it was ready");
                    let mut reply = TowerReply { response: &mut response, refuse };
                    let closed = request.judge(committed, &mut reply);
                    request.complete(closed, &mut reply);
                    return Poll::Ready(Ok(response));
                }
            }
        }
    }
}

/// A response, and what replaces it.
struct TowerReply<'a, R, E> {
    response: &'a mut Response<R>,
    refuse: &'a E,
}

impl<R, E: Refuse<R>> Reply for TowerReply<'_, R, E> {
    #[inline]
    fn status(&self) -> StatusCode {
        self.response.status()
    }

    fn is_json(&self) -> bool {
        is_json(self.response.headers())
    }

    fn take_unrendered(&mut self) -> Option<Unrendered> {
        self.response.extensions_mut().remove()
    }

    fn mark_not_stored(&mut self) {
        self.response.extensions_mut().insert(NotStored);
    }

    fn refuse(&mut self, refusal: &Refusal, keeps_headers: bool) {
        let mut response = self.refuse.refuse(refusal);
        response.extensions_mut().insert(Refused::new(refusal.kind));
        let old = std::mem::replace(self.response, response);
        if keeps_headers {
            keep_headers(self.response.headers_mut(), old.into_parts().0.headers);
        }
    }

    #[inline]
    fn change_headers(
        &mut self,
        change: impl FnOnce(&mut HeaderMap) -> session_core::Result<()>,
    ) -> session_core::Result<()> {
        change(self.response.headers_mut())
    }

    #[inline]
    fn vary(&mut self, on: HeaderName) {
        vary(self.response.headers_mut(), on);
    }
}

impl<F, R, E> std::fmt::Debug for ResponseFuture<F, R, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").field("session", &self.request.session()).finish_non_exhaustive()
    }
}
