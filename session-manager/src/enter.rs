//! The index of a user's sessions: entering and leaving it.
//!
//! A session is in the index before a client has its id, or, if the client has it, before the user is bound to it. So no
//! crash leaves a session of a user that the index does not know.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use session_core::{
    Applied, Change, Condition, Driver, Key, Record, Revision, StoreError, StoreErrorKind, Timestamp, random,
    yield_now,
};

use crate::config::{OnCorrupt, OnTooMany};
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::forward::MOVES;
use crate::index::{Index, Listed, key_of};
use crate::manager::Manager;
use crate::outcome::EndReason;
use crate::settle::{Before, Patience, Removal};
use crate::table::{Content, Header, Table};
use crate::work::Work;

/// How many entries a use of the index checks by retrieve.
const CHECKS: usize = 32;

/// How long an entry may wait for its session to be bound to the user.
const BINDING_TIME: Duration = Duration::from_secs(60);

/// How many lost answers of one change are followed by another try.
const LOST: u32 = 3;

/// The stored index of a user.
pub(crate) struct Stored {
    pub(crate) key: Key,
    pub(crate) index: Index,
    /// The record of the index, if there is one that the driver can read.
    record: Option<Record>,
    pub(crate) deadline: Option<Option<Timestamp>>,
    /// The driver cannot read the record. `repair.rs` replaces it before a change.
    pub(crate) damaged: bool,
}

/// A session that enters the index.
pub(crate) struct Entrant<'a> {
    pub(crate) user: &'a str,
    pub(crate) key: &'a Key,
    pub(crate) deadline: Option<Timestamp>,
    /// The session that it is about to replace.
    pub(crate) replaces: Option<&'a Key>,
}

/// How often one change of an index was tried.
struct Tries {
    patience: Patience,
    lost: u32,
}

impl Tries {
    fn new() -> Self {
        Self { patience: Patience::new(), lost: 0 }
    }
}

/// Changes.
impl<D: Driver> Manager<D> {
    pub(crate) async fn enter(&self, entrant: Entrant<'_>) -> Result<(), Error> {
        let Entrant { user, key, deadline, replaces } = entrant;
        let mut tries = Tries::new();
        loop {
            let now = self.clock.now();
            let mut stored = self.index_to_change(user).await?;
            stored.index.correct(now);
            stored.index.drop_expired(now);
            let damaged = self.drop_ended(&mut stored.index, user, key).await?;
            if let Some((most, on_too_many)) = self.config.max_user_sessions {
                let mut excess = excess(&stored.index, &entrant, &damaged, most);
                if let Some(old) = replaces.filter(|_| !excess.is_empty())
                    && !matches!(self.session_at(old).await?, At::Session(_))
                {
                    // Another rotation was first. This one cannot complete and must not end its successor.
                    excess.clear();
                }
                if !excess.is_empty() && on_too_many == OnTooMany::Reject {
                    return Err(Error::new(ErrorKind::TooManySessions));
                }
                // Ended before they leave the index, so that a crash leaves none that the index does not know.
                for (done, key) in excess.iter().enumerate() {
                    self.end_entry(key, user, "too many sessions".into()).await?;
                    yield_after(done).await;
                }
                stored.index.drop_all(&excess);
            }
            stored.index.put(key, deadline, replaces, now);
            if self.swap(stored, &mut tries).await? {
                return Ok(());
            }
        }
    }

    /// Removes sessions from the index after their end.
    pub(crate) async fn leave(&self, user: &str, keys: &[Key]) -> Result<(), Error> {
        let mut tries = Tries::new();
        loop {
            let mut stored = self.index_to_change(user).await?;
            let count = stored.index.entries.len();
            stored.index.drop_all(keys);
            if stored.index.entries.len() == count {
                return Ok(());
            }
            stored.index.drop_expired(self.clock.now());
            if self.swap(stored, &mut tries).await? {
                return Ok(());
            }
        }
    }

