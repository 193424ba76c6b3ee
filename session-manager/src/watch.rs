//! The sessions that references follow, and the news that one of them has ended.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use session_core::{Clock, Key, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::outcome::EndReason;
use crate::work::{Loaded, Work};

/// How many ends are remembered for references that a request takes after it has loaded its session.
const RECENT: usize = 256;

/// The references of a manager.
pub(crate) struct Watches {
    interval: Duration,
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The sessions that have references.
    sessions: HashMap<Key, Watched>,
    /// The last ends that this process made or found.
    ended: VecDeque<(Key, EndReason)>,
}

/// A session that has references.
struct Watched {
    followers: Vec<Weak<Follower>>,
    user: Bytes,
    /// When one of the waiting references reads the store and tells the others.
    poll_at: Instant,
}

impl Watches {
    pub(crate) fn new(interval: Duration, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { interval, clock, known: Mutex::default() })
    }

    /// Tells all references that the session under `key` has ended.
    pub(crate) fn end(&self, key: &Key, reason: &EndReason) {
        let mut known = self.lock();
        known.ended.truncate(RECENT - 1);
        known.ended.push_front((key.clone(), reason.clone()));
        let watched = known.sessions.remove(key);
        drop(known);
        let followers = watched.iter().flat_map(|watched| &watched.followers).filter_map(Weak::upgrade);
        followers.for_each(|follower| follower.set_end(key, reason));
    }

    /// The session under `old` has a new id, and its references follow it.
    pub(crate) fn moved(&self, old: &Key, new: &Loaded) {
        let mut known = self.lock();
        let Some(watched) = known.sessions.remove(old) else { return };
        let Watched { followers, user, poll_at } = watched;
        // Kept until the lock is free, because the drop of the last one takes it.
        let followers: Vec<_> = followers.iter().filter_map(Weak::upgrade).collect();
        if !followers.is_empty() {
            let fresh = || Watched { followers: Vec::new(), user, poll_at };
            let there = known.sessions.entry(new.key.clone()).or_insert_with(fresh);
            there.followers.extend(followers.iter().map(Arc::downgrade));
            followers.iter().for_each(|follower| follower.move_to(old, new));
        }
        drop(known);
    }

    /// The session under `key` may have ended: one of the waiting references reads the store now.
    pub(crate) fn poll_now(&self, key: &Key) {
        let mut known = self.lock();
        let Some(watched) = known.sessions.get_mut(key) else { return };
        watched.poll_at = Instant::now();
        // The references are dropped without the lock, because the drop of the last one takes it.
        let followers: Vec<_> = watched.followers.iter().filter_map(Weak::upgrade).collect();
        drop(known);
        followers.iter().for_each(|follower| follower.state.send_modify(|_| {}));
    }

    /// The sessions of a user may have ended.
    pub(crate) fn poll_user_now(&self, user: &str) {
        let keys = |known: &Known| {
            let of_user = known.sessions.iter().filter(|(_, watched)| watched.user == user.as_bytes());
            of_user.map(|(key, _)| key.clone()).collect::<Vec<_>>()
        };
        let keys = keys(&self.lock());
        keys.iter().for_each(|key| self.poll_now(key));
    }

    /// When a waiting reference reads the store.
    pub(crate) fn poll_at(&self, key: &Key) -> Instant {
        let known = self.lock().sessions.get(key).map(|watched| watched.poll_at);
        // Without an entry the end is known already, and the reference is about to be told.
        known.unwrap_or_else(|| Instant::now() + self.interval)
    }

    /// The right to read the store for all references of the session. `None` if another one has read it meanwhile.
    pub(crate) fn claim_poll(&self, loaded: &Loaded) -> Option<Poll<'_>> {
        let rest = self.rest(loaded.expires);
        let mut known = self.lock();
        let now = Instant::now();
        let watched = known.sessions.get_mut(&loaded.key).filter(|watched| watched.poll_at <= now)?;
        watched.poll_at = now + rest;
        Some(Poll { watches: self, key: Some(loaded.key.clone()) })
    }

    /// The time until the next read: up to the interval, random so that many references do not read at once, and not
    /// longer than the session lives.
    fn rest(&self, expires: Option<Timestamp>) -> Duration {
        let rest = self.interval.mul_f64(0.5 + fastrand::f64() / 2.0);
        let now = self.clock.now();
        let life = expires.filter(|at| *at > now).map(|at| at.saturating_since(now));
        life.map_or(rest, |life| rest.min(life + Duration::from_millis(1)))
    }

    /// Returns the reason if the session has ended already.
    fn enter(&self, loaded: &Loaded, user: &Bytes, follower: &Arc<Follower>) -> Option<EndReason> {
        let poll_at = Instant::now() + self.rest(loaded.expires);
        let fresh = || Watched { followers: Vec::new(), user: user.clone(), poll_at };
        let mut known = self.lock();
        if let Some((_, reason)) = known.ended.iter().find(|(key, _)| *key == loaded.key) {
            return Some(reason.clone());
        }
        let watched = known.sessions.entry(loaded.key.clone()).or_insert_with(fresh);
        watched.followers.push(Arc::downgrade(follower));
        None
    }

    fn leave(&self, key: &Key, follower: *const Follower) {
        let mut known = self.lock();
        let Some(watched) = known.sessions.get_mut(key) else { return };
        watched.followers.retain(|one| !std::ptr::eq(one.as_ptr(), follower));
        if watched.followers.is_empty() {
            known.sessions.remove(key);
        }
    }

    /// A reference has read the session.
    fn refresh(&self, loaded: &Loaded, user: &Bytes) {
        let poll_at = Instant::now() + self.rest(loaded.expires);
        if let Some(watched) = self.lock().sessions.get_mut(&loaded.key) {
            (watched.user, watched.poll_at) = (user.clone(), poll_at);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to read the store for all references of a session. If dropped before the end of the read, another reference
/// reads.
pub(crate) struct Poll<'a> {
    watches: &'a Watches,
    key: Option<Key>,
}

impl Poll<'_> {
    pub(crate) fn done(mut self) {
        self.key = None;
    }
}

