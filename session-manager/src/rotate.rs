//! Rotation and renewal: the same session under a new id.

use bytes::Bytes;
use session_core::{Change, Condition, Driver, Key, Record, Revision, Timestamp};

use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::forward::Forwarder;
use crate::manager::Manager;
use crate::outcome::{Committed, EndReason, Outcome};
use crate::settle::{Before, DRAWS, New, Patience};
use crate::table::{TOMBSTONE_DATA, TOMBSTONE_TIME, Table};
use crate::work::{Loaded, Pending, Work};

/// Why a session gets a new id.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A call of `rotate` or `login`. A new absolute lifetime begins, and the old id opens nothing.
    Rotation,
    /// Its renewal timeout. The times stay, and the old id leads to the new one.
    Renewal,
}

/// The record under the new id.
struct Successor {
    next: Loaded,
    table: Table,
}

impl Successor {
    fn record(&self) -> Record {
        Record { data: self.table.data().clone(), expires: self.next.expires, revision: self.next.revision }
    }
}

impl<D: Driver> Manager<D> {
    /// 1. The data is stored under a new id.
    /// 2. A tombstone replaces the old record, on the condition of its revision. If another request wrote first, the
    ///    log is replayed on its data, the new record is rewritten, and step 2 is tried again.
    ///
    /// A crash between the two steps leaves the old session unchanged, and a record that no client can reach until its
    /// deadline.
    pub(crate) async fn rotate(&self, work: &mut Work, cause: Cause) -> Result<Committed, Error> {
        let mut patience = Patience::new();
        if let Some(reason) = self.overdue(work, &mut patience).await? {
            return Ok(self.ended(work, reason, patience.tries()));
        }
        self.correct_times(work)?;
        work.switch_user(self.clock.now())?;
        self.stamp_epoch(work).await?;
        let mut new = self.place(work, cause).await?;
        let mut entered = None;
        loop {
            let same_user = work.table().header.user_bytes() == new.table.header.user_bytes();
            let replaces = work.loaded().filter(|_| same_user).map(|loaded| loaded.key.clone());
            if let Err(error) = self.enter_successor(&new, replaces, &mut entered).await {
                self.give_up(&new.next, &mut entered).await;
                return Err(error);
            }
            match self.replace_old(work, &new, cause, &mut patience).await {
                Ok(None) => {
                    let old = self.bound_before(work);
                    let outcome = self.rotated(work)?;
                    if let Some(old) = old {
                        self.leave_old(&work.table().header, old).await;
                    }
                    return Ok(Committed { replays: patience.tries(), ..Committed::new(outcome) });
                }
                Ok(Some(Next::Ended(reason))) => {
                    self.give_up(&new.next, &mut entered).await;
                    return Ok(self.ended(work, reason, patience.tries()));
                }
                // Another request has renewed the id meanwhile.
                Ok(Some(Next::Again)) if cause == Cause::Renewal && !work.presented_id() => {
                    self.give_up(&new.next, &mut entered).await;
                    return Box::pin(self.change_in_place(work)).await;
                }
                Ok(Some(Next::Again)) => {}
                Err(error) => {
                    if error.kind() != ErrorKind::Uncertain || work.pending().is_none() {
                        self.give_up(&new.next, &mut entered).await;
                    }
                    return Err(error);
                }
            }
            let stamped = match self.correct_times(work) {
                Ok(()) => self.stamp_epoch(work).await,
                Err(error) => Err(error),
            };
            let again = match stamped {
                Ok(()) => self.place_again(work, &new.next, cause).await,
                Err(error) => Err(error),
            };
            match again {
                Ok(Some(newer)) => new = newer,
                // No client knows the new id, so an operator or an evicting store removed it. The old session lives.
                Ok(None) => {
                    self.give_up(&new.next, &mut entered).await;
                    new = self.place(work, cause).await?;
                }
                Err(error) => {
                    self.give_up(&new.next, &mut entered).await;
                    return Err(error);
                }
            }
        }
    }

    /// Enters the new record in the index of its user before any client has its id.
    async fn enter_successor(
        &self,
        new: &Successor,
        replaces: Option<Key>,
        entered: &mut Option<(Bytes, Key)>,
    ) -> Result<(), Error> {
        let (user, key) = (new.table.header.user_bytes(), &new.next.key);
        if user.is_empty()
            || !self.config.index_users
            || entered.as_ref().is_some_and(|(was, at)| (was, at) == (&user, key))
        {
            return Ok(());
        }
        self.enter_table(&new.table, key, replaces.as_ref()).await?;
        *entered = Some((user, key.clone()));
        Ok(())
    }

    /// Removes a new record that will not be used, from the index too.
    async fn give_up(&self, next: &Loaded, entered: &mut Option<(Bytes, Key)>) {
        self.abandon(next).await;
        let Some((user, key)) = entered.take() else { return };
        if let Ok(user) = std::str::from_utf8(&user) {
            self.try_to_leave(user, &key).await;
        }
    }

