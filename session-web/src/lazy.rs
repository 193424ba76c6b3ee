//! The session of a request before it is loaded.

use std::sync::Arc;

use http::{Extensions, Request};
use session_manager::{Error, OnHandlerError, OnNotStored, OnStoreError, Session};

/// A request's session, not loaded yet, with the settings of this request. An axum extractor; other services and
/// middleware find it with [`of`](Self::of). Cheap to clone.
///
/// Take it instead of [`Session`] in handlers that need the session only sometimes, and in middleware.
///
/// ```
/// use session_tower::{Error, LazySession};
///
/// async fn greeting(lazy: LazySession) -> Result<String, Error> {
///     let session = lazy.load().await?;
///     Ok(format!("Hello, {}", session.user()?.unwrap_or_else(|| "stranger".into())))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct LazySession {
    session: Session,
    outer: Option<Arc<LazySession>>,
}

/// In the extensions of a request that passed two session layers: the session of the outer one.
#[derive(Clone)]
pub(crate) struct Outer(Arc<LazySession>);

impl Outer {
    pub(crate) fn new(session: LazySession) -> Self {
        Self(Arc::new(session))
    }
}

impl LazySession {
    /// The session in a request's extensions; `None` outside every session layer.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<Self> {
        Some(Self::new(extensions.get::<Session>()?.clone(), extensions.get::<Outer>()))
    }

    pub(crate) fn new(session: Session, outer: Option<&Outer>) -> Self {
        Self { session, outer: outer.map(|outer| Arc::clone(&outer.0)) }
    }

    /// The session of a request; `None` outside every session layer. Unlike [`of`](Self::of), it also notes the `Accept`
    /// header of the request, so that a refusal by the layer has the format that the client accepts.
    #[must_use]
    pub fn of_request<B>(request: &Request<B>) -> Option<Self> {
        let lazy = Self::of(request.extensions())?;
        lazy.session.note_accept(request.headers());
        Some(lazy)
    }

    /// The session in a request's extensions, for middleware that needs one.
    ///
    /// # Errors
    /// `NoLayer` outside every session layer. If the request then reaches a session layer, that layer warns once that
    /// the middleware is outside of it.
    pub fn required(extensions: &mut Extensions) -> Result<Self, Error> {
        Self::of(extensions).ok_or_else(|| Error::no_layer(extensions))
    }

    /// Puts a session into a request's extensions, in front of the session of an outer layer.
    pub fn insert(session: Session, extensions: &mut Extensions) {
        if let Some(before) = extensions.insert(session) {
            let outer = Outer::new(Self::new(before, extensions.get::<Outer>()));
            extensions.insert(outer);
        }
    }

    /// The loaded session. The first call of the request reads the store; after a failure, the next call tries again.
    /// A request without a valid id makes no store call.
    ///
    /// # Errors
    /// The store failed, and the policy is [`OnStoreError::Reject`]. Return the error as the response.
    pub async fn load(&self) -> Result<Session, Error> {
        self.session.load().await?;
        Ok(self.session.clone())
    }

    /// The session in its present state, loaded or not.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The session of the next session layer outside this one.
    #[must_use]
    pub fn outer(&self) -> Option<&Self> {
        self.outer.as_deref()
    }

    /// Sets what happens from now on when the session store fails.
    pub fn on_store_error(&self, policy: OnStoreError) {
        self.session.on_store_error(policy);
    }

    /// Sets what happens to the changes of this request if its response is a server error.
    pub fn on_handler_error(&self, policy: OnHandlerError) {
        self.session.on_handler_error(policy);
    }

    /// Sets what happens to the response if recorded writes are not stored because the session has ended meanwhile.
    pub fn on_not_stored(&self, policy: OnNotStored) {
        self.session.on_not_stored(policy);
    }

    /// This request does not move the session's deadline.
    pub fn do_not_extend(&self) {
        self.session.do_not_extend();
    }
}
