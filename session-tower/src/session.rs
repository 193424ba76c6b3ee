//! The loaded session that a handler works with.

use std::borrow::Cow;
use std::ops::Deref;

use session_manager::Error;

use crate::handle::LazySession;

/// The request's session, loaded: an axum extractor. It has all methods of [`session_manager::Session`] and is cheap
/// to clone.
///
/// What is written is committed when the handler has returned, before the response goes out; after that, and where
/// nothing is committed, writes through a clone that was kept are errors.
#[derive(Clone, Debug)]
pub struct Session {
    session: session_manager::Session,
    handle: LazySession,
}

impl Session {
    pub(crate) fn new(session: session_manager::Session, handle: LazySession) -> Self {
        Self { session, handle }
    }

    /// Whether this is the empty session of [`OnStoreError::Continue`](crate::OnStoreError::Continue): the store failed,
    /// what is written is dropped at the end of the request, and nothing says whether the client has a session.
    #[must_use]
    pub fn is_detached(&self) -> bool {
        self.handle.spare().is_some()
    }

    /// Ends the session at once: see [`session_manager::Session::destroy`].
    ///
    /// Where this session [is detached](Self::is_detached) it is the client's own session that is ended, or the
    /// store's error that comes back: nobody is told "logged out" who is not.
    ///
    /// # Errors
    /// The store failed, and the session may live on; `Committed`.
    pub async fn destroy(&self, reason: impl Into<Cow<'static, str>>) -> Result<bool, Error> {
        let session = if self.is_detached() { self.handle.session() } else { &self.session };
        session.destroy(reason).await
    }

    /// The handle that this session was loaded through, with the settings of this request.
    #[must_use]
    pub fn handle(&self) -> &LazySession {
        &self.handle
    }
}

impl Deref for Session {
    type Target = session_manager::Session;

    fn deref(&self) -> &Self::Target {
        &self.session
    }
}
