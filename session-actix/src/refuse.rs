//! The layer's own responses.

use std::fmt;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpResponse, HttpResponseBuilder};
use http::HeaderMap;
use session_web::Refusal;

/// The response to a refusal by default: problem details (RFC 9457) for clients that prefer JSON, and plain text for others.
#[must_use]
pub fn refuse(refusal: &Refusal) -> HttpResponse {
    let (kind, text) = refusal.content();
    refusal_builder(refusal).insert_header((CONTENT_TYPE, kind)).body(text)
}

/// A response with the status of a refusal, `Cache-Control: no-store` and `Retry-After`. Add a body of your own.
#[must_use]
pub fn refusal_builder(refusal: &Refusal) -> HttpResponseBuilder {
    let status = StatusCode::from_u16(refusal.status.as_u16());
    let mut response = HttpResponse::build(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    let mut headers = HeaderMap::new();
    refusal.write_headers(&mut headers);
    for (name, value) in &headers {
        response.insert_header((name.as_str(), value.as_bytes()));
    }
    response
}

/// Makes the layer's own responses.
#[derive(Clone, Default)]
pub(crate) struct Refuser(Option<Arc<Make>>);

type Make = dyn Fn(&Refusal) -> HttpResponse + Send + Sync;

impl Refuser {
    pub(crate) fn new(make: impl Fn(&Refusal) -> HttpResponse + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(make)))
    }

    pub(crate) fn make(&self, refusal: &Refusal) -> HttpResponse {
        self.0.as_ref().map_or_else(|| refuse(refusal), |make| make(refusal))
    }
}

impl fmt::Debug for Refuser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Refuser(..)")
    }
}

/// The method `refuse_with` of a layer with the fields `parts` and `refuse`.
macro_rules! refuse_with {
    ($layer:ident) => {
        impl<D, E> $layer<D, E> {
            /// Replaces the layer's own responses: those in place of a handler's response, and those that an
            /// [`Error`](crate::Error) of a handler or an extractor becomes. By default they are those of
            /// [`refuse`](fn@crate::refuse). The layer adds the session's cookie where it has to, and the headers that
            /// services inside of it have added to an error.
            ///
            /// ```
            /// use session_actix::{Refusal, SessionMiddleware, refusal_builder};
            /// # let store = session_store_memory::MemoryStore::new()?;
            /// # let sessions = session_manager::Sessions::new(store)?;
            /// # let cookie = session_state_cookie::CookieState::default();
            ///
            /// let layer = SessionMiddleware::new(sessions, cookie).refuse_with(|refusal: &Refusal| {
            ///     let page = format!("<h1>{}</h1>", refusal.detail());
            ///     refusal_builder(refusal).content_type("text/html; charset=utf-8").body(page)
            /// });
            /// # Ok::<(), Box<dyn std::error::Error>>(())
            /// ```
            #[must_use]
            pub fn refuse_with<G>(self, refuse: G) -> Self
            where
                G: Fn(&crate::Refusal) -> actix_web::HttpResponse + Send + Sync + 'static,
            {
                Self { parts: self.parts, refuse: Refuser::new(refuse) }
            }
        }
    };
}
pub(crate) use refuse_with;
