//! The handle of a request, and the turn of a task that talks to the store.

use std::borrow::Cow;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU8};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use session_core::{Timestamp, is_live};
use tokio::sync::Notify;

use crate::backend::{Backend, Loading};
use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::event::TARGET;
use crate::outcome::{Closed, Committed, EndReason, IdUpdate};
use crate::policy::{OnHandlerError, OnNotStored, OnStoreError};
use crate::request::RequestInfo;
use crate::slot::{Place, Slot};
use crate::watch::{Follower, Tie};
use crate::work::Work;

/// The session of one request: reads, and a log of the request's changes.
///
/// Reads and writes are plain calls on the loaded data. [`load`](Self::load) reads the store and
/// [`commit`](Self::commit) writes it; a web layer calls both. If another request commits first, the commit replays the
/// log on that request's data: see each method for its rule.
///
/// Clones are handles of the same session of the same request. While one task loads, commits or destroys, plain calls
/// of other tasks fail with `Busy`.
///
/// A closure passed to [`update`](Self::update) should hold no clone of its session: the log keeps it until the commit,
/// or until [`discard`](Self::discard).
#[derive(Clone)]
#[must_use = "writes to a session are lost unless it is committed"]
pub struct Session(Arc<Shared>);

struct Shared {
    backend: Arc<dyn Backend>,
    request: RequestInfo,
    /// Locked for a moment by plain calls. No code of the application runs under this lock.
    slot: Mutex<Slot>,
    /// Wakes the next task that waits for its turn.
    turn_ended: Notify,
    /// The format that the client accepts: see `accept.rs`.
    format: AtomicU8,
    /// Whether a task has talked to the store. Without the lock, for [`Session::is_unused`].
    used: AtomicBool,
}

impl Session {
    pub(crate) fn new(backend: Arc<dyn Backend>, request: RequestInfo) -> Self {
        let slot = Mutex::new(Slot::new(&request));
        let (format, used) = (AtomicU8::default(), AtomicBool::default());
        Self(Arc::new(Shared { backend, request, slot, turn_ended: Notify::new(), format, used }))
    }

    /// A handle outside of every request, on a session that a reference found.
    pub(crate) fn opened(backend: Arc<dyn Backend>, mut work: Box<Work>) -> Self {
        work.set_referred();
        let session = Self::new(backend, RequestInfo::default().extend(false));
        session.slot().place = Place::Open(work);
        session
    }

    /// Reads the session from the store. Later calls of the request return at once.
    ///
    /// A handle that is kept beyond its request, or that a [`SessionRef`](crate::SessionRef) opened, reads the session
    /// again if it has no changes to store: afterwards [`exists`](Self::exists) and [`user`](Self::user) say whether the
    /// session still lives.
    ///
    /// If the store fails and the policy is [`OnStoreError::Continue`], the session becomes
    /// [detached](Self::is_detached), and an event reports the failure.
    ///
    /// # Errors
    /// As [`Sessions::load`](crate::Sessions::load); the next call tries again.
    pub async fn load(&self) -> Result<(), Error> {
        self.begin_load().done().await
    }

