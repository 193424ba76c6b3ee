//! The manager's public face.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use session_core::{Driver, Key, Purged, Timestamp};

use crate::backend::{Backend, Boxed, Loading, at_once};
use crate::client::AddressCheck;
use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::event::{Event, SessionTag};
use crate::handover::Takeover;
use crate::manager::Manager;
use crate::op::Claim;
use crate::outcome::{Closed, Committed, EndReason};
use crate::request::{OldId, RequestInfo};
use crate::session::Session;
use crate::watch::Watches;
use crate::work::{Loaded, Work};

/// Opens, commits, finds and sweeps the sessions of one store. Clones are cheap and share the store.
///
/// The clock is the driver's. A tokio runtime with time enabled is required, for back-off under contention and for
/// [`sweep`](Self::sweep).
pub struct Sessions<D> {
    pub(crate) manager: Arc<Manager<D>>,
}

impl<D: Driver> Sessions<D> {
    pub(crate) fn from_parts(driver: D, config: Config, takeover: Option<Takeover>) -> Self {
        let mut manager = Manager::new(driver, config);
        manager.takeover = takeover;
        Self { manager: Arc::new(manager) }
    }

    /// A handle for this request, without a store call: [`Session::load`] makes it when needed.
    pub fn lazy(&self, request: impl Into<RequestInfo>) -> Session {
        Session::new(Arc::clone(&self.manager) as _, request.into())
    }

    /// A loaded session for this request. A missing, malformed, unknown or expired id results in a usable session,
    /// which its first write stores under a new id.
    ///
    /// Work that outlives its request takes a [`SessionRef`](crate::SessionRef), which creates nothing; for an id that it
    /// was given there is [`reference_to`](Self::reference_to). Under an id that has ended, a write through this handle
    /// would begin a session that no client knows.
    ///
    /// # Errors
    /// `Store` if the store fails; `Corrupt` if the record is damaged and [`OnCorrupt`](crate::OnCorrupt) says `Fail`.
    pub async fn load(&self, request: impl Into<RequestInfo>) -> Result<Session, Error> {
        let session = self.lazy(request);
        session.load().await?;
        Ok(session)
    }

    /// Stores the changes in the session's log and starts a new log.
    ///
    /// # Errors
    /// `Contention`, `Uncertain`, `Store`, `Corrupt`, `Entropy`; `Config` for a session of another manager; errors of
    /// an update's closure on replay. The log is kept, so the call may be repeated.
    ///
    /// # Cancellation
    /// If dropped at any point, the store holds the old state or the new one. A later commit of the same handle finds
    /// out which, or fails with `Uncertain` if other requests have written since.
    pub async fn commit(&self, session: &Session) -> Result<Committed, Error> {
        self.commit_as(session, false).await
    }

    /// Seals the handle and commits, when the response is ready. Later writes, which no commit would store, fail.
    ///
    /// # Errors
    /// As [`commit`](Self::commit). The handle stays sealed and the log is kept, so a later commit may still store it.
    pub async fn finish(&self, session: &Session) -> Result<Committed, Error> {
        // The seal comes before the first wait, so that a finish that is dropped has sealed the handle too.
        self.commit_as(session, true).await
    }

    async fn commit_as(&self, session: &Session, seal: bool) -> Result<Committed, Error> {
        if !session.belongs_to(Arc::as_ptr(&self.manager)) {
            return Err(Error::new(ErrorKind::Config).with_detail("the session belongs to another manager"));
        }
        let mut turn = session.turn(seal).await;
        match &mut turn.work {
            Some(work) => self.manager.commit(session.request(), work).await,
            None => Ok(Committed::unchanged()),
        }
    }

    /// [`finish`](Self::finish) and [`Session::close`] without a future, if there is nothing to store. `None` if there
    /// is, or if another task of the request uses the session; the handle is not sealed then.
    #[must_use]
    pub fn try_finish(&self, session: &mut Session) -> Option<Closed> {
        session.close_if(|work| self.manager.is_idle(work))
    }

    /// [`finish`](Self::finish) without an allocation, if the driver answers at the first poll
    /// ([`Capabilities::at_once`](session_core::Capabilities::at_once)). `None` if it does not, if a long
    /// session met a change of another request, or if another task of the request uses the session: call `finish` then, which also completes a commit that this call has begun.
    #[must_use]
    pub fn finish_at_once(&self, session: &Session) -> Option<Result<Committed, Error>> {
        if !self.manager.at_once {
            return None;
        }
        at_once(self.commit_as(session, true))
    }