impl Drop for Poll<'_> {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            self.watches.poll_now(key);
        }
    }
}

/// The place of a session, which the clones of a reference share.
pub(crate) struct Follower {
    pub(crate) watches: Arc<Watches>,
    state: watch::Sender<State>,
}

/// The session of a reference.
pub(crate) enum Now {
    /// It was under this id when this process last saw it.
    At(Loaded),
    /// The request of the reference has not stored it.
    Unstored,
    /// It has ended for good.
    Ended(EndReason),
    /// The request of the reference is about to find out, or to give it a new id.
    Wait,
}

#[derive(Default)]
struct State {
    /// `None` while the session is not stored.
    at: Option<Loaded>,
    /// The end of the session that had this key. The request of the reference may have given it a new id since.
    end: Option<(Key, EndReason)>,
    /// The request of the reference is talking to the store, or has lost an answer.
    busy: bool,
    /// That request has ended, so it stores nothing any more.
    over: bool,
    /// A caller has learned of the end, so it is final.
    told: bool,
}

impl State {
    fn end(&self) -> Option<&EndReason> {
        let at = self.at.as_ref();
        match &self.end {
            Some((key, reason)) if at.is_some_and(|at| at.key == *key) => Some(reason),
            // As for an id without a record.
            _ if at.is_none() && self.over => Some(&EndReason::Expired),
            _ => None,
        }
    }

    fn now(&self) -> Now {
        match (&self.at, self.end()) {
            (Some(at), None) => Now::At(at.clone()),
            _ if self.busy => Now::Wait,
            (_, Some(reason)) => Now::Ended(reason.clone()),
            (None, None) => Now::Unstored,
        }
    }
}

impl Follower {
    /// Where the session is. An end that this returns is final.
    pub(crate) fn now(&self) -> Now {
        let mut now = Now::Wait;
        self.state.send_if_modified(|state| {
            now = state.now();
            state.told |= matches!(now, Now::Ended(_));
            false
        });
        now
    }

    /// A receiver that is woken when [`now`](Self::now) has changed, or when it is time to read the store.
    pub(crate) fn changes(&self) -> watch::Receiver<impl Sized + use<>> {
        self.state.subscribe()
    }

    fn move_to(&self, old: &Key, new: &Loaded) {
        self.state.send_if_modified(|state| {
            let at = state.at.as_mut().filter(|at| at.key == *old);
            at.map(|at| *at = new.clone()).is_some()
        });
    }

    pub(crate) fn set_end(&self, key: &Key, reason: &EndReason) {
        self.state.send_if_modified(|state| {
            let news = state.end().is_none();
            if news {
                state.end = Some((key.clone(), reason.clone()));
            }
            news
        });
    }

    /// The session was read.
    pub(crate) fn refresh(&self, work: &Work) {
        let Some(loaded) = work.loaded() else { return };
        self.watches.refresh(loaded, &work.table().header.user_bytes());
        self.state.send_if_modified(|state| {
            if let Some(at) = state.at.as_mut().filter(|at| at.key == loaded.key) {
                *at = loaded.clone();
            }
            false
        });
    }

    pub(crate) fn key(&self) -> Option<Key> {
        self.state.borrow().at.as_ref().map(|at| at.key.clone())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let Some(key) = self.key() {
            self.watches.leave(&key, self);
        }
    }
}

/// The request's end of a reference: moves the reference where the request moves its session. Its drop says that the
/// request stores nothing any more.
pub(crate) struct Tie(Arc<Follower>);

