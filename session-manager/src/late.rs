//! The session while the body of its response is sent.

use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::error::{Error, ErrorKind};
use crate::event::TARGET;
use crate::policy::OnStoreError;
use crate::reference::SessionRef;
use crate::session::Session;

/// The session for what a handler does while the body of its response is sent, after the commit that the head has waited
/// for. Clones are the same.
///
/// [`Session::during_body`] returns one. A web layer commits at the end of the body: `CommitBody` in `session-tower` and `session-actix`.
/// The head is out, so no id can be given to the client: the session must be stored already, and `rotate`, `login`,
/// `bind_user` and `unbind_user` fail with [`NoResponse`](ErrorKind::NoResponse).
#[derive(Clone, Debug)]
pub struct LateSession(Arc<Late>);

#[derive(Debug)]
struct Late {
    reference: SessionRef,
    session: OnceCell<Option<Session>>,
    on_store_error: OnStoreError,
    rejects_not_stored: bool,
}

impl Session {
    /// The session for changes that are made while the body of the response is sent.
    ///
    /// # Errors
    /// `NotLoaded`, `Busy`; `Store` for a [detached](Self::is_detached) session; `NoStore` for a session that the client
    /// keeps, because a cookie is in the head.
    pub fn during_body(&self) -> Result<LateSession, Error> {
        Ok(LateSession(Arc::new(Late {
            reference: self.reference()?,
            session: OnceCell::new(),
            on_store_error: self.policies().0,
            rejects_not_stored: self.rejects_not_stored(),
        })))
    }
}

impl LateSession {
    /// The handle, with a log of its own; `None` if the session has ended. The first call reads the store.
    ///
    /// # Errors
    /// `NoResponse` if the session was not stored before the head; `Store`, `Corrupt`.
    pub async fn load(&self) -> Result<Option<Session>, Error> {
        let opened = self.0.session.get_or_try_init(|| async {
            let session = self.0.reference.open().await?;
            if session.is_none() && self.0.reference.is_unstored() {
                let error = Error::new(ErrorKind::NoResponse);
                return Err(error.with_detail("the session was not stored before the head of the response"));
            }
            Ok(session)
        });
        Ok(opened.await?.clone())
    }

    /// Commits what was recorded with the handle, at the end of the body. Does nothing if there is nothing to store.
    ///
    /// # Errors
    /// As [`Sessions::commit`](crate::Sessions::commit); `Contention` if the session has ended and its changes are not
    /// stored. The body must not seem complete then. Where the policies of the request say
    /// [`OnStoreError::Continue`] or [`OnNotStored::Continue`](crate::OnNotStored::Continue), the failure is an event
    /// instead.
    pub async fn finish(&self) -> Result<(), Error> {
        let Some(Some(session)) = self.0.session.get() else { return Ok(()) };
        let (error, is_reported) = match session.commit().await {
            Ok(committed) if committed.not_stored || committed.refuses_response() => {
                let error =
                    Error::new(ErrorKind::Contention).with_detail("the session ended before the body");
                (error, self.0.rejects_not_stored || committed.refuses_response())
            }
            Ok(_) => return Ok(()),
            Err(error) => {
                let is_reported = error.refuses_response() || self.0.on_store_error == OnStoreError::Reject;
                (error, is_reported)
            }
        };
        tracing::warn!(target: TARGET, %error, "session could not be committed at the end of the body");
        if is_reported { Err(error) } else { Ok(()) }
    }
}
