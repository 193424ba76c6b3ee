//! The response, and the commit before its head is sent.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::error::InternalError;
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse};
use pin_project_lite::pin_project;
use session_manager::{Closed, IdUpdate, Session};
use session_web::{Commit, OpenRequest};

use crate::convert;
use crate::refuse::Refuser;
use crate::reply::ActixReply;

pin_project! {
    /// The future of a session middleware: the handler, and then the commit.
    ///
    /// If it is dropped before the commit begins, nothing is committed. If it is dropped during the commit, the session
    /// has its old state or its new one. In both cases, later writes through a clone of the session fail.
    #[must_use = "futures do nothing unless polled"]
    pub struct SessionResponseFuture<F, B> {
        // Before the request, so that it is dropped first: a commit that is cut short holds the session until then.
        #[pin]
        stage: Stage<F, B>,
        request: OpenRequest,
        may_drop_cookie: bool,
        refuse: Refuser,
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<F, B> {
        Handler { #[pin] inner: F },
        Commit { commit: Commit, answer: Option<Answer<B>> },
    }
}

impl<F, B> SessionResponseFuture<F, B> {
    pub(crate) fn new(inner: F, request: OpenRequest, may_drop_cookie: bool, refuse: Refuser) -> Self {
        Self { stage: Stage::Handler { inner }, request, may_drop_cookie, refuse }
    }
}

/// The answer of the inner service.
struct Answer<B> {
    response: HttpResponse<EitherBody<B>>,
    /// The request, or the error of a middleware inside, whose response it is.
    source: Result<HttpRequest, Error>,
}

impl<F, B> Future for SessionResponseFuture<F, B>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>>,
    B: MessageBody + 'static,
{
    type Output = Result<ServiceResponse<EitherBody<B>>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let (request, refuse) = (this.request, &*this.refuse);
        loop {
            match this.stage.as_mut().project() {
                StageProjection::Handler { inner } => {
                    let mut answer = match ready!(inner.poll(cx)) {
                        Ok(response) => Answer::of(response),
                        Err(error) => {
                            if request.is_unused() && !is_ours(&error) {
                                request.close();
                                return Poll::Ready(Err(error));
                            }
                            Answer::of_failure(error)
                        }
                    };
                    let mut reply = answer.reply(refuse);
                    if request.closes_unused(&mut reply) {
                        return Poll::Ready(answer.done());
                    }
                    match request.finish(&mut reply) {
                        Ok(closed) => {
                            answer.complete(request, closed, *this.may_drop_cookie, refuse);
                            return Poll::Ready(answer.done());
                        }
                        Err(commit) => {
                            this.stage.set(Stage::Commit { commit, answer: Some(answer) });
                        }
                    }
                }
                StageProjection::Commit { commit, answer } => {
                    let committed = ready!(commit.as_mut().poll(cx));
                    let mut answer = answer.take().expect("a future is not polled after it was ready");
                    let closed = request.judge(committed, &mut answer.reply(refuse));
                    answer.complete(request, closed, *this.may_drop_cookie, refuse);
                    return Poll::Ready(answer.done());
                }
            }
        }
    }
}

impl<B: MessageBody + 'static> Answer<B> {
    fn of(response: ServiceResponse<B>) -> Self {
        let (request, response) = response.into_parts();
        // The handler is over. Without this handle, an unused session is closed at no cost.
        drop(request.extensions_mut().remove::<Session>());
        Self { response: response.map_into_left_body(), source: Ok(request) }
    }

    /// actix-web makes the response of an error outside of all middleware, where it could not get a cookie any more.
    #[cold]
    fn of_failure(error: Error) -> Self {
        Self { response: error.error_response().map_into_right_body(), source: Err(error) }
    }

    fn reply<'a>(&'a mut self, refuse: &'a Refuser) -> ActixReply<'a, B> {
        ActixReply { response: &mut self.response, refuse }
    }

    fn complete(
        &mut self,
        request: &mut OpenRequest,
        closed: Closed,
        may_drop_cookie: bool,
        refuse: &Refuser,
    ) {
        if may_drop_cookie
            && let (IdUpdate::Set { .. }, Ok(sent)) = (&closed.id_update, &self.source)
            && let Ok(headers) = convert::all(sent.headers())
        {
            request.objects(request.engine().objection(&convert::target(sent.uri()), &headers));
        }
        request.complete(closed, &mut self.reply(refuse));
    }

    fn done(self) -> Result<ServiceResponse<EitherBody<B>>, Error> {
        match self.source {
            Ok(request) => Ok(ServiceResponse::new(request, self.response)),
            // Still a failure for the middleware outside, with this response.
            Err(error) => {
                Err(InternalError::from_response(error, self.response.map_into_boxed_body()).into())
            }
        }
    }
}

/// Whether the layer renders this error.
fn is_ours(error: &Error) -> bool {
    error.as_error::<session_manager::Error>().is_some()
}

impl<F, B> std::fmt::Debug for SessionResponseFuture<F, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionResponseFuture")
            .field("session", self.request.session())
            .finish_non_exhaustive()
    }
}
