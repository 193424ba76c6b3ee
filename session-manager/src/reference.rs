//! References to a session that outlive its request.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use session_core::Driver;
use tokio::time::timeout_at;

use crate::backend::Backend;
use crate::error::Error;
use crate::outcome::{EndReason, Outcome};
use crate::policy::OnStoreError;
use crate::request::RequestInfo;
use crate::session::Session;
use crate::sessions::Sessions;
use crate::watch::{Follower, Now};
use crate::work::{Loaded, Work};

/// A reference to a session, for WebSockets, event streams and background jobs that outlive the request. It holds no
/// copy of the session. Clones refer to the same session.
///
/// A reference follows the rotations and logins of its own request, once they are committed. It ends if the session is
/// destroyed or expires, or if another request gives it a new id. A reference that has reported the end stays ended. It
/// never creates a session, and extends none except by [`touch`](Self::touch).
///
/// [`Session::reference`] returns one, and [`Sessions::reference_to`] for an id. Before the commit that stores the session for the first time, the reference finds
/// no session: commit first if a task may be faster than the response.
#[derive(Clone)]
pub struct SessionRef {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) follower: Arc<Follower>,
}

impl Session {
    /// A reference to the session that outlives this request.
    ///
    /// # Errors
    /// `NotLoaded`, `Busy`; `Store` for a [detached](Self::is_detached) session; `NoStore` for a session that the client
    /// keeps.
    pub fn reference(&self) -> Result<SessionRef, Error> {
        self.needs_store()?;
        Ok(SessionRef { follower: self.follower()?, backend: Arc::clone(self.backend()) })
    }
}

impl<D: Driver> Sessions<D> {
    /// A reference to the session under an id, or `None` if no session lives there: for a job that was given an id and
    /// not a reference. It creates no session, also after the end, while a write through [`load`](Self::load) would begin
    /// one that no client knows.
    ///
    /// A session that is bound to an address or a user agent needs them in the [`RequestInfo`].
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub async fn reference_to(&self, request: impl Into<RequestInfo>) -> Result<Option<SessionRef>, Error> {
        let mut request = request.into();
        request.on_store_error = OnStoreError::Reject;
        let session = self.load(request).await?;
        let reference = if session.exists()? { Some(session.reference()?) } else { None };
        session.close();
        Ok(reference)
    }
}

impl SessionRef {
    /// A handle on the session as it is now, with a log of its own, or `None` if the session has ended. Call
    /// [`Session::commit`] to store changes.
    ///
    /// No response takes a new id to the client, so `rotate`, `login`, `bind_user` and `unbind_user` fail with
    /// [`NoResponse`](crate::ErrorKind::NoResponse). Its commits do not extend the session. If
    /// the session ends first, the commit stores nothing and its outcome is [`Outcome::Ended`].
    ///
    /// # Errors
    /// `Store` if the store fails; `Corrupt` if the record is damaged.
    pub async fn open(&self) -> Result<Option<Session>, Error> {
        Ok(self.find().await?.map(|work| Session::opened(Arc::clone(&self.backend), work)))
    }

    /// Whether the session lives: one retrieve, or two for a session with a user and
    /// [`user_epochs`](crate::SessionsBuilder::user_epochs).
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn is_live(&self) -> Result<bool, Error> {
        Ok(self.find().await?.is_some())
    }

    /// Extends the session like a request that only reads it. Returns whether the session lives.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn touch(&self) -> Result<bool, Error> {
        let Some(mut work) = self.find().await? else { return Ok(false) };
        work.set_extends(true);
        let committed = self.backend.commit(&RequestInfo::default(), &mut work).await?;
        self.follower.refresh(&work);
        Ok(!matches!(committed.outcome, Outcome::Ended(_)))
    }

    /// Waits for the end of the session and returns the reason.
    ///
    /// Ends by this process are noticed at once. Ends by other processes are noticed within
    /// [`poll_interval`](crate::SessionsBuilder::poll_interval): all waiting references of a session share one retrieve
    /// per interval. A store does not tell why a session is gone, so an end by another process is `Expired` after the
    /// session's deadline and `Revoked` before it. While the store fails, the wait continues.
    ///
    /// # Cancellation
    /// May be dropped at any point, and called again.
    pub async fn ended(&self) -> EndReason {
        let watches = &self.follower.watches;
        let mut changes = self.follower.changes();
        loop {
            // Before the question, so that no change after it is missed.
            drop(changes.borrow_and_update());
            let Now::At(loaded) = self.follower.now() else {
                if let Now::Ended(reason) = self.follower.now() {
                    return reason;
                }
                // The sender lives as long as this reference.
                drop(changes.changed().await);
                continue;
            };
            let poll_at = watches.poll_at(&loaded.key);
            if timeout_at(poll_at, changes.changed()).await.is_err()
                && let Some(poll) = watches.claim_poll(&loaded)
            {
                let (mut read, mut news) = (pin!(self.read(&loaded)), pin!(changes.changed()));
                // An end by this process does not wait for a slow store.
                let is_read = poll_fn(|cx| match read.as_mut().poll(cx) {
                    Poll::Ready(_) => Poll::Ready(true),
                    Poll::Pending => news.as_mut().poll(cx).map(|_| false),
                });
                // If the store fails, the next poll tries again.
                if is_read.await {
                    poll.done();
                }
            }
        }
    }

    /// Whether the request of this reference has stored no session so far.
    pub(crate) fn is_unstored(&self) -> bool {
        self.follower.key().is_none()
    }

    /// The session as it is now.
    async fn find(&self) -> Result<Option<Box<Work>>, Error> {
        let mut changes = self.follower.changes();
        loop {
            drop(changes.borrow_and_update());
            match self.follower.now() {
                Now::At(loaded) => {
                    if let Some(work) = self.read(&loaded).await? {
                        return Ok(Some(work));
                    }
                }
                Now::Wait => drop(changes.changed().await),
                Now::Ended(_) | Now::Unstored => return Ok(None),
            }
        }
    }

    /// Reads the store. `None` if the session is not there: it has ended, or has moved with its request.
    async fn read(&self, loaded: &Loaded) -> Result<Option<Box<Work>>, Error> {
        match self.backend.look(loaded).await? {
            Ok(work) => {
                self.follower.refresh(&work);
                Ok(Some(work))
            }
            Err(reason) => {
                self.follower.set_end(&loaded.key, &reason);
                Ok(None)
            }
        }
    }
}

impl fmt::Debug for SessionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionRef").finish_non_exhaustive()
    }
}
