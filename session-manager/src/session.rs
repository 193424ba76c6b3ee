//! The handle that a request works with.

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};
use session_core::Timestamp;
use tokio::sync::MutexGuard;

use crate::codec::{Codec, decode};
use crate::config::MIN_TIME;
use crate::error::{Error, ErrorKind};
use crate::flash::Flash;
use crate::op::Op;
use crate::outcome::{Committed, EndReason, IdUpdate};
use crate::request::RequestInfo;
use crate::sessions::{Backend, Inner};
use crate::table::{NewEntry, RawEntry, VALUE};
use crate::work::{Phase, Work};

/// How often an update runs its closure while the value changes under it, before it gives up.
const UPDATE_TRIES: u32 = 100;

/// The session of one request: reads, and a log of what the request does.
///
/// Reading and writing are plain calls on what was loaded; the store is asked by [`load`](Self::load) and written by
/// [`commit`](Self::commit) (a web layer does both). What a request does is recorded as operations, and if another
/// request was faster, the commit replays them on what that one wrote: see each method for what this means.
///
/// Clones are handles to the same session of the same request. While one of them loads, commits or destroys, the
/// plain calls of the others are `Busy`.
///
/// A closure that is given to [`update`](Self::update) should hold no clone of the session that it is given to: it
/// stays in the log until the commit, or until [`discard`](Self::discard).
#[derive(Clone)]
#[must_use = "what is written to a session is lost unless it is committed"]
pub struct Session(Arc<Shared>);

struct Shared {
    backend: Arc<dyn Backend>,
    /// In one place for good, since it is too large to be moved for every call. Plain calls hold it for themselves, and
    /// a call that talks to the store as long as that takes.
    work: tokio::sync::Mutex<Work>,
    /// How many calls hold it, or wait for it, to talk to the store.
    leases: AtomicUsize,
    /// Wishes that are heard at any time, also while another task of the request talks to the store.
    sealed: AtomicBool,
    discarded: AtomicBool,
    still: AtomicBool,
    /// What the client is to be told, where it can be read at any time: a new id must not get lost because another
    /// task of the request talks to the store.
    client: Mutex<IdUpdate>,
}

impl Session {
    pub(crate) fn new(backend: Arc<dyn Backend>, request: RequestInfo) -> Self {
        let work = tokio::sync::Mutex::new(Work::new(request));
        let client = Mutex::new(IdUpdate::None);
        let leases = AtomicUsize::new(0);
        let [sealed, discarded, still] = [const { AtomicBool::new(false) }; 3];
        Self(Arc::new(Shared { backend, work, leases, sealed, discarded, still, client }))
    }

    /// Asks the store for the session. The first call does it; later ones are free.
    ///
    /// # Errors
    /// As [`Sessions::load`](crate::Sessions::load); the next call tries again.
    pub async fn load(&self) -> Result<(), Error> {
        // While another clone of this handle loads, this one waits for it.
        if self.lock().as_deref().is_some_and(|work| work.phase != Phase::Unloaded) {
            return Ok(());
        }
        self.0.backend.load_boxed(self).await
    }

