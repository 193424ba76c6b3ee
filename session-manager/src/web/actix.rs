//! The session as an extractor of actix-web, and errors as its responses.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse, ResponseError};

use crate::accept::accepts_json;
use crate::error::{AskedOutside, Error, ErrorKind, Refused, Unrendered};
use crate::session::Session;

/// Loads the session that a session layer put into the request's extensions.
impl FromRequest for Session {
    type Error = Error;
    type Future = SessionLoad;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let Some(session) = request.extensions().get::<Self>().cloned() else {
            return SessionLoad(Load::Done(Some(Err(Error::no_layer_around(request)))));
        };
        session.note_accept_of(request);
        if session.backend().loads_at_once()
            && let Some(loaded) = session.load_at_once()
        {
            return SessionLoad(Load::Done(Some(loaded.map(|()| session))));
        }
        SessionLoad(Load::Waits(Box::pin(async move {
            session.load().await?;
            Ok(session)
        })))
    }
}

/// The future of the extractor of [`Session`].
#[must_use = "futures do nothing unless polled"]
pub struct SessionLoad(Load);

enum Load {
    /// The store has answered at once.
    Done(Option<Result<Session, Error>>),
    Waits(Pin<Box<dyn Future<Output = Result<Session, Error>>>>),
}

impl Future for SessionLoad {
    type Output = Result<Session, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Load::Done(loaded) => {
                Poll::Ready(loaded.take().expect("a future is not polled after it was ready"))
            }
            Load::Waits(load) => load.as_mut().poll(cx),
        }
    }
}

impl std::fmt::Debug for SessionLoad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionLoad").finish_non_exhaustive()
    }
}

impl Session {
    /// As [`note_accept`](Self::note_accept), for a request of actix-web.
    pub fn note_accept_of(&self, request: &HttpRequest) {
        let lines = || request.headers().get_all(ACCEPT).map(HeaderValue::as_bytes);
        self.note_format(|| accepts_json(lines()));
    }
}

impl Error {
    /// As [`no_layer`](Self::no_layer), for a request of actix-web.
    #[must_use]
    pub fn no_layer_around(request: &HttpRequest) -> Self {
        request.extensions_mut().insert(AskedOutside::note());
        Self::new(ErrorKind::NoLayer)
    }
}

/// A response without details. An event reports the error and its cause. A session layer around the handler replaces it by
/// what the client accepts.
impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status().as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let text = self.report();
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((CONTENT_TYPE, "text/plain; charset=utf-8"));
        response.insert_header((CACHE_CONTROL, "no-store"));
        let error = Unrendered::of(self);
        if let Some(time) = error.retry_after {
            response.insert_header((RETRY_AFTER, time.as_secs()));
        }
        let mut response = response.body(text);
        response.extensions_mut().insert(Refused::new(error.kind));
        response.extensions_mut().insert(error);
        response
    }
}
