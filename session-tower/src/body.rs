//! A response body that commits the session before it ends.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use session_manager::LateSession;

type BoxError = Box<dyn Error + Send + Sync>;
type Finish = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

pin_project! {
    /// A body whose session is committed at its end, for changes that are made while it is sent. The client gets the end
    /// of the body after the commit. If the commit fails, the body fails, so that it does not seem complete.
    ///
    /// ```
    /// use axum_core::body::Body;
    /// use axum_core::response::Response;
    /// use futures_util::stream::{self, StreamExt};
    /// use session_tower::{CommitBody, Error, Session};
    ///
    /// async fn export(session: Session) -> Result<Response<CommitBody<Body>>, Error> {
    ///     let late = session.during_body()?;
    ///     let lines = stream::iter(["a\n", "b\n"]);
    ///     let counted = stream::unfold((lines, late.clone()), async |(mut lines, late)| {
    ///         let line = StreamExt::next(&mut lines).await?;
    ///         if let Ok(Some(session)) = late.load().await {
    ///             let _ = session.update("lines", |sent: Option<u32>| sent.unwrap_or(0) + 1);
    ///         }
    ///         Some((Ok::<_, Error>(line), (lines, late)))
    ///     });
    ///     Ok(CommitBody::of(late, Response::new(Body::from_stream(counted))))
    /// }
    /// ```
    ///
    /// # Cancellation
    /// A body that is dropped before its end commits nothing: the client has gone away, or the request was `HEAD`. If it
    /// is dropped during the commit, the session has its old state or its new one.
    pub struct CommitBody<B>
    where
        B: Body,
    {
        #[pin]
        inner: B,
        late: LateSession,
        stage: Stage<B::Data>,
    }
}

enum Stage<D> {
    Inner,
    /// The last frame waits for the commit.
    Finish(Finish, Option<Frame<D>>),
    Done,
}

impl<B: Body> CommitBody<B> {
    /// This response, with the commit of `late` at the end of its body. Removes a `Content-Length` that the body does not
    /// confirm, because a server stops at that length and never learns that the body has ended.
    pub fn of(late: LateSession, response: Response<B>) -> Response<Self> {
        let (mut head, inner) = response.into_parts();
        if inner.size_hint().exact().is_none() {
            head.headers.remove(CONTENT_LENGTH);
        }
        Response::from_parts(head, Self { inner, late, stage: Stage::Inner })
    }
}

impl<B: Body> Body for CommitBody<B>
where
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut this = self.project();
        loop {
            match this.stage {
                Stage::Inner => {
                    let last = match ready!(this.inner.as_mut().poll_frame(cx)) {
                        Some(Ok(frame)) if this.inner.is_end_stream() => Some(frame),
                        Some(Ok(frame)) => return Poll::Ready(Some(Ok(frame))),
                        Some(Err(error)) => {
                            *this.stage = Stage::Done;
                            return Poll::Ready(Some(Err(error.into())));
                        }
                        None => None,
                    };
                    let late = this.late.clone();
                    let finish = async move { late.finish().await.map_err(BoxError::from) };
                    *this.stage = Stage::Finish(Box::pin(finish), last);
                }
                Stage::Finish(finish, last) => {
                    let finished = ready!(finish.as_mut().poll(cx));
                    let last = last.take();
                    *this.stage = Stage::Done;
                    return Poll::Ready(match finished {
                        Ok(()) => last.map(Ok),
                        Err(error) => Some(Err(error)),
                    });
                }
                Stage::Done => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    fn size_hint(&self) -> SizeHint {
        match self.stage {
            Stage::Inner => self.inner.size_hint(),
            _ => SizeHint::new(),
        }
    }
}

impl<B: Body> std::fmt::Debug for CommitBody<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CommitBody").field("late", &self.late).finish_non_exhaustive()
    }
}