    /// Ends all sessions of the user but one, if that one lives. Returns how many this call ended.
    ///
    /// A session that cannot be ended stays in the index, and its error is returned after all others have ended.
    pub(crate) async fn end_sessions(
        &self,
        user: &str,
        but: Option<&Key>,
        reason: Cow<'static, str>,
    ) -> Result<usize, Error> {
        if self.config.user_epochs && but.is_none() {
            // One write after which no present session of the user is accepted.
            self.epoch_of(user, |_| false).await?;
        }
        let mut ended = 0;
        let mut tries = Tries::new();
        loop {
            let mut stored = self.index_to_change(user).await?;
            // A renewal of its id may have moved it.
            let own = match but {
                Some(but) => Some(self.newest(but).await?),
                None => None,
            };
            if let Some((_, at)) = &own
                && !self.is_session_of(at, user, stored.index.epoch)
            {
                return Ok(ended);
            }
            let but = own.as_ref().map(|(key, _)| key);
            // A rotation is about to move it there.
            let stays = |entry: &Listed| {
                but.is_some_and(|but| entry.key == *but || entry.replaces.as_ref() == Some(but))
            };
            let count = stored.index.entries.len();
            let mut failed = Ok(());
            let mut stay = HashSet::new();
            for (done, entry) in stored.index.entries.iter().filter(|entry| !stays(entry)).enumerate() {
                match self.end_entry(&entry.key, user, reason.clone()).await {
                    Ok(removed) => ended += usize::from(removed),
                    Err(error) if error.kind() == ErrorKind::Corrupt => {
                        stay.insert(entry.key.clone());
                        failed = Err(error);
                    }
                    Err(error) => return Err(error),
                }
                yield_after(done).await;
            }
            stored.index.keep(|entry| stays(entry) || stay.contains(&entry.key));
            // A session that has entered meanwhile makes the swap fail, and is ended too.
            if stored.index.entries.len() == count || self.swap(stored, &mut tries).await? {
                return failed.map(|()| ended);
            }
        }
    }

    /// Whether this is a session of the user. One that was rotated meanwhile has another key.
    fn is_session_of(&self, at: &At, user: &str, epoch: u64) -> bool {
        let At::Session(found) = at else { return false };
        let header = &found.table.header;
        header.user() == Some(user) && (!self.config.user_epochs || header.epoch == epoch)
    }

    /// The epoch of a user, if `keeps` accepts it; otherwise a new one.
    async fn epoch_of(&self, user: &str, keeps: impl Fn(u64) -> bool) -> Result<u64, Error> {
        let mut tries = Tries::new();
        loop {
            let mut stored = self.index_to_change(user).await?;
            if keeps(stored.index.epoch) {
                return Ok(stored.index.epoch);
            }
            let epoch = u64::from_le_bytes(random::bytes()?).max(1);
            stored.index.epoch = epoch;
            // The epoch is there for as long as any session from before it could live.
            let last = stored.index.deadline(stored.deadline);
            let least = self.config.lifetime.map(|lifetime| self.clock.now().saturating_add(lifetime));
            stored.deadline = Some(last.zip(least).map(|(last, least)| last.max(least)));
            if self.swap(stored, &mut tries).await? {
                return Ok(epoch);
            }
        }
    }

    /// Ends the session under `key`, unless it is bound to another user. The user of a damaged session is unknown: the
    /// index is believed.
    async fn end_entry(&self, key: &Key, user: &str, reason: Cow<'static, str>) -> Result<bool, Error> {
        match self.session_at(key).await? {
            At::Session(found) if found.table.header.user().is_some_and(|other| other != user) => Ok(false),
            found => self.end_found(key, &found, reason).await,
        }
    }

    /// Ends the session, or removes the damaged record, that was found under `key`. Returns whether this call did it.
    pub(crate) async fn end_found(
        &self,
        key: &Key,
        found: &At,
        reason: Cow<'static, str>,
    ) -> Result<bool, Error> {
        let mut key = key.clone();
        let removed = match found {
            At::Session(StoredSession { revision, .. }) | At::Damaged(Some(revision)) => {
                self.end_record(&mut key, *revision).await? == Removal::Removed
            }
            At::Damaged(None) => self.end_damaged(&key).await? == Removal::Removed,
            At::Nothing | At::Moved(_) => false,
        };
        if removed {
            self.emit(Some(&key), &Event::Ended(EndReason::Destroyed(reason)));
        }
        Ok(removed)
    }