    /// Whether [`load`](Self::load) has been done: whether the request wanted its session at all.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.lock().as_deref().is_none_or(|work| work.phase != Phase::Unloaded)
    }

    /// Whether a stored session stands behind this one, as of the load or the last commit.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.lock().as_deref().is_some_and(|work| work.loaded.is_some())
    }

    /// Whether anything is recorded for the next commit.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.lock().as_deref().is_none_or(Work::is_dirty)
    }

    /// Why the session that the client asked for is not here, if it asked for one.
    #[must_use]
    pub fn end_reason(&self) -> Option<EndReason> {
        self.lock().as_deref().and_then(|work| work.end.clone())
    }

    /// What the response has to tell the client, over all commits of this request.
    #[must_use]
    pub fn id_update(&self) -> IdUpdate {
        *self.0.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of `key`, or `None` where there is none or its deadline has passed. Decodes this one value.
    ///
    /// # Errors
    /// `Decode` where it is not a `T`, `Codec` where this build lacks its codec: it is still there, and so are the
    /// others. `NotLoaded`, `Busy`.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        self.read(|work| self.get_in(work, VALUE, key))
    }

    /// Whether `key` has a value.
    ///
    /// # Errors
    /// `NotLoaded`, `Busy`.
    pub fn contains(&self, key: &str) -> Result<bool, Error> {
        self.read(|work| Ok(work.find(VALUE, key, || self.now(), |_| ()).is_some()))
    }

    /// The keys that have values, in the order of their bytes.
    ///
    /// # Errors
    /// `NotLoaded`, `Busy`.
    pub fn keys(&self) -> Result<Vec<String>, Error> {
        self.read(|work| {
            let mut keys = Vec::new();
            work.scan(|entry| {
                if entry.class == VALUE && entry.is_live(|| self.now()) {
                    keys.push(String::from_utf8_lossy(entry.key).into_owned());
                }
                None::<()>
            });
            Ok(keys)
        })
    }

    /// Sets `key`. A deadline that an older value had goes with that value. On replay: blind, the last writer wins.
    ///
    /// # Errors
    /// `Encode`, `Name` for a key over 65,535 bytes; `Committed`, `NotLoaded`, `Busy`.
    pub fn insert<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<(), Error> {
        self.insert_as(key, value, self.config().codec)
    }

    /// [`insert`](Self::insert) with a codec of its own.
    ///
    /// # Errors
    /// The same.
    pub fn insert_as<T: Serialize + ?Sized>(&self, key: &str, value: &T, codec: Codec) -> Result<(), Error> {
        let entry = encode_value(key, value, codec)?;
        self.write(|work| work.record(Op::Insert(entry), self.config(), self.now()))
    }

    /// Removes `key` and says whether it had a value. On replay: blind.
    ///
    /// # Errors
    /// `Committed`, `NotLoaded`, `Busy`.
    pub fn remove(&self, key: &str) -> Result<bool, Error> {
        self.write(|work| {
            let now = self.now();
            let was_there = work.find(VALUE, key, || now, |_| ()).is_some();
            work.record(Op::Remove(key.into()), self.config(), now)?;
            Ok(was_there)
        })
    }

    /// Sets `key` to what `change` makes of its value, and gives that. On replay the closure runs again on the value
    /// that is there then, so that the additions of two requests add up.
    ///
    /// The closure may run many times and must do nothing but compute; what this returns is provisional until the
    /// commit.
    ///
    /// # Errors
    /// `Decode` where the value is not a `T`; `Encode`, `Name`, `Committed`, `NotLoaded`, `Busy`; `Contention` where
    /// the closure itself sets this key through a clone of the handle, to another value each time. On replay the same
    /// become errors of the commit.
    pub fn update<T, F>(&self, key: &str, change: F) -> Result<T, Error>
    where
        T: Serialize + DeserializeOwned,
        F: Fn(Option<T>) -> T + Send + 'static,
    {
        let codec = self.config().codec;
        let name: Box<str> = key.into();
        let run = move |current: Option<(u8, &[u8])>| {
            let current = current.map(|(codec, bytes)| decode::<T>(codec, &name, bytes)).transpose()?;
            let value = change(current);
            Ok::<_, Error>((encode_value(&name, &value, codec)?, value))
        };
        let value_in = |work: &Work| {
            let now = self.now();
            work.find(VALUE, key, || now, |entry| (entry.codec, entry.value.to_vec()))
        };
        let mut current = self.write(|work| Ok(value_in(work)))?;
        for _ in 0..UPDATE_TRIES {
            // Outside the lock, for the closure may hold a clone of this handle.
            let (entry, value) = run(current.as_ref().map(|(codec, bytes)| (*codec, &bytes[..])))?;
            let mut guard = self.lock();
            let work = writable(&mut guard)?;
            let there = value_in(work);
            if there == current {
                let rerun =
                    Box::new(move |current: Option<(u8, &[u8])>| run(current).map(|(entry, _)| entry));
                work.record(Op::Update { rerun, key: key.into(), entry }, self.config(), self.now())?;
                return Ok(value);
            }
            current = there;
        }
        Err(Error::new(ErrorKind::Contention).with_detail("the value changed whenever the update ran"))
    }

    /// Removes `key` and gives its value: for what may be spent once, like a token. If another request took or
    /// changed it meanwhile, the commit is `Contention` and the response does not go out.
    ///
    /// # Errors
    /// `Decode`, and then the value stays; `Committed`, `NotLoaded`, `Busy`.
    pub fn take<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        self.write(|work| {
            let now = self.now();
            let read = |entry: RawEntry<'_>| (entry.whole.to_vec(), decode(entry.codec, key, entry.value));
            let Some((handed_out, value)) = work.find(VALUE, key, || now, read) else { return Ok(None) };
            let value = value?;
            work.record(Op::Take { handed_out }, self.config(), now)?;
            Ok(Some(value))
        })
    }

    /// Removes all values; times, bindings, user and flash stay. On replay it removes what is there then, other
    /// requests' values too.
    ///
    /// # Errors
    /// `Committed`, `NotLoaded`, `Busy`.
    pub fn clear(&self) -> Result<(), Error> {
        self.write(|work| work.record(Op::Clear, self.config(), self.now()))
    }

    /// Lets the value of `key` expire after this time, counted in whole milliseconds from now; extending the session
    /// does not extend it. Says whether there is a value. On replay it applies only if that value is still there.
    ///
    /// # Errors
    /// `Committed`, `NotLoaded`, `Busy`.
    pub fn expire_key(&self, key: &str, after: Duration) -> Result<bool, Error> {
        self.write(|work| {
            let now = self.now();
            let deadline = Some(now.saturating_add(after));
            let whole = |entry: RawEntry<'_>| (entry.whole.to_vec(), entry.with_deadline(deadline));
            let Some((given, entry)) = work.find(VALUE, key, || now, whole) else { return Ok(false) };
            work.record(Op::Expire { given, entry }, self.config(), now)?;
            Ok(true)
        })
    }

    /// Values for the next request.
    #[must_use]
    pub fn flash(&self) -> Flash<'_> {
        Flash::new(self)
    }

    /// How long this session lives without being used; at least a second. On replay the last one wins.
    ///
    /// # Errors
    /// `Config` for less than a second; `Committed`, `NotLoaded`, `Busy`.
    pub fn set_idle_timeout(&self, idle: Duration) -> Result<(), Error> {
        at_least_a_second(Some(idle))?;
        self.write(|work| work.record(Op::Idle(idle), self.config(), self.now()))
    }

    /// How long this session lives at most from its creation or last rotation; `None` for no such limit. On replay
    /// the last one wins.
    ///
    /// # Errors
    /// As [`set_idle_timeout`](Self::set_idle_timeout).
    pub fn set_absolute_lifetime(&self, lifetime: Option<Duration>) -> Result<(), Error> {
        at_least_a_second(lifetime)?;
        self.write(|work| work.record(Op::Lifetime(lifetime), self.config(), self.now()))
    }

    /// This request does not move the session's deadline: for polls that run by themselves.
    pub fn do_not_extend(&self) {
        self.0.still.store(true, Ordering::Release);
    }

    /// From now on the handle and its clones can be read and no longer written: a write that nobody would store is an
    /// error. [`Sessions::finish`](crate::Sessions::finish) does this too.
    pub fn seal(&self) {
        self.0.sealed.store(true, Ordering::Release);
    }

    /// Drops what is recorded and not committed, and seals the handle: for a response that does not commit.
    pub fn discard(&self) {
        self.seal();
        self.0.discarded.store(true, Ordering::Release);
        // A task that talks to the store meanwhile does it when it is done.
        drop(self.lock());
    }

    /// Enters the user whom the session belongs to, 1 to 255 bytes. If another request bound it to somebody else
    /// meanwhile, the commit is `Contention`. Call [`rotate`](Self::rotate) with it.
    ///
    /// # Errors
    /// `Name` for an empty or too long name; `Committed`, `NotLoaded`, `Busy`.
    pub fn bind_user(&self, user: &str) -> Result<(), Error> {
        if user.is_empty() || user.len() > 255 {
            return Err(Error::new(ErrorKind::Name).with_detail("a user has 1 to 255 bytes"));
        }
        let user = bytes::Bytes::copy_from_slice(user.as_bytes());
        self.write(|work| {
            let over = work.header().user_bytes();
            work.record(Op::BindUser { user, over }, self.config(), self.now())
        })
    }

    /// The user whom the session belongs to.
    ///
    /// # Errors
    /// `NotLoaded`, `Busy`.
    pub fn user(&self) -> Result<Option<String>, Error> {
        self.read(|work| Ok(work.header().user().map(str::to_owned)))
    }

    /// Gives the session a new id and a new absolute lifetime when it is committed: on login and on every change of
    /// privilege (OWASP: renew the id). Under the old id nothing can be read, written or created any more.
    ///
    /// # Errors
    /// `Committed`, `NotLoaded`, `Busy`.
    pub fn rotate(&self) -> Result<(), Error> {
        self.write(|work| {
            work.rotations += 1;
            Ok(())
        })
    }

    /// Ends the session now, not at commit, so that neither a failing handler nor a dropped request undoes a logout.
    /// Says whether this call ended it. What was recorded is dropped; writing afterwards begins a session with a new
    /// id.
    ///
    /// # Errors
    /// `Store`, `Uncertain`, `Contention`: the session may still be there; the call may be repeated. `Committed`.
    ///
    /// # Cancellation
    /// Dropped, the session has ended or has not.
    pub async fn destroy(&self, reason: impl Into<Cow<'static, str>>) -> Result<bool, Error> {
        self.0.backend.destroy_boxed(self, reason.into()).await
    }

    /// Commits now and starts a new log: see [`Sessions::commit`](crate::Sessions::commit).
    ///
    /// # Errors
    /// The same.
    pub async fn commit(&self) -> Result<Committed, Error> {
        self.0.backend.commit_boxed(self).await
    }

    /// When the session was created; `None` while it is not stored.
    #[must_use]
    pub fn created(&self) -> Option<Timestamp> {
        self.stored(|work| Some(work.header().created))
    }

    /// When the session was last changed; `None` while it is not stored.
    #[must_use]
    pub fn updated(&self) -> Option<Timestamp> {
        self.stored(|work| Some(work.header().updated))
    }

    /// When the stored session ends unless it is used again; `None` while it is not stored.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.stored(|work| work.loaded.as_ref().and_then(|loaded| loaded.expires))
    }

    fn stored<R>(&self, read: impl FnOnce(&Work) -> Option<R>) -> Option<R> {
        self.lock().as_deref().filter(|work| work.loaded.is_some()).and_then(read)
    }

    pub(crate) fn get_in<T: DeserializeOwned>(
        &self,
        work: &Work,
        class: u8,
        key: &str,
    ) -> Result<Option<T>, Error> {
        work.find(class, key, || self.now(), |entry| decode(entry.codec, key, entry.value)).transpose()
    }

    pub(crate) fn read<R>(&self, read: impl FnOnce(&Work) -> Result<R, Error>) -> Result<R, Error> {
        match self.lock().as_deref() {
            None => Err(Error::new(ErrorKind::Busy)),
            Some(work) if work.phase == Phase::Unloaded => Err(Error::new(ErrorKind::NotLoaded)),
            Some(work) => read(work),
        }
    }

    pub(crate) fn write<R>(&self, write: impl FnOnce(&mut Work) -> Result<R, Error>) -> Result<R, Error> {
        write(writable(&mut self.lock())?)
    }

    /// Whether this manager opened it: its record must never be written into another store.
    pub(crate) fn belongs_to<D>(&self, manager: &Inner<D>) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.0.backend), manager)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.backend.now()
    }

    pub(crate) fn config(&self) -> &crate::config::Config {
        self.0.backend.config()
    }

    /// Waits for the turn to talk to the store.
    pub(crate) async fn lease(&self) -> Lease<'_> {
        let counted = Counted::new(&self.0.leases);
        let mut work = self.0.work.lock().await;
        self.hear_wishes(&mut work);
        Lease { work, session: self, _counted: counted }
    }

    fn hear_wishes(&self, work: &mut Work) {
        work.sealed |= self.0.sealed.load(Ordering::Acquire);
        work.request.extend &= !self.0.still.load(Ordering::Acquire);
        if self.0.discarded.load(Ordering::Acquire) {
            work.drop_log();
        }
    }

    /// What the request holds; `None` while a call talks to the store, or waits to.
    pub(crate) fn lock(&self) -> Option<MutexGuard<'_, Work>> {
        for _ in 0..TURNS {
            if let Ok(mut work) = self.0.work.try_lock() {
                self.hear_wishes(&mut work);
                return Some(work);
            }
            if self.0.leases.load(Ordering::Acquire) > 0 {
                return None;
            }
            // Another thread is in a plain call, which takes no time to speak of.
            std::thread::yield_now();
        }
        None
    }
}

