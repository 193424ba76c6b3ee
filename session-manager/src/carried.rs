//! Sessions that the client keeps: the store of one request holds what that request carried.

use std::borrow::Cow;
use std::sync::Arc;

use session_core::{
    Capabilities, Carried, Change, ChangeRequest, Clock, Condition, Cursor, Decision, Driver, Found, Key,
    Operation, Page, Parts, Prefix, Purged, Record, Result, SessionId, StoreError, SystemClock, Touch,
};

use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::manager::Manager;
use crate::opened::{Opened, Opening};
use crate::sessions::Sessions;
use crate::table;

/// Opens the sessions that clients keep by a [`Carrier`](session_core::Carrier) such as an encrypted cookie.
///
/// Timeouts, limits, codecs, the observer and all methods of [`Session`](crate::Session) are those of the [`Sessions`] it
/// was made of. Their driver keeps no session. It keeps the data of users, and with
/// [`user_epochs`](crate::SessionsBuilder::user_epochs) the epochs by which [`end_user`](Self::end_user) ends all sessions
/// of a user. Without such a driver use [`NoStore`].
///
/// With epochs, a session of a user is valid only while the driver has the user's epoch. A store that loses the epochs
/// ends these sessions, and so does a server that turns `user_epochs` on.
///
/// The last response that reaches the client wins, because no store compares the sessions of two requests. A client can
/// send an older copy of its session, also after a logout. Each use of a copy before its deadline moves that deadline, up
/// to the absolute lifetime, which begins again with each login and rotation. So `take`, `claim`, `reference`
/// and [`end_others`](Sessions::end_others) fail with [`ErrorKind::NoStore`].
pub struct CarriedSessions<D> {
    base: Sessions<D>,
    config: Arc<Config>,
}

impl<D: Driver> CarriedSessions<D> {
    /// Sessions with the options of `base`.
    ///
    /// # Errors
    /// `Config` with a [`handover`](crate::SessionsBuilder::handover), or with
    /// [`max_user_sessions`](crate::SessionsBuilder::max_user_sessions): no store lists the sessions. `Config`
    /// with [`user_epochs`](crate::SessionsBuilder::user_epochs) and [`NoStore`], or another driver that stores no data.
    /// `Config` without an [`absolute_lifetime`](crate::SessionsBuilder::absolute_lifetime) and without `user_epochs`:
    /// nothing would end a copy that is used again and again.
    pub fn new(base: Sessions<D>) -> std::result::Result<Self, Error> {
        let mut config = Config::clone(&base.manager.config);
        if base.manager.takeover.is_some() {
            return Err(Error::new(ErrorKind::Config).with_detail("a handover needs sessions in a store"));
        }
        if config.max_user_sessions.is_some() {
            let error = Error::new(ErrorKind::Config);
            return Err(error.with_detail("max_user_sessions needs sessions in a store"));
        }
        if config.renewal.is_some() {
            return Err(
                Error::new(ErrorKind::Config).with_detail("renewal_timeout is for sessions in a store")
            );
        }
        if config.user_epochs && base.driver().capabilities().max_record_bytes == Some(0) {
            return Err(Error::new(ErrorKind::Config).with_detail("user_epochs needs a store for the epochs"));
        }
        // The index keeps the epoch. Entries without a record are dropped at the next use.
        config.index_users = config.user_epochs;
        config.carried = Some(usize::MAX);
        config.check_lifetime(config.lifetime)?;
        Ok(Self { base, config: Arc::new(config) })
    }

    /// The same for a carrier that keeps at most this many bytes of data. A longer session, of an earlier configuration,
    /// may stay as long as it is.
    #[must_use]
    pub fn max_data_bytes(mut self, most: usize) -> Self {
        let config = Arc::make_mut(&mut self.config);
        config.carried = Some(most);
        config.limits.bytes = config.limits.bytes.min(most.saturating_sub(table::PLAIN));
        self
    }

    /// The sessions of one request, which `open` reads from it: at most once, and not before a session is loaded. The ids
    /// of the [`RequestInfo`](crate::RequestInfo) are not used.
    pub fn of_request(&self, open: impl FnOnce() -> Carried + Send + 'static) -> Sessions<OneRequest<D>> {
        let opening = Arc::new(Opened::later(open));
        let driver = OneRequest {
            base: self.base.clone(),
            opening: Arc::clone(&opening),
            max_data_bytes: self.config.carried.unwrap_or(usize::MAX),
        };
        let config = Arc::clone(&self.config);
        Sessions { manager: Arc::new(Manager::carried(&self.base.manager, driver, config, opening)) }
    }

    /// Ends all sessions of a user with one write of a new epoch: "log out everywhere". How many they are is not known.
    ///
    /// # Errors
    /// `Config` without [`user_epochs`](crate::SessionsBuilder::user_epochs); otherwise as [`Sessions::end_user`].
    pub async fn end_user(
        &self,
        user: &str,
        reason: impl Into<Cow<'static, str>>,
    ) -> std::result::Result<(), Error> {
        if !self.config.user_epochs {
            return Err(Error::new(ErrorKind::Config).with_detail("user_epochs is off"));
        }
        self.base.end_user(user, reason).await.map(drop)
    }

    /// The sessions that this was made of. Its [`of_user`](Sessions::of_user), [`find`](Sessions::find),
    /// [`end`](Sessions::end) and [`end_user`](Sessions::end_user) see no session that a client keeps.
    #[must_use]
    pub fn base(&self) -> &Sessions<D> {
        &self.base
    }
}