    /// Drops entries whose session has ended or belongs to another user. Returns those whose record is damaged: they
    /// stay, because the record may be readable again.
    async fn drop_ended(&self, index: &mut Index, user: &str, own: &Key) -> Result<HashSet<Key>, Error> {
        let count = index.entries.len();
        let (from, checks) = match self.config.max_user_sessions {
            None if count > CHECKS => (fastrand::usize(..count), CHECKS),
            _ => (0, count),
        };
        let (mut ended, mut damaged) = (Vec::new(), HashSet::new());
        let checked = index.entries.iter().cycle().skip(from).take(checks);
        for (done, entry) in checked.filter(|entry| entry.key != *own).enumerate() {
            let waits = self.clock.now() < entry.entered.saturating_add(BINDING_TIME);
            match self.session_at(&entry.key).await? {
                At::Session(found) if waits || found.table.header.user() == Some(user) => {}
                At::Damaged(_) => drop(damaged.insert(entry.key.clone())),
                _ => ended.push(entry.key.clone()),
            }
            yield_after(done).await;
        }
        index.drop_all(&ended);
        Ok(damaged)
    }

    /// Stores a changed index on the condition of its revision. `false` if another request has changed it, or the answer
    /// was lost: the caller starts again.
    async fn swap(&self, stored: Stored, tries: &mut Tries) -> Result<bool, Error> {
        let Stored { key, index, record: before, deadline, .. } = stored;
        let condition =
            before.as_ref().map_or(Condition::Absent, |record| Condition::Revision(record.revision));
        let answer = if index.is_empty() {
            self.remove_if(&key, condition).await
        } else {
            let expires = index.deadline(deadline);
            let record = Record { data: index.data(), expires, revision: Revision::random()? };
            match &before {
                Some(before) => self.store_before(&key, record, Before::Loaded(before)).await,
                None => self.store_if(&key, record, condition).await,
            }
        };
        match answer {
            Ok(Change::Applied) => return Ok(true),
            Ok(Change::Conflict(_)) => {}
            Err(error) if error.applied() == Applied::Unknown && tries.lost < LOST => tries.lost += 1,
            Err(error) => return Err(error.into()),
        }
        tries.patience.spend().await?;
        Ok(false)
    }
}

/// The oldest sessions that are too many if one more enters. A session counts once while a rotation moves it, and ends
/// under both keys, the old one first: after that the rotation cannot complete.
fn excess(index: &Index, entrant: &Entrant<'_>, damaged: &HashSet<Key>, most: usize) -> Vec<Key> {
    let listed: HashSet<_> = index.entries.iter().map(|entry| &entry.key).collect();
    let is_moving =
        |key: &Key| (listed.contains(key) || Some(key) == entrant.replaces) && !damaged.contains(key);
    let moves = |entry: &Listed| entry.replaces.as_ref().is_some_and(is_moving);
    let is_other = |entry: &&Listed| {
        entry.key != *entrant.key
            && Some(&entry.key) != entrant.replaces
            && !damaged.contains(&entry.key)
            && !moves(entry)
    };
    let mut others: Vec<_> = index.entries.iter().filter(is_other).collect();
    others.sort_by_key(|entry| entry.entered);
    others.truncate((others.len() + 1).saturating_sub(most));
    let mut excess: Vec<_> = others.into_iter().map(|entry| entry.key.clone()).collect();
    let mut chosen: HashSet<_> = excess.iter().cloned().collect();
    for entry in &index.entries {
        if moves(entry) && entry.replaces.as_ref().is_some_and(|key| chosen.contains(key)) {
            chosen.insert(entry.key.clone());
            excess.push(entry.key.clone());
        }
    }
    excess
}

/// Gives other tasks a turn after every few items of a long loop.
pub(crate) async fn yield_after(done: usize) {
    if done % 16 == 15 {
        yield_now().await;
    }
}