/// How often a plain call lets others run before it gives up: only a value that, while it is decoded, asks the very
/// session that it is in comes that far.
const TURNS: u32 = 100_000;

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("loaded", &self.is_loaded()).finish_non_exhaustive()
    }
}

/// What the request holds, for a call that talks to the store. Dropping it, at whatever point, lets the others go on.
pub(crate) struct Lease<'a> {
    work: MutexGuard<'a, Work>,
    session: &'a Session,
    _counted: Counted<'a>,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let client = self.work.client;
        *self.session.0.client.lock().unwrap_or_else(PoisonError::into_inner) = client;
        self.session.hear_wishes(&mut self.work);
    }
}

impl Deref for Lease<'_> {
    type Target = Work;
    fn deref(&self) -> &Work {
        &self.work
    }
}

impl DerefMut for Lease<'_> {
    fn deref_mut(&mut self) -> &mut Work {
        &mut self.work
    }
}

/// Counted from before the wait for a lease until after its end, so that a plain call on the same thread never waits
/// for a task that cannot run meanwhile.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(leases: &'a AtomicUsize) -> Self {
        leases.fetch_add(1, Ordering::AcqRel);
        Self(leases)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn writable<'a>(guard: &'a mut Option<MutexGuard<'_, Work>>) -> Result<&'a mut Work, Error> {
    match guard.as_deref_mut() {
        None => Err(Error::new(ErrorKind::Busy)),
        Some(work) => match work.phase {
            _ if work.sealed => Err(Error::new(ErrorKind::Committed)),
            Phase::Unloaded => Err(Error::new(ErrorKind::NotLoaded)),
            Phase::Open => Ok(work),
        },
    }
}

fn encode_value<T: Serialize + ?Sized>(key: &str, value: &T, codec: Codec) -> Result<Vec<u8>, Error> {
    let parts = NewEntry { class: VALUE, codec: codec.id(), deadline: None, id: None, key };
    parts.encode(|out| codec.encode(key, value, out))?.ok_or_else(|| too_long(key))
}

pub(crate) fn too_long(key: &str) -> Error {
    let detail = format!("a key has at most 65,535 bytes and a value 4 GiB; this key has {}", key.len());
    Error::new(ErrorKind::Name).with_detail(detail)
}

fn at_least_a_second(time: Option<Duration>) -> Result<(), Error> {
    if time.is_some_and(|time| time < MIN_TIME) {
        return Err(Error::new(ErrorKind::Config).with_detail("a timeout is at least one second"));
    }
    Ok(())
}