    /// Not a part of the future of [`load`](Self::load), which is moved with the handler.
    fn begin_load(&self) -> Loading<'_, ()> {
        let mut turn = match self.take_turn(false, false) {
            Taken::Turn(turn) => turn,
            Taken::Wait => {
                return Loading::Pending(Box::pin(
                    async move { self.load_in(self.wait_for_turn().await).await },
                ));
            }
        };
        if turn.work.is_some() {
            return match turn.has_to_read() {
                true => Loading::Pending(Box::pin(self.load_in(turn))),
                false => Loading::Ready(Ok(())),
            };
        }
        match self.first_load() {
            Loading::Ready(loaded) => Loading::Ready(self.adopt(loaded, &mut turn)),
            Loading::Pending(load) => Loading::Pending(Box::pin(async move {
                let loaded = load.await;
                self.adopt(loaded, &mut turn)
            })),
        }
    }

    /// The load, if it needs no waiting.
    #[cfg(feature = "actix")]
    pub(crate) fn load_at_once(&self) -> Option<Result<(), Error>> {
        match self.begin_load() {
            Loading::Ready(loaded) => Some(loaded),
            Loading::Pending(_) => None,
        }
    }

    async fn load_in(&self, mut turn: Turn<'_>) -> Result<(), Error> {
        let has_to_read = turn.has_to_read();
        match &mut turn.work {
            Some(work) if has_to_read => self.load_again(work).await,
            Some(_) => Ok(()),
            None => self.adopt(self.first_load().done().await, &mut turn),
        }
    }

    fn adopt(&self, loaded: Result<Box<Work>, Error>, turn: &mut Turn<'_>) -> Result<(), Error> {
        turn.work = Some(match loaded {
            Ok(work) => work,
            Err(error) => self.detach(error)?,
        });
        Ok(())
    }

    #[cold]
    fn detach(&self, error: Error) -> Result<Box<Work>, Error> {
        let mut slot = self.slot();
        if slot.on_store_error == OnStoreError::Reject {
            return Err(error);
        }
        slot.detached = true;
        drop(slot);
        let cause = error.store_error().map(tracing::field::display);
        tracing::warn!(target: TARGET, %error, cause, "session load failed; the request continues without its session");
        let mut work = Box::new(Work::empty(self.config().new_header(), None, false));
        work.set_detached();
        Ok(work)
    }

    /// Ends the session now, not at commit, so that neither a failing handler nor a dropped request undoes a logout.
    /// Returns whether this call ended a session. Recorded changes are dropped. A later write begins a session with a new
    /// id.
    ///
    /// If the request presented several ids, all their live sessions end: a browser may have two cookies of one name, for
    /// two paths or domains, and would be logged in by the other one. A fifth id is not looked at, so its session lives on
    /// ([`Candidates`](session_core::Candidates)). A session that is bound to another client stays.
    ///
    /// On a [detached](Self::is_detached) session this ends the client's own session, or fails with the store's error.
    ///
    /// A session that the client keeps ([`CarriedSessions`](crate::CarriedSessions)) ends when the client receives the
    /// response with the deletion. A service that fails without a response, or a timeout outside of the session layer,
    /// sends none.
    ///
    /// # Errors
    /// `Store`, `Uncertain`, `Contention`: the session may still exist; the call may be repeated. `Committed`.
    ///
    /// # Cancellation
    /// If dropped, the session has ended or has not.
    pub async fn destroy(&self, reason: impl Into<Cow<'static, str>>) -> Result<bool, Error> {
        let mut turn = self.turn(false).await;
        if self.is_sealed() {
            return Err(Error::new(ErrorKind::Committed));
        }
        let detached = self.is_detached();
        let work = match turn.work.take_if(|_| !detached) {
            Some(work) => turn.work.insert(work),
            None => {
                let mut work = self.first_load().done().await?;
                if detached {
                    work.set_detached();
                }
                turn.work.insert(work)
            }
        };
        self.0.backend.destroy(&self.0.request, work, reason.into()).await
    }

    /// Commits now and starts a new log: see [`Sessions::commit`](crate::Sessions::commit). A session that the client
    /// keeps is stored by the response only.
    ///
    /// # Errors
    /// The same.
    pub async fn commit(&self) -> Result<Committed, Error> {
        let mut turn = self.turn(false).await;
        match &mut turn.work {
            Some(work) => self.0.backend.commit(&self.0.request, work).await,
            None => Ok(Committed::unchanged()),
        }
    }

    /// Whether [`load`](Self::load) has completed: whether the request used its session.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.slot().is_loaded()
    }

    /// Whether the store failed and the request continues with an empty session
    /// ([`OnStoreError::Continue`]). Its writes are dropped at the end of the request, an explicit commit fails, and
    /// the client's own session is unknown.
    #[must_use]
    pub fn is_detached(&self) -> bool {
        self.slot().detached
    }

    /// Whether the session is stored, as of the load or the last commit, and its deadline has not passed.
    ///
    /// # Errors
    /// `NotLoaded`; `Busy` while another task commits.
    pub fn exists(&self) -> Result<bool, Error> {
        self.read(|work| work.loaded().is_some_and(|loaded| is_live(loaded.expires, self.now())))
    }

    /// Whether the next commit has changes to store.
    ///
    /// # Errors
    /// `NotLoaded`; `Busy` while another task commits.
    pub fn is_changed(&self) -> Result<bool, Error> {
        self.read(Work::has_changes)
    }

    /// Why the session that the client asked for is not available.
    ///
    /// # Errors
    /// `NotLoaded`; `Busy` while another task commits.
    pub fn end_reason(&self) -> Result<Option<EndReason>, Error> {
        self.read(|work| work.end().cloned())
    }

    /// When the session was created; `None` while it is not stored.
    ///
    /// # Errors
    /// `NotLoaded`; `Busy` while another task commits.
    pub fn created(&self) -> Result<Option<Timestamp>, Error> {
        self.read(|work| work.loaded().map(|_| work.header().created))
    }

    /// When the absolute lifetime of the session began: its creation, last login or rotation. `None` while it is not
    /// stored.
    ///
    /// # Errors
    /// `NotLoaded`; `Busy` while another task commits.
    pub fn started(&self) -> Result<Option<Timestamp>, Error> {
        self.read(|work| work.loaded().map(|_| work.header().started))
    }

    /// When the session was last changed; `None` while it is not stored.
    ///
    /// # Errors
    /// `NotLoaded`; `Busy` while another task commits.
    pub fn updated(&self) -> Result<Option<Timestamp>, Error> {
        self.read(|work| work.loaded().map(|_| work.header().updated))
    }

    /// When the stored session ends unless it is used again; `None` while it is not stored.
    ///
    /// # Errors
    /// `NotLoaded`; `Busy` while another task commits.
    pub fn deadline(&self) -> Result<Option<Timestamp>, Error> {
        self.read(|work| work.loaded().and_then(|loaded| loaded.expires))
    }

    /// Whether this request ended another session whose id it presented, as of the last turn: see
    /// [`Closed::others_ended`].
    #[must_use]
    pub fn others_ended(&self) -> bool {
        self.slot().others_ended
    }

    /// The instruction for the client's id, over all commits of this request.
    #[must_use]
    pub fn id_update(&self) -> IdUpdate {
        self.slot().client
    }

    /// Sets what happens from now on when the store fails.
    pub fn on_store_error(&self, policy: OnStoreError) {
        self.slot().on_store_error = policy;
    }

    /// Sets what a web layer does with the changes of this request if its handler fails.
    pub fn on_handler_error(&self, policy: OnHandlerError) {
        self.slot().on_handler_error = policy;
    }

    /// Sets what a web layer does with the response if recorded writes are not stored.
    pub fn on_not_stored(&self, policy: OnNotStored) {
        self.slot().on_not_stored = policy;
    }

    /// Whether a web layer replaces the response if recorded writes were not stored.
    #[must_use]
    pub fn rejects_not_stored(&self) -> bool {
        self.slot().on_not_stored == OnNotStored::Reject
    }

    /// The policies that apply now.
    #[must_use]
    pub fn policies(&self) -> (OnStoreError, OnHandlerError) {
        let slot = self.slot();
        (slot.on_store_error, slot.on_handler_error)
    }

    /// This request does not move the session's deadline: for polls that run by themselves.
    pub fn do_not_extend(&self) {
        self.slot().extend = false;
    }

    /// From now on, writes fail with `Committed` and reads still work.
    /// [`Sessions::finish`](crate::Sessions::finish) does this too.
    pub fn seal(&self) {
        self.slot().sealed = true;
    }

    /// Drops uncommitted changes and seals the handle: for a response that does not commit.
    pub fn discard(&self) {
        self.close();
    }

    /// [`discard`](Self::discard), and the facts that a web layer needs for the response.
    pub fn close(&self) -> Closed {
        let mut slot = self.slot();
        let closed = slot.close();
        let log = match &mut slot.place {
            Place::Open(work) => work.take_log(),
            // The task with the turn drops the log at the end of its turn.
            Place::Unloaded | Place::Taken { .. } => Vec::new(),
        };
        drop(slot);
        drop(log);
        closed
    }

    /// Whether the request never used its session and no other handle exists. A web layer need not close it then.
    #[must_use]
    pub fn is_unused(&mut self) -> bool {
        !self.0.used.load(Relaxed)
            && self.only_slot().is_some_and(|slot| matches!(slot.place, Place::Unloaded))
    }

    pub(crate) fn format(&self) -> &AtomicU8 {
        &self.0.format
    }

    pub(crate) fn read<R>(&self, read: impl FnOnce(&Work) -> R) -> Result<R, Error> {
        self.slot().open().map(|work| read(work))
    }

    /// A read that may prepare the session for later reads.
    pub(crate) fn search<R>(&self, search: impl FnOnce(&mut Work) -> R) -> Result<R, Error> {
        self.slot().open().map(search)
    }

    pub(crate) fn write<R>(&self, write: impl FnOnce(&mut Work) -> R) -> Result<R, Error> {
        let mut slot = self.slot();
        let sealed = slot.sealed;
        match slot.open() {
            Err(error) if error.kind() == ErrorKind::Busy => Err(error),
            _ if sealed => Err(Error::new(ErrorKind::Committed)),
            open => open.map(write),
        }
    }

    /// [`close`](Self::close), if `is_idle` says that a commit has nothing to do.
    pub(crate) fn close_if(&mut self, is_idle: impl FnOnce(&Work) -> bool) -> Option<Closed> {
        match self.only_slot() {
            Some(slot) => slot.close_if(is_idle),
            None => self.slot().close_if(is_idle),
        }
    }

    /// The slot, if there is no other handle. Cheaper than its lock.
    fn only_slot(&mut self) -> Option<&mut Slot> {
        let shared = Arc::get_mut(&mut self.0)?;
        Some(shared.slot.get_mut().unwrap_or_else(PoisonError::into_inner))
    }

    /// What a new reference follows.
    pub(crate) fn follower(&self) -> Result<Arc<Follower>, Error> {
        let mut slot = self.slot();
        if slot.detached {
            return Err(Error::new(ErrorKind::Store).with_detail("the session is detached"));
        }
        if !slot.is_loaded() {
            return Err(slot.open().err().unwrap_or_else(|| Error::new(ErrorKind::NotLoaded)));
        }
        if let Some(tie) = slot.tie.as_ref().filter(|tie| !tie.has_ended()) {
            return Ok(Arc::clone(tie.follower()));
        }
        let work = match &slot.place {
            Place::Open(work) => Some(&**work),
            Place::Unloaded | Place::Taken { .. } => None,
        };
        let tie = Tie::new(self.0.backend.watches(), work);
        let follower = Arc::clone(tie.follower());
        slot.tie = Some(tie).filter(|_| !slot.discarded);
        Ok(follower)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.backend.now()
    }

    pub(crate) fn backend(&self) -> &Arc<dyn Backend> {
        &self.0.backend
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.slot().sealed
    }

    pub(crate) fn config(&self) -> &Config {
        self.0.backend.config()
    }

    /// An error if the client keeps the session.
    pub(crate) fn needs_store(&self) -> Result<(), Error> {
        if self.config().carried.is_some() { Err(Error::new(ErrorKind::NoStore)) } else { Ok(()) }
    }

    pub(crate) fn request(&self) -> &RequestInfo {
        &self.0.request
    }

    /// Whether `manager` opened it. A record must never be written into another store.
    pub(crate) fn belongs_to<M>(&self, manager: *const M) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.0.backend), manager)
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.0.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn to talk to the store.
    pub(crate) async fn turn(&self, seal: bool) -> Turn<'_> {
        match self.take_turn(false, seal) {
            Taken::Turn(turn) => turn,
            Taken::Wait => Box::pin(self.wait_for_turn()).await,
        }
    }

    /// Waits behind the tasks that came first. Each end of a turn wakes one of them.
    async fn wait_for_turn(&self) -> Turn<'_> {
        let _waiting = Waiting(self);
        loop {
            self.0.turn_ended.notified().await;
            if let Taken::Turn(turn) = self.take_turn(true, false) {
                return turn;
            }
        }
    }

    /// Takes the turn, or queues this task; `queued` says that it is in the queue already. With `seal`, this seals the
    /// handle first.
    ///
    /// Inlined, because a third of its time went into returning the turn.
    #[inline(always)]
    fn take_turn(&self, queued: bool, seal: bool) -> Taken<'_> {
        self.0.used.store(true, Relaxed);
        let mut slot = self.slot();
        slot.sealed |= seal;
        let free = queued || slot.waiting == 0;
        let loaded = slot.is_loaded();
        let work = match std::mem::replace(&mut slot.place, Place::Taken { loaded }) {
            Place::Open(work) if free => Some(work),
            Place::Unloaded if free => None,
            place => {
                slot.place = place;
                slot.waiting += usize::from(!queued);
                return Taken::Wait;
            }
        };
        let mut turn = Turn { session: self, work, sealed: slot.sealed };
        if let Some(work) = &mut turn.work {
            work.set_extends(slot.extend);
        }
        slot.tie.iter().for_each(Tie::begin);
        Taken::Turn(turn)
    }
}