/// The content of the store under the key of a session.
pub(crate) enum At {
    Session(StoredSession),
    /// No record, or a tombstone.
    Nothing,
    /// A record that the driver or this release cannot read; with its revision, if the driver can.
    Damaged(Option<Revision>),
    /// A timed renewal has moved the session to this key.
    Moved(Key),
}

/// A session as it is stored.
pub(crate) struct StoredSession {
    pub(crate) revision: Revision,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) table: Table,
}

/// Reads.
impl<D: Driver> Manager<D> {
    /// The session under `key`. A damaged record is an event.
    pub(crate) async fn session_at(&self, key: &Key) -> Result<At, Error> {
        let record = match self.driver.retrieve(key).await {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(At::Nothing),
            Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                self.emit(Some(key), &Event::Corrupt);
                return Ok(At::Damaged(None));
            }
            Err(error) => return Err(error.into()),
        };
        let Record { data, expires, revision } = record;
        Ok(match Table::parse(data) {
            Ok(Content::Session(table)) => At::Session(StoredSession { revision, expires, table }),
            Ok(Content::Tombstone(_)) => At::Nothing,
            Ok(Content::Forwarder(forwarder)) => At::Moved(forwarder.to),
            Err(_) => {
                self.emit(Some(key), &Event::Corrupt);
                At::Damaged(Some(revision))
            }
        })
    }

    /// The same, where timed renewals have moved the session; and its key there.
    pub(crate) async fn newest(&self, key: &Key) -> Result<(Key, At), Error> {
        let mut at = (key.clone(), self.session_at(key).await?);
        for _ in 0..MOVES {
            let At::Moved(to) = at.1 else { break };
            let found = self.session_at(&to).await?;
            at = (to, found);
        }
        Ok(at)
    }

    /// The index of a user. A damaged one is an event, and lists nothing or is an error, as [`OnCorrupt`] says.
    pub(crate) async fn index_of(&self, user: &str) -> Result<Stored, Error> {
        self.index_reporting(user, &mut false).await
    }

    /// [`index_of`](Self::index_of), for a caller that reads it several times: the event is emitted once.
    pub(crate) async fn index_reporting(&self, user: &str, reported: &mut bool) -> Result<Stored, Error> {
        let key = key_of(user);
        let record = match self.driver.retrieve(&key).await {
            Ok(Some(record)) => record,
            Ok(None) => {
                let index = Index::default();
                return Ok(Stored { key, index, record: None, deadline: None, damaged: false });
            }
            Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                let index = self.instead_of_damaged(Some(error), random::bytes()?, reported)?;
                // Its deadline is unknown, and so are those of its sessions.
                return Ok(Stored { key, index, record: None, deadline: Some(None), damaged: true });
            }
            Err(error) => return Err(error.into()),
        };
        let index = match Index::parse(&record.data) {
            Ok(index) => index,
            Err(_) => self.instead_of_damaged(None, record.revision.to_bytes(), reported)?,
        };
        let deadline = Some(record.expires);
        Ok(Stored { key, index, record: Some(record), deadline, damaged: false })
    }

    /// An index with an epoch that no session has: epoch 0 would bring back sessions that an epoch has ended.
    #[cold]
    fn instead_of_damaged(
        &self,
        cause: Option<StoreError>,
        epoch: [u8; 8],
        reported: &mut bool,
    ) -> Result<Index, Error> {
        if !std::mem::replace(reported, true) {
            self.emit(None, &Event::Corrupt);
        }
        if self.config.on_corrupt == OnCorrupt::Fail {
            let error = Error::new(ErrorKind::Corrupt).with_detail("the index of a user");
            return Err(match cause {
                Some(cause) => error.with_source(cause),
                None => error,
            });
        }
        let mut index = Index::default();
        if self.config.user_epochs {
            index.epoch = u64::from_le_bytes(epoch) | 1 << 63;
        }
        Ok(index)
    }

    /// Whether a session has the epoch of its user. Sessions with another epoch have ended.
    pub(crate) async fn has_epoch(&self, header: Header) -> Result<bool, Error> {
        match header.user() {
            Some(user) => {
                let epoch = self.index_of(user).await?.index.epoch;
                // No session that a client keeps has epoch 0. It is the epoch of a user without an index, and an index
                // may end or be lost before a copy of a session does.
                Ok(epoch == header.epoch && !(epoch == 0 && self.config.carried.is_some()))
            }
            None => Ok(true),
        }
    }
}