    /// Removes up to `limit` expired records of any kind.
    ///
    /// # Errors
    /// `Store`.
    pub async fn sweep_once(&self, limit: usize) -> Result<Purged, Error> {
        Ok(self.manager.purge(limit).await?)
    }

    /// Whether sessions are bound to the client's address, which a web layer must find then.
    #[must_use]
    pub fn checks_address(&self) -> bool {
        self.manager.config.address != AddressCheck::Off
    }

    /// Whether sessions are bound to the User-Agent header, which a web layer must pass on then.
    #[must_use]
    pub fn checks_user_agent(&self) -> bool {
        self.manager.config.agent
    }

    /// Whether [`old_session`](Self::old_session) looks at the headers of requests.
    #[must_use]
    pub fn takes_over(&self) -> bool {
        self.manager.takeover.is_some()
    }

    /// The session of the old system that a request with these headers presents, for [`RequestInfo::old`]. `None` without
    /// a [`handover`](crate::SessionsBuilder::handover). With [`old_owns`](crate::SessionsBuilder::old_owns), a request without
    /// one gets an empty id.
    #[must_use]
    pub fn old_session(&self, headers: &HeaderMap) -> Option<OldId> {
        let takeover = self.manager.takeover.as_ref()?;
        // A request without an old session has to end a session of ours that followed one.
        takeover.old.find(headers).or_else(|| takeover.owns.map(|_| OldId::new([])))
    }

    /// The driver.
    #[must_use]
    pub fn driver(&self) -> &D {
        &self.manager.driver
    }

    /// The current time of the driver's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.manager.clock.now()
    }
}

impl<D> Clone for Sessions<D> {
    fn clone(&self) -> Self {
        Self { manager: Arc::clone(&self.manager) }
    }
}

impl<D> std::fmt::Debug for Sessions<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

impl<D: Driver> Backend for Manager<D> {
    fn load<'a>(&'a self, request: &'a RequestInfo) -> Loading<'a, Box<Work>> {
        if self.at_once {
            // A driver that does not keep its word is asked once more.
            if let Some(work) = at_once(self.load(request)) {
                return Loading::Ready(work);
            }
        }
        Loading::Pending(Box::pin(self.load(request)))
    }
    #[cfg(feature = "actix")]
    fn loads_at_once(&self) -> bool {
        self.at_once && self.takeover.is_none()
    }
    fn old_owns(&self) -> bool {
        self.takeover.as_ref().is_some_and(|takeover| takeover.owns.is_some())
    }
    fn take_over<'a>(
        &'a self,
        this: Arc<dyn Backend>,
        request: &'a RequestInfo,
        found: Box<Work>,
    ) -> Boxed<'a, Box<Work>> {
        Box::pin(self.take_over(this, request, found))
    }
    fn commit<'a>(&'a self, request: &'a RequestInfo, work: &'a mut Work) -> Boxed<'a, Committed> {
        Box::pin(self.commit(request, work))
    }
    fn destroy<'a>(
        &'a self,
        request: &'a RequestInfo,
        work: &'a mut Work,
        reason: Cow<'static, str>,
    ) -> Boxed<'a, bool> {
        Box::pin(async move {
            let kept = self.kept_old(work);
            let ended = self.destroy(request, work, reason).await?;
            let presented = request.old_id().cloned().filter(|old| kept.as_ref() != Some(old));
            for old in kept.into_iter().chain(presented) {
                Box::pin(self.close_old(request, &old)).await?;
            }
            Ok(ended)
        })
    }
    fn claim<'a>(&'a self, work: &'a mut Work, entry: &'a Bytes) -> Boxed<'a, Claim> {
        Box::pin(self.claim(work, entry))
    }
    fn look<'a>(&'a self, loaded: &'a Loaded) -> Boxed<'a, Result<Box<Work>, EndReason>> {
        Box::pin(self.look(loaded))
    }
    fn watches(&self) -> &Arc<Watches> {
        &self.watches
    }
    fn reload<'a>(&'a self, work: &'a mut Work) -> Boxed<'a, bool> {
        Box::pin(self.reload(work))
    }
    fn emit(&self, key: Option<&Key>, event: &Event) {
        self.emit(key, event);
    }
    fn tag(&self, key: &Key) -> SessionTag {
        self.tag(key)
    }
    fn now(&self) -> Timestamp {
        self.clock.now()
    }
    fn config(&self) -> &Config {
        &self.config
    }
}
