//! The layer's own responses.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use session_web::Refusal;

/// Makes the layer's own responses: [`DefaultRefusal`], or a closure in [`RefuseWith`].
pub trait Refuse<R>: Clone {
    /// The response.
    fn refuse(&self, refusal: &Refusal) -> Response<R>;
}

/// The responses of a layer by default: problem details for clients that prefer JSON, and plain text for others.
///
/// The body is text if the type of bodies is axum's, `String` or `Vec<u8>`. Any other type has its default, an empty body:
/// use [`SessionLayer::refuse_with`](crate::SessionLayer::refuse_with).
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultRefusal;

impl<R: Default + 'static> Refuse<R> for DefaultRefusal {
    fn refuse(&self, refusal: &Refusal) -> Response<R> {
        let (kind, text) = refusal.content();
        let mut response = Response::new(R::default());
        *response.status_mut() = refusal.status;
        refusal.write_headers(response.headers_mut());
        if fill(response.body_mut(), text) {
            let _ = response.headers_mut().try_insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        response
    }
}

/// Puts the text into the body, if its type is known.
fn fill(body: &mut dyn Any, text: String) -> bool {
    #[cfg(feature = "axum")]
    if let Some(body) = body.downcast_mut::<axum_core::body::Body>() {
        *body = axum_core::body::Body::from(text);
        return true;
    }
    if let Some(body) = body.downcast_mut::<String>() {
        *body = text;
        return true;
    }
    let Some(body) = body.downcast_mut::<Vec<u8>>() else { return false };
    *body = text.into_bytes();
    true
}

/// The responses of a layer by a closure: see [`SessionLayer::refuse_with`](crate::SessionLayer::refuse_with).
pub struct RefuseWith<F>(Arc<F>);

impl<F> RefuseWith<F> {
    pub(crate) fn new(refuse: F) -> Self {
        Self(Arc::new(refuse))
    }
}

impl<F> Clone for RefuseWith<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<F> fmt::Debug for RefuseWith<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefuseWith(..)")
    }
}

impl<R, F: Fn(&Refusal) -> Response<R>> Refuse<R> for RefuseWith<F> {
    fn refuse(&self, refusal: &Refusal) -> Response<R> {
        (self.0)(refusal)
    }
}

/// The method `refuse_with` of a layer with the fields `parts` and `refuse`.
macro_rules! refuse_with {
    ($layer:ident) => {
        impl<D, E, F> $layer<D, E, F> {
            /// Replaces the layer's own responses: those in place of a handler's response, and those that an
            /// [`Error`](crate::Error) of a handler or an extractor becomes. By default they are
            /// [`DefaultRefusal`](crate::DefaultRefusal)'s. The layer adds the session's cookie where it has to, and the
            /// headers that services inside of it have added to an error.
            ///
            /// ```
            /// use axum::response::{Html, IntoResponse, Response};
            /// # use session_tower::{Refusal, SessionLayer};
            /// # let store = session_store_memory::MemoryStore::new()?;
            /// # let sessions = session_manager::Sessions::new(store)?;
            /// # let cookie = session_state_cookie::CookieState::default();
            ///
            /// let layer = SessionLayer::new(sessions, cookie).refuse_with(|refusal: &Refusal| -> Response {
            ///     let page = Html(format!("<h1>{}</h1>", refusal.detail()));
            ///     let mut response = (refusal.status, page).into_response();
            ///     refusal.write_headers(response.headers_mut());
            ///     response
            /// });
            /// # Ok::<(), Box<dyn std::error::Error>>(())
            /// ```
            #[must_use]
            pub fn refuse_with<R, G>(self, refuse: G) -> $layer<D, E, crate::RefuseWith<G>>
            where
                G: Fn(&crate::Refusal) -> http::Response<R> + Send + Sync + 'static,
            {
                $layer { parts: self.parts, refuse: crate::RefuseWith::new(refuse) }
            }
        }
    };
}
pub(crate) use refuse_with;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;
    use http::header::RETRY_AFTER;
    use session_manager::ErrorKind;

    use super::*;

    #[test]
    fn unknown_bodies_stay_empty() {
        let mut refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, ErrorKind::Store, true);
        refusal.retry_after = Some(Duration::from_millis(1_500));
        let response: Response<Option<u8>> = DefaultRefusal.refuse(&refusal);
        assert!(response.body().is_none() && !response.headers().contains_key(CONTENT_TYPE));
        assert_eq!(
            (response.headers()[RETRY_AFTER].as_bytes(), response.status()),
            (&b"2"[..], refusal.status)
        );
        let response: Response<Vec<u8>> = DefaultRefusal.refuse(&refusal);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        refusal.wants_json = false;
        let response: Response<String> = DefaultRefusal.refuse(&refusal);
        assert_eq!(
            (response.headers()[CONTENT_TYPE].clone(), response.body().as_str()),
            (HeaderValue::from_static("text/plain; charset=utf-8"), refusal.detail())
        );
    }
}