/// Reads of many sessions.
impl<D: Driver> Manager<D> {
    /// [`has_epoch`](Self::has_epoch), with one retrieve per user. Without epochs every session has its own.
    pub(crate) async fn has_known_epoch(
        &self,
        header: &Header,
        known: &mut HashMap<Bytes, u64>,
    ) -> Result<bool, Error> {
        let Some(user) = header.user().filter(|_| self.config.user_epochs) else { return Ok(true) };
        let epoch = match known.get(user.as_bytes()) {
            Some(epoch) => *epoch,
            None => {
                let epoch = self.index_of(user).await?.index.epoch;
                known.insert(header.user_bytes(), epoch);
                epoch
            }
        };
        Ok(epoch == header.epoch)
    }
}

/// The index in a commit.
impl<D: Driver> Manager<D> {
    /// Enters a session whose table is about to be stored, or is stored and not yet in use.
    pub(crate) async fn enter_table(
        &self,
        table: &Table,
        key: &Key,
        replaces: Option<&Key>,
    ) -> Result<(), Error> {
        let Some(user) = table.header.user().filter(|_| self.config.index_users) else { return Ok(()) };
        let entrant = Entrant { user, key, deadline: table.header.absolute, replaces };
        Box::pin(self.enter(entrant)).await.map_err(Error::without_effect)
    }

    /// Enters the session that the pending call has created. If that fails, it removes the session again.
    pub(crate) async fn enter_created(&self, work: &mut Work) -> Result<(), Error> {
        let Some(pending) = work.pending().filter(|pending| pending.table.header.user().is_some()) else {
            return Ok(());
        };
        let entered = self.enter_table(&pending.table, &pending.next.key, None).await;
        if entered.is_err() {
            self.abandon(&pending.next).await;
            work.forget_pending();
        }
        entered
    }

    /// A session with this header has ended or lost its user. If the index cannot be changed now, its next use does it.
    pub(crate) async fn leave_header(&self, header: &Header, key: &Key) {
        if let Some(user) = header.user().filter(|_| self.config.index_users) {
            self.try_to_leave(user, key).await;
        }
    }

    /// Removes a session from the index, if that is possible now. Otherwise the next use of the index does it.
    pub(crate) async fn try_to_leave(&self, user: &str, key: &Key) {
        if Box::pin(self.leave(user, std::slice::from_ref(key))).await.is_err() {
            self.emit(Some(key), &Event::LeaveFailed);
        }
    }

    /// The session with its user before the pending call.
    pub(crate) fn bound_before(&self, work: &Work) -> Option<Box<(Header, Key)>> {
        let loaded = work.loaded().filter(|_| self.config.index_users)?;
        Some(&work.table().header)
            .filter(|header| header.user().is_some())
            .map(|header| Box::new((header.clone(), loaded.key.clone())))
    }

    /// The session has another user now, or none. If it has the same user, the next use of the index finds out whether
    /// its old key has ended.
    pub(crate) async fn leave_old(&self, now: &Header, old: Box<(Header, Key)>) {
        let (header, key) = &*old;
        if now.user() != header.user() {
            self.leave_header(header, key).await;
        }
    }

    /// Gives a session whose user this request binds the user's present epoch.
    pub(crate) async fn stamp_epoch(&self, work: &mut Work) -> Result<(), Error> {
        let Some(user) = work.binds_user().filter(|_| self.config.user_epochs) else { return Ok(()) };
        let keeps = |epoch| epoch != 0 || self.config.carried.is_none();
        let epoch = Box::pin(self.epoch_of(user, keeps)).await.map_err(Error::without_effect)?;
        work.set_epoch(epoch);
        Ok(())
    }
}