impl Tie {
    /// A new reference. `work` is `None` while another task of the request talks to the store.
    pub(crate) fn new(watches: &Arc<Watches>, work: Option<&Work>) -> Self {
        let state = watch::Sender::new(State { busy: true, ..State::default() });
        let tie = Self(Arc::new(Follower { watches: Arc::clone(watches), state }));
        work.into_iter().for_each(|work| tie.follow(work));
        tie
    }

    /// The other end.
    pub(crate) fn follower(&self) -> &Arc<Follower> {
        &self.0
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.0.state.borrow().end().is_some()
    }

    /// The request begins to talk to the store.
    pub(crate) fn begin(&self) {
        self.0.state.send_modify(|state| state.busy = true);
    }

    /// The request has talked to the store.
    pub(crate) fn follow(&self, work: &Work) {
        let Self(follower) = self;
        let old = follower.key();
        let mut moved = None;
        follower.state.send_modify(|state| {
            state.busy = work.pending().is_some();
            match (work.loaded(), &state.at) {
                (Some(loaded), at) if !state.told => {
                    moved = Some(loaded).filter(|_| at.as_ref().is_none_or(|at| at.key != loaded.key));
                    state.at = Some(loaded.clone());
                }
                (None, Some(at)) if state.end().is_none() => {
                    let reason = work.end().cloned().unwrap_or(EndReason::Revoked);
                    state.end = Some((at.key.clone(), reason));
                }
                _ => {}
            }
        });
        if let Some(loaded) = moved {
            old.iter().for_each(|old| follower.watches.leave(old, &raw const **follower));
            let ended = follower.watches.enter(loaded, &work.table().header.user_bytes(), follower);
            ended.iter().for_each(|reason| follower.set_end(&loaded.key, reason));
        }
    }
}

impl Drop for Tie {
    fn drop(&mut self) {
        self.0.state.send_modify(|state| (state.busy, state.over) = (false, true));
    }
}

#[cfg(test)]
mod tests {
    use session_core::{Revision, SessionId, TestClock};

    use super::*;
    use crate::table::{Header, Table};

    fn work(byte: u8) -> Box<Work> {
        let id = SessionId::from_bytes([byte; 24]);
        let revision = Revision::from_bytes([byte; 8]);
        let header = Header::new(Duration::from_secs(60), None);
        Work::stored(Loaded { id, key: id.key(), revision, expires: None }, Table::unstored(header))
    }

    fn watches() -> Arc<Watches> {
        Watches::new(Duration::from_secs(1), Arc::new(TestClock::new(Timestamp::from_millis(1))))
    }

    #[test]
    fn sessions_without_references_are_forgotten() {
        let watches = watches();
        let count = || watches.lock().sessions.len();
        for end in [false, true] {
            // The second round ends the session, so no third one could begin with it.
            let (one, two) = (Tie::new(&watches, Some(&work(1))), Tie::new(&watches, Some(&work(1))));
            let followers = [Arc::clone(one.follower()), Arc::clone(two.follower())];
            assert_eq!(count(), 1);
            one.follow(&work(2));
            assert_eq!(count(), 2);
            if end {
                let id = SessionId::from_bytes([1; 24]);
                watches.end(&id.key(), &EndReason::Replaced);
                assert_eq!(count(), 1);
            }
            drop((one, two));
            assert_eq!(count(), if end { 1 } else { 2 });
            drop(followers);
            assert_eq!(count(), 0);
        }
        // A reference that is taken after the end knows of it.
        let late = Tie::new(&watches, Some(&work(1)));
        assert!(matches!(late.follower().now(), Now::Ended(EndReason::Replaced)));
        for byte in 0..=255 {
            let id = SessionId::from_bytes([byte; 24]);
            (0..2).for_each(|_| watches.end(&id.key(), &EndReason::Expired));
        }
        assert_eq!((count(), watches.lock().ended.len()), (0, RECENT));
    }

    #[test]
    fn told_end_is_not_followed() {
        let watches = watches();
        let tie = Tie::new(&watches, Some(&work(1)));
        watches.end(&SessionId::from_bytes([1; 24]).key(), &EndReason::Replaced);
        tie.begin();
        assert!(matches!(tie.follower().now(), Now::Wait));
        tie.follow(&work(2));
        assert!(matches!(tie.follower().now(), Now::At(_)));
        watches.end(&SessionId::from_bytes([2; 24]).key(), &EndReason::Revoked);
        assert!(matches!(tie.follower().now(), Now::Ended(EndReason::Revoked)));
        tie.begin();
        tie.follow(&work(3));
        assert!(matches!(tie.follower().now(), Now::Ended(EndReason::Revoked)));
        assert_eq!(watches.lock().sessions.len(), 0);
    }
}
