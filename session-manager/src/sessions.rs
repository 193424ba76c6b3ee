//! The manager: what ties a state and a store together.

use std::borrow::Cow;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;

use session_core::{Clock, Driver, Key, Purged, Timestamp};

use crate::check::AddressCheck;
use crate::config::{Config, SessionsBuilder};
use crate::error::Error;
use crate::event::{Event, SessionTag, trace};
use crate::outcome::Committed;
use crate::request::RequestInfo;
use crate::session::Session;
use crate::work::Phase;

/// Opens, commits, finds and sweeps the sessions of one store. Clones are cheap and mean the same store.
///
/// It takes its clock from the driver. It needs a tokio runtime with time enabled, for pauses under contention and
/// for [`sweep`](Self::sweep).
pub struct Sessions<D> {
    pub(crate) inner: Arc<Inner<D>>,
}

pub(crate) struct Inner<D> {
    pub(crate) driver: D,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: Config,
    /// The driver cannot compare and store: last write wins.
    pub(crate) looks: bool,
    tags: RandomState,
}

impl<D: Driver> Sessions<D> {
    /// A manager with the default options.
    ///
    /// # Errors
    /// `Config` where the driver cannot compare and store.
    pub fn new(driver: D) -> Result<Self, Error> {
        Self::builder(driver).build()
    }

    /// A manager with options.
    pub fn builder(driver: D) -> SessionsBuilder<D> {
        SessionsBuilder::new(driver)
    }

    pub(crate) fn from_parts(driver: D, config: Config) -> Self {
        let clock = driver.clock();
        let looks = !driver.capabilities().conditional;
        Self { inner: Arc::new(Inner { driver, clock, config, looks, tags: RandomState::new() }) }
    }

    /// A handle for this request, without asking the store: [`Session::load`] does that, when somebody needs it.
    pub fn lazy(&self, request: impl Into<RequestInfo>) -> Session {
        Session::new(Arc::clone(&self.inner) as _, request.into())
    }

    /// A loaded session for this request. No id, a malformed, unknown or expired one all give a usable session that
    /// is stored, under a new id, by its first write.
    ///
    /// # Errors
    /// `Store` where the store fails; `Corrupt` where the record is damaged and the policy says to fail.
    pub async fn load(&self, request: impl Into<RequestInfo>) -> Result<Session, Error> {
        let session = self.lazy(request);
        self.inner.load(&session).await?;
        Ok(session)
    }

    /// Stores what the session's log holds and starts a new log.
    ///
    /// # Errors
    /// `Contention`, `Uncertain`, `Store`, `Corrupt`, `Config` for a session that another manager opened, and what an
    /// update's closure gives on replay. The log is kept, so the call may be repeated.
    ///
    /// # Cancellation
    /// Dropped at any point, the store holds the old state or the new one, and a later commit of the same handle
    /// finds out which, or is `Uncertain` where others have written since.
    pub async fn commit(&self, session: &Session) -> Result<Committed, Error> {
        self.inner.commit(session, false).await
    }

    /// What a web layer does when the response is ready: commits, then seals the handle, so that a write which would
    /// be lost is an error.
    ///
    /// # Errors
    /// As [`commit`](Self::commit); the handle is sealed all the same, and the log is kept, so that a later commit may
    /// still store it.
    pub async fn finish(&self, session: &Session) -> Result<Committed, Error> {
        self.inner.commit(session, true).await
    }

    /// [`finish`](Self::finish) where there is nothing to store, which takes no future; `None` where there is, or
    /// where another task of the request has the session.
    #[must_use]
    pub fn try_finish(&self, session: &Session) -> Option<Committed> {
        self.inner.commit_now(session, true)
    }

    /// Removes at most `limit` expired records of any kind.
    ///
    /// # Errors
    /// `Store`.
    pub async fn sweep_once(&self, limit: usize) -> Result<Purged, Error> {
        Ok(self.inner.driver.purge(limit).await?)
    }

    /// Whether sessions are bound to the client's address: then a web layer must know it.
    #[must_use]
    pub fn checks_address(&self) -> bool {
        self.inner.config.address != AddressCheck::Off
    }

    /// The driver.
    #[must_use]
    pub fn driver(&self) -> &D {
        &self.inner.driver
    }

    /// The present moment by the driver's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }
}

impl<D> Clone for Sessions<D> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<D> std::fmt::Debug for Sessions<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

impl<D> Inner<D> {
    pub(crate) fn emit(&self, key: Option<&Key>, event: &Event) {
        let tag = || key.map(|key| SessionTag(self.tags.hash_one(key.as_str())));
        trace(&tag, event);
        if let Some(observer) = &self.config.observer {
            observer.event(tag(), event);
        }
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// The manager as a session handle sees it: without the driver's type, so that handlers need not name it.
pub(crate) trait Backend: Send + Sync {
    fn load_boxed<'a>(&'a self, session: &'a Session) -> Boxed<'a, ()>;
    fn commit_boxed<'a>(&'a self, session: &'a Session) -> Boxed<'a, Committed>;
    fn destroy_boxed<'a>(&'a self, session: &'a Session, reason: Cow<'static, str>) -> Boxed<'a, bool>;
    fn now(&self) -> Timestamp;
    fn config(&self) -> &Config;
}

impl<D: Driver> Backend for Inner<D> {
    fn load_boxed<'a>(&'a self, session: &'a Session) -> Boxed<'a, ()> {
        Box::pin(self.load(session))
    }
    fn commit_boxed<'a>(&'a self, session: &'a Session) -> Boxed<'a, Committed> {
        Box::pin(self.commit(session, false))
    }
    fn destroy_boxed<'a>(&'a self, session: &'a Session, reason: Cow<'static, str>) -> Boxed<'a, bool> {
        Box::pin(async move {
            let mut lease = session.lease().await;
            if lease.phase == Phase::Unloaded {
                self.load_work(&mut lease).await?;
            }
            self.destroy(&mut lease, reason).await
        })
    }
    fn now(&self) -> Timestamp {
        self.clock.now()
    }
    fn config(&self) -> &Config {
        &self.config
    }
}
