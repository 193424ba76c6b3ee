//! A response body that commits the session before it ends.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::web::Bytes;
use pin_project_lite::pin_project;
use session_manager::LateSession;

type BoxError = Box<dyn std::error::Error>;
type Finish = Pin<Box<dyn Future<Output = Result<(), BoxError>>>>;

pin_project! {
    /// A body whose session is committed at its end, for changes that are made while it is sent. The client gets the end
    /// of the body after the commit. If the commit fails, the body fails, so that it does not seem complete.
    ///
    /// ```
    /// use actix_web::{HttpResponse, body::BodyStream};
    /// use futures_util::stream;
    /// use session_actix::{CommitBody, Error, Session};
    ///
    /// async fn export(session: Session) -> Result<HttpResponse<CommitBody<impl actix_web::body::MessageBody>>, Error> {
    ///     let late = session.during_body()?;
    ///     let lines = stream::unfold((late.clone(), 0), async |(late, line)| {
    ///         if line == 2 {
    ///             return None;
    ///         }
    ///         if let Ok(Some(session)) = late.load().await {
    ///             let _ = session.update("lines", |sent: Option<u32>| sent.unwrap_or(0) + 1);
    ///         }
    ///         Some((Ok::<_, Error>(format!("{line}\n").into()), (late, line + 1)))
    ///     });
    ///     let response = HttpResponse::Ok().message_body(BodyStream::new(Box::pin(lines)));
    ///     Ok(CommitBody::of(late, response.expect("no header is invalid")))
    /// }
    /// ```
    ///
    /// # Cancellation
    /// A body that is dropped before its end commits nothing: the client has gone away. If it is dropped during the commit,
    /// the session has its old state or its new one. A response whose status has no body, such as 204, commits nothing.
    pub struct CommitBody<B> {
        #[pin]
        inner: B,
        late: LateSession,
        // The bytes that are still to come, if the body has told their number.
        left: Option<u64>,
        stage: Stage,
    }
}

enum Stage {
    Inner,
    /// The last bytes wait for the commit.
    Finish(Finish, Option<Bytes>),
    Done,
}

impl<B: MessageBody> CommitBody<B> {
    /// This response, with the commit of `late` at the end of its body. Removes the handler's `Content-Length`: a client
    /// that has so many bytes takes the body for complete. The length that the body itself tells is still sent.
    pub fn of(late: LateSession, mut response: HttpResponse<B>) -> HttpResponse<Self> {
        let left = match response.body().size() {
            BodySize::Sized(bytes) => Some(bytes),
            _ => None,
        };
        // actix-web sends the length that the body tells.
        response.headers_mut().remove(CONTENT_LENGTH);
        response.head_mut().no_chunking(false);
        response.map_body(|_, inner| Self { inner, late, left, stage: Stage::Inner })
    }
}

impl<B: MessageBody> MessageBody for CommitBody<B>
where
    B::Error: Into<BoxError>,
{
    type Error = BoxError;

    fn size(&self) -> BodySize {
        match self.inner.size() {
            // The server does not poll an empty body.
            BodySize::Sized(0) => BodySize::Stream,
            size => size,
        }
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        let mut this = self.project();
        loop {
            match this.stage {
                Stage::Inner => {
                    let last = match ready!(this.inner.as_mut().poll_next(cx)) {
                        Some(Ok(bytes)) => {
                            let Some(left) = this.left else { return Poll::Ready(Some(Ok(bytes))) };
                            *left = left.saturating_sub(bytes.len() as u64);
                            if *left > 0 {
                                return Poll::Ready(Some(Ok(bytes)));
                            }
                            Some(bytes)
                        }
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
}

impl<B> std::fmt::Debug for CommitBody<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CommitBody").field("late", &self.late).finish_non_exhaustive()
    }
}
