//! What a request carries in its extensions.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use http::Extensions;

use crate::engine::{Client, Engine};
use crate::error::{Error, cause_of};
use crate::policy::{OnHandlerError, OnStoreError, Policy};
use crate::session::Session;

/// A request's session before anybody asks for it, and the settings of this request. In the extensions of every
/// request that a [`SessionLayer`](crate::SessionLayer) passes on, and an axum extractor. Cheap to clone.
///
/// Take it instead of [`Session`] where a handler asks for its session only now and then, and in middleware.
///
/// ```
/// use session_tower::{Error, LazySession};
///
/// async fn greeting(handle: LazySession) -> Result<String, Error> {
///     let session = handle.load().await?;
///     Ok(format!("Hello, {}", session.user()?.unwrap_or_else(|| "stranger".into())))
/// }
/// ```
#[derive(Clone)]
pub struct LazySession(Arc<Slot>);

struct Slot {
    engine: Arc<dyn Engine>,
    client: Client,
    policy: Policy,
    /// Made when first asked for: a request that never asks pays for the slot alone.
    session: OnceLock<session_manager::Session>,
    /// What the first load came to: `None` is the session itself, `Some` takes its place because it could not be
    /// loaded and the policy is to go on. Decided once, so that all of a request work with the same session.
    loaded: OnceLock<Option<session_manager::Session>>,
    /// The response is decided, or will never be: nothing that is written from now on can be stored.
    closed: AtomicBool,
    outer: Option<LazySession>,
}

impl LazySession {
    pub(crate) fn new(engine: Arc<dyn Engine>, client: Client, outer: Option<Self>) -> Self {
        let policy = engine.policy();
        let (session, loaded) = (OnceLock::new(), OnceLock::new());
        let closed = AtomicBool::new(false);
        Self(Arc::new(Slot { engine, client, policy, session, loaded, closed, outer }))
    }

    /// The handle among a request's extensions; `None` outside of every session layer.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// The session, loaded. Whoever comes first asks the store, for all of the request; a load that failed is asked
    /// again by the next call. The store is not asked at all where the client sent no valid id.
    ///
    /// # Errors
    /// The store failed, and the policy is [`OnStoreError::Reject`]. Give the error back as the response.
    pub async fn load(&self) -> Result<Session, Error> {
        if self.0.loaded.get().is_none() {
            let spare = match self.session().load().await {
                Ok(()) => None,
                Err(error) => Some(self.go_on_without(error).await?),
            };
            // Of two tasks that loaded at the same time, the first decides for both.
            let _ = self.0.loaded.set(spare);
        }
        let session = self.used().unwrap_or_else(|| self.session());
        self.seal_if_closed(session);
        Ok(Session::new(session.clone(), self.clone()))
    }

    async fn go_on_without(&self, error: session_manager::Error) -> Result<session_manager::Session, Error> {
        if self.0.policy.goes_on()
            && let Some(spare) = self.0.engine.spare()
            && spare.load().await.is_ok()
        {
            tracing::warn!(%error, cause = cause_of(&error), "a session could not be loaded; the request goes on without");
            return Ok(spare);
        }
        tracing::warn!(%error, cause = cause_of(&error), "a session could not be loaded; the request is refused");
        Err(Error::Load(error))
    }

    /// The session as `session-manager` knows it, not loaded unless somebody did. It never is the empty session of
    /// [`OnStoreError::Continue`].
    pub fn session(&self) -> &session_manager::Session {
        let slot = &*self.0;
        let session = slot.session.get_or_init(|| slot.engine.begin(&slot.client, slot.policy.extends()));
        self.seal_if_closed(session);
        session
    }

    /// The handle of the next session layer outside of this one, if there is one.
    #[must_use]
    pub fn outer(&self) -> Option<&Self> {
        self.0.outer.as_ref()
    }

    /// Sets what this request's visitor gets when the session store fails, from now on.
    pub fn on_store_error(&self, what: OnStoreError) {
        self.0.policy.on_store_error(what);
    }

    /// Sets what happens to this request's changes if its response is a server error.
    pub fn on_handler_error(&self, what: OnHandlerError) {
        self.0.policy.on_handler_error(what);
    }

    /// This request does not count as activity.
    pub fn do_not_extend(&self) {
        self.0.policy.do_not_extend();
        if let Some(session) = self.0.session.get() {
            session.do_not_extend();
        }
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.0.policy
    }

    pub(crate) fn engine(&self) -> &Arc<dyn Engine> {
        &self.0.engine
    }

    /// The session that the handler worked with, if it asked for one.
    pub(crate) fn used(&self) -> Option<&session_manager::Session> {
        self.spare().or_else(|| self.own())
    }

    pub(crate) fn spare(&self) -> Option<&session_manager::Session> {
        self.0.loaded.get().and_then(Option::as_ref)
    }

    pub(crate) fn own(&self) -> Option<&session_manager::Session> {
        self.0.session.get()
    }

    /// Drops what has not been committed and makes later writes errors, also those of sessions that are not begun
    /// yet. Dropping it matters beyond the memory: a closure of `update` that holds this handle keeps it alive, and is
    /// itself kept by the log that the handle holds.
    pub(crate) fn close(&self) {
        if self.0.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        for session in self.own().into_iter().chain(self.spare()) {
            session.discard();
        }
    }

    /// For a session that another task begins while this request is closed. Both sides change the same atomic, so
    /// that one comes after the other: either `close` finds the session, or this finds the request closed. A plain
    /// load could miss the one while `close` misses the other.
    fn seal_if_closed(&self, session: &session_manager::Session) {
        if self.0.closed.fetch_or(false, Ordering::AcqRel) {
            session.seal();
        }
    }
}

impl fmt::Debug for LazySession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LazySession")
            .field("session", &self.0.session.get())
            .field("detached", &self.spare().is_some())
            .field("outer", &self.0.outer)
            .finish_non_exhaustive()
    }
}