enum Taken<'a> {
    Turn(Turn<'a>),
    Wait,
}

/// The session during a call that talks to the store. Its drop, at any point, ends the turn.
pub(crate) struct Turn<'a> {
    session: &'a Session,
    /// `None` while the session is not loaded.
    pub(crate) work: Option<Box<Work>>,
    sealed: bool,
}

impl Turn<'_> {
    /// Whether a load reads the store: the first one, and those of a handle that is kept beyond its request.
    fn has_to_read(&self) -> bool {
        let is_kept = |work: &Work| {
            (self.sealed || work.is_referred()) && work.loaded().is_some() && !work.has_changes()
        };
        self.work.as_deref().is_none_or(is_kept)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut log = Vec::new();
        let mut slot = self.session.slot();
        slot.place = match self.work.take() {
            None => Place::Unloaded,
            Some(mut work) => {
                if slot.discarded {
                    log = work.take_log();
                }
                let client = work.client();
                // Not assigned where both are `None`: to copy an id takes some nanoseconds.
                if !matches!((&client, &slot.client), (IdUpdate::None, IdUpdate::None)) {
                    slot.cleared |= client == IdUpdate::Clear;
                    slot.client = client;
                }
                slot.others_ended |= work.has_other_ended();
                slot.tie.iter().for_each(|tie| tie.follow(&work));
                let over = slot.discarded;
                slot.tie.take_if(|_| over);
                Place::Open(work)
            }
        };
        let waiting = slot.waiting > 0;
        drop(slot);
        if waiting {
            self.session.0.turn_ended.notify_one();
        }
        drop(log);
    }
}

/// A task in the queue.
struct Waiting<'a>(&'a Session);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.slot().waiting -= 1;
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("loaded", &self.is_loaded())
            .field("detached", &self.is_detached())
            .finish_non_exhaustive()
    }
}