impl<D> Clone for CarriedSessions<D> {
    fn clone(&self) -> Self {
        Self { base: self.base.clone(), config: Arc::clone(&self.config) }
    }
}

impl<D> std::fmt::Debug for CarriedSessions<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CarriedSessions").finish_non_exhaustive()
    }
}

/// The store of one request. It holds the sessions that the request carried, and those that it leaves.
///
/// Records other than sessions are those of the driver behind it.
pub struct OneRequest<D> {
    base: Sessions<D>,
    opening: Arc<Opening>,
    /// Of a new record.
    max_data_bytes: usize,
}

impl<D: Driver> OneRequest<D> {
    /// The live session under `id`, as the request has left it.
    #[must_use]
    pub fn record(&self, id: &SessionId) -> Option<Record> {
        self.find(&id.key())
    }

    /// The further parts that the client keeps.
    #[must_use]
    pub fn parts(&self) -> Parts {
        self.opening.parts
    }

    fn most_bytes(&self) -> usize {
        self.max_data_bytes.max(self.opening.longest)
    }

    fn find(&self, key: &Key) -> Option<Record> {
        let records = self.opening.records();
        let found = records.iter().find(|(known, _)| known == key).map(|(_, record)| record.clone());
        found.filter(|record| record.is_live(self.base.now()))
    }

    fn change(&self, key: &Key, change: ChangeRequest) -> Change {
        let now = self.base.now();
        let mut records = self.opening.records();
        let at = records.iter().position(|(known, _)| known == key);
        let stored = at.map(|at| &records[at].1);
        match (change.decide(Found::of(stored, now), now), change) {
            (Decision::Write, ChangeRequest::Store { record, .. }) => match at {
                Some(at) => records[at].1 = record,
                None => records.push((key.clone(), record)),
            },
            (Decision::Write, ChangeRequest::Touch(touch)) => {
                if let Some(at) = at {
                    (records[at].1.expires, records[at].1.revision) = (touch.deadline, touch.to);
                }
            }
            (Decision::Delete, _) => records.retain(|(known, _)| known != key),
            (Decision::AlreadyApplied | Decision::AlreadyAbsent, _) => {}
            _ => return Change::Conflict(stored.filter(|record| record.is_live(now)).cloned()),
        }
        Change::Applied
    }
}

impl<D> std::fmt::Debug for OneRequest<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OneRequest").finish_non_exhaustive()
    }
}

impl<D: Driver> Driver for OneRequest<D> {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        match key.is_in(&Prefix::SESSION) {
            true => Ok(self.find(key)),
            false => self.base.driver().retrieve(key).await,
        }
    }

    async fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        if !key.is_in(&Prefix::SESSION) {
            return self.base.driver().store(key, record, condition).await;
        }
        // The client never gets a tombstone.
        let (len, most) = (record.data.len(), self.most_bytes());
        if len > most && !table::is_tombstone(&record.data) {
            return Err(StoreError::too_large(len, most as u64));
        }
        Ok(self.change(key, ChangeRequest::Store { record, condition }))
    }

    async fn store_over(&self, key: &Key, record: Record, loaded: &Record) -> Result<Change> {
        match key.is_in(&Prefix::SESSION) {
            true => self.store(key, record, Condition::Revision(loaded.revision)).await,
            false => self.base.driver().store_over(key, record, loaded).await,
        }
    }

    async fn remove(&self, key: &Key, condition: Condition) -> Result<Change> {
        match key.is_in(&Prefix::SESSION) {
            true => Ok(self.change(key, ChangeRequest::Remove { condition })),
            false => self.base.driver().remove(key, condition).await,
        }
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        match key.is_in(&Prefix::SESSION) {
            true => Ok(self.change(key, ChangeRequest::Touch(touch)).is_applied()),
            false => self.base.driver().touch(key, touch).await,
        }
    }

    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        self.base.driver().traverse(prefix, from, limit).await
    }

    async fn purge(&self, limit: usize) -> Result<Purged> {
        self.base.driver().purge(limit).await
    }

    async fn flush(&self) -> Result<()> {
        self.base.driver().flush().await
    }

    async fn close(&self) -> Result<()> {
        self.base.driver().close().await
    }

    fn capabilities(&self) -> Capabilities {
        // Between the tasks of the request.
        let most = Some(self.most_bytes() as u64);
        self.base.driver().capabilities().conditional(true).max_record_bytes(most)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.base.driver().clock()
    }
}

/// No store: for [`CarriedSessions`] without data of users and without epochs. Each call fails with `Unsupported`.
#[derive(Clone)]
pub struct NoStore {
    clock: Arc<dyn Clock>,
}

impl NoStore {
    /// With the system's clock.
    #[must_use]
    pub fn new() -> Self {
        Self { clock: SystemClock::shared() }
    }

    /// With this clock.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }
}

impl Default for NoStore {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for NoStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NoStore").finish_non_exhaustive()
    }
}

impl Driver for NoStore {
    async fn retrieve(&self, _: &Key) -> Result<Option<Record>> {
        Err(StoreError::unsupported(Operation::Retrieve))
    }

    async fn store(&self, _: &Key, _: Record, _: Condition) -> Result<Change> {
        Err(StoreError::unsupported(Operation::Store))
    }

    async fn remove(&self, _: &Key, _: Condition) -> Result<Change> {
        Err(StoreError::unsupported(Operation::Remove))
    }

    async fn traverse(&self, _: &Prefix, _: Cursor, _: usize) -> Result<Page> {
        Err(StoreError::unsupported(Operation::Traverse))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::none().conditional(true).max_record_bytes(Some(0))
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }
}