    /// Step 2. `None` if the tombstone is placed.
    async fn replace_old(
        &self,
        work: &mut Work,
        new: &Successor,
        cause: Cause,
        patience: &mut Patience,
    ) -> Result<Option<Next>, Error> {
        let Some(old) = work.loaded().cloned() else { return Ok(Some(Next::Ended(EndReason::Revoked))) };
        let (data, expires) = match cause {
            Cause::Rotation => {
                (self.tombstone_data(work), Some(self.clock.now().saturating_add(TOMBSTONE_TIME)))
            }
            Cause::Renewal => (Forwarder::new(old.id, new.next.id).data(), new.next.expires),
        };
        let tombstone = Record { data, expires, revision: Revision::random()? };
        let placed = Some(Box::new((old.key.clone(), tombstone.clone())));
        work.begin(work.prepare(new.next.clone(), new.table.clone(), Some(old.revision), placed));
        let before = work.loaded_record(old.revision);
        let placed = self.replace(&old.key, || tombstone.clone(), Before::Loaded(&before), true).await;
        let found = match placed {
            Ok(Change::Applied) => return Ok(None),
            answer => match work.answered(answer)? {
                Change::Applied => None,
                Change::Conflict(found) => found,
            },
        };
        Ok(Some(self.rebase(work, found, patience).await?.map_or(Next::Again, Next::Ended)))
    }

    /// A login leaves the anonymous data that it replaces, for another login with the old id.
    fn tombstone_data(&self, work: &Work) -> Bytes {
        match work.login() {
            Some(_) => work.tombstone(self.driver.capabilities().max_record_bytes),
            None => Bytes::from_static(&TOMBSTONE_DATA),
        }
    }

    /// Stores the session under a new id. If it fails, the session is unchanged.
    async fn place(&self, work: &mut Work, cause: Cause) -> Result<Successor, Error> {
        let mut last = New::Taken;
        for _ in 0..DRAWS {
            let (table, expires) = self.successor(work, cause)?;
            let new = Successor { next: self.draw(expires)?, table };
            last = self.store_new(&new.next.key, new.record()).await.map_err(Error::without_effect)?;
            if matches!(last, New::Stored) {
                return Ok(new);
            }
        }
        Err(last.into_error())
    }

    /// Rewrites the new record after a replay. `None` if it is gone.
    async fn place_again(
        &self,
        work: &mut Work,
        next: &Loaded,
        cause: Cause,
    ) -> Result<Option<Successor>, Error> {
        let (table, expires) = self.successor(work, cause)?;
        let new =
            Successor { next: Loaded { revision: Revision::random()?, expires, ..next.clone() }, table };
        let answer = self.replace(&next.key, || new.record(), Before::Revision(next.revision), false).await;
        Ok(answer.map_err(Error::without_effect)?.is_applied().then_some(new))
    }

    fn successor(&self, work: &mut Work, cause: Cause) -> Result<(Table, Option<Timestamp>), Error> {
        let now = self.clock.now();
        let before = work.loaded().map(|loaded| loaded.key.clone());
        let draft = work.draft(now, |header| match cause {
            Cause::Rotation => header.start(now),
            Cause::Renewal => header.set_renewal(Some((now, before.as_ref()))),
        });
        let expires = Some(draft.header.deadline(now));
        let table = work.table_of(draft, now);
        self.check_size(&table, work.table())?;
        Ok((table, expires))
    }

    /// The tombstone or the forwarder is placed: the session continues under the new id.
    pub(crate) fn rotated(&self, work: &mut Work) -> Result<Outcome, Error> {
        if let Some(next) = work.pending().map(|pending| pending.next.clone()) {
            let renewed = work.pending().is_some_and(Pending::is_renewal);
            let old = work.loaded().map(|loaded| loaded.key.clone());
            work.adopt(true, self.clock.now())?;
            work.clear_end();
            let Some(old) = old else { return Ok(Outcome::Rotated) };
            if renewed {
                self.emit(Some(&next.key), &Event::Renewed { from: self.tag(&old) });
                self.watches.moved(&old, &next);
                return Ok(Outcome::Renewed);
            }
            self.emit(Some(&next.key), &Event::Rotated { from: self.tag(&old) });
            self.watches.end(&old, &EndReason::Replaced);
        }
        Ok(Outcome::Rotated)
    }

    /// Removes a new record that will not be used. If that fails, no client can reach it until its deadline, and the
    /// failure that led here is the one to report.
    pub(crate) async fn abandon(&self, next: &Loaded) {
        drop(self.driver.remove(&next.key, Condition::Any).await);
    }
}

/// What follows if the tombstone was not placed.
enum Next {
    Again,
    Ended(EndReason),
}
