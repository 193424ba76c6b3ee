//! Commit: creating, updating, touching.

use std::time::Duration;

use bytes::Bytes;
use session_core::{Change, Driver, Record, StoreErrorKind, Timestamp, is_live};

use crate::check::Agent;
use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::op::Op;
use crate::outcome::{Committed, EndReason, IdUpdate, Outcome};
use crate::random;
use crate::session::Session;
use crate::sessions::Inner;
use crate::settle::{DRAWS, New, Patience};
use crate::table::{Content, FLASH, Header, Table};
use crate::work::{Loaded, Pending, Phase, Work};

/// How long a request waits for a touch.
const TOUCH_TIME: Duration = Duration::from_millis(500);

impl<D: Driver> Inner<D> {
    /// With `seal`, the handle can only be read when this is done, and before anybody else has a turn.
    pub(crate) async fn commit(&self, session: &Session, seal: bool) -> Result<Committed, Error> {
        if !session.belongs_to(self) {
            return Err(Error::new(ErrorKind::Config).with_detail("the session is another manager's"));
        }
        if let Some(committed) = self.commit_now(session, seal) {
            return Ok(committed);
        }
        if seal {
            // Before the first wait, so that a finish which is dropped in the middle has sealed the handle too.
            session.seal();
        }
        let mut lease = session.lease().await;
        let critical = lease.is_critical();
        let done = self.commit_work(&mut lease).await;
        match done {
            Ok(mut committed) => {
                committed.critical = critical;
                lease.betrayed |= committed.refuses_response();
                if committed.replays > 0 {
                    let key = lease.loaded.as_ref().map(|loaded| &loaded.key);
                    self.emit(key, &Event::Replayed { times: committed.replays });
                }
                Ok(committed)
            }
            Err(error) => Err(error.critical(critical)),
        }
    }

    /// A commit that has nothing to do, without taking a turn: most are. `None` where there is something to do.
    pub(crate) fn commit_now(&self, session: &Session, seal: bool) -> Option<Committed> {
        let _idle = session.lock().filter(|work| self.is_idle(work))?;
        if seal {
            session.seal();
        }
        Some(Committed::new(Outcome::Unchanged))
    }

    /// Whether a commit has nothing to do and nothing to say.
    fn is_idle(&self, work: &Work) -> bool {
        work.phase == Phase::Unloaded
            || (!work.is_dirty()
                && !work.dead
                && self.touch_due(work).is_none()
                && self.without_session(work) == Outcome::Unchanged)
    }

    async fn commit_work(&self, work: &mut Work) -> Result<Committed, Error> {
        if work.phase != Phase::Open {
            return Ok(Committed::new(Outcome::Unchanged));
        }
        // Both are rare, and would make every commit's future as large as they are.
        let resolved = match work.pending {
            Some(_) => Box::pin(self.resolve(work)).await?,
            None => None,
        };
        if work.dead {
            let reason = work.end.clone().unwrap_or(EndReason::Revoked);
            return Ok(Committed::new(Outcome::Ended(reason)));
        }
        let mut committed = match work.loaded.clone() {
            _ if !work.is_dirty() && resolved.is_some() => Committed::new(Outcome::Unchanged),
            None if !work.is_dirty() => Committed::new(self.without_session(work)),
            None => Box::pin(self.create(work)).await?,
            Some(_) if !work.is_dirty() => self.touch(work).await?,
            Some(loaded) if work.rotations > 0 => Box::pin(self.rotate(work, loaded)).await?,
            Some(loaded) => self.update(work, loaded).await?,
        };
        // What the earlier call turns out to have done is news too, and the greater one is told.
        match (resolved, &committed.outcome) {
            (Some(outcome), Outcome::Unchanged | Outcome::Touched) => committed.outcome = outcome,
            (Some(outcome @ (Outcome::Created | Outcome::Rotated)), Outcome::Updated) => {
                committed.outcome = outcome;
            }
            _ => {}
        }
        Ok(committed)
    }

    /// Nothing is stored and nothing is to be stored: a request that destroyed its session says so.
    fn without_session(&self, work: &Work) -> Outcome {
        match &work.end {
            Some(reason @ EndReason::Destroyed(_)) if work.loaded.is_none() => Outcome::Ended(reason.clone()),
            _ => Outcome::Unchanged,
        }
    }

    async fn create(&self, work: &mut Work) -> Result<Committed, Error> {
        let now = self.clock.now();
        let network = self.config.address.record(work.request.address);
        let agent = work.request.user_agent.as_deref().filter(|_| self.config.agent).map(Agent::of);
        let encoded = work.encode(&self.config, now, |header| {
            header.created = now;
            header.bind_to(network, agent);
            renew(header, now);
        });
        if encoded.entries == 0 && encoded.header.user().is_none() {
            // Written and cleared again: as if nothing had been.
            let outcome = self.without_session(work);
            work.keep_times(&self.config, now)?;
            return Ok(Committed::new(outcome));
        }
        let expires = Some(encoded.header.deadline(now));
        let data = encoded.stamped(now);
        let mut last = New::Taken;
        for _ in 0..DRAWS {
            let next = self.draw(expires)?;
            let record = Record { data: data.clone(), expires, revision: next.revision };
            work.await_answer(next.clone(), data.clone(), None);
            let answer = self.store_new(&next.key, &record).await;
            last = work.answered(answer)?;
            if matches!(last, New::Stored) {
                self.emit(Some(&next.key), &Event::Created);
                work.client = IdUpdate::Set { id: next.id, deadline: expires };
                work.adopt(next, data, work.log.len(), work.rotations, now)?;
                return Ok(Committed::new(Outcome::Created));
            }
        }
        Err(last.into_error())
    }

    /// A new id and revision for a record that ends at `expires`.
    pub(crate) fn draw(&self, expires: Option<Timestamp>) -> Result<Loaded, Error> {
        let id = (self.config.ids)()?;
        Ok(Loaded { id, key: id.key(), revision: random::revision()?, expires })
    }

    async fn update(&self, work: &mut Work, mut loaded: Loaded) -> Result<Committed, Error> {
        let mut patience = Patience::new();
        loop {
            if let Some(reason) = self.overdue(work, &mut loaded, &mut patience).await? {
                return Ok(self.ended(work, reason, patience.tries));
            }
            let now = self.clock.now();
            let encoded = work.encode(&self.config, now, |_| {});
            if encoded.equals(&work.table) {
                work.start_log();
                let mut committed = self.touch(work).await?;
                committed.replays = patience.tries;
                return Ok(committed);
            }
            let whole = encoded.header.deadline(now);
            let moves = work.request.extend || work.log.iter().any(Op::sets_time);
            let expires = Some(loaded.expires.filter(|_| !moves).map_or(whole, |stored| stored.min(whole)));
            let data = encoded.stamped(now);
            let next = Loaded { revision: random::revision()?, expires, ..loaded.clone() };
            let record = Record { data: data.clone(), expires, revision: next.revision };
            work.await_answer(next.clone(), data.clone(), Some(loaded.revision));
            let answer = self.replace(&loaded.key, &record, loaded.revision, false).await;
            match work.answered(answer)? {
                Change::Applied if !is_live(expires, now) => {
                    // The time policy was shortened to before now; storing that removed it.
                    return Ok(self.ended(work, EndReason::Expired, patience.tries));
                }
                Change::Applied => {
                    work.client = work.client.extended(next.id, expires);
                    work.adopt(next, data, work.log.len(), 0, now)?;
                    return Ok(Committed { replays: patience.tries, ..Committed::new(Outcome::Updated) });
                }
                Change::Conflict(there) => {
                    match Box::pin(self.rebase(work, &mut loaded, there, &mut patience)).await? {
                        None => {}
                        Some(reason) => return Ok(self.ended(work, reason, patience.tries)),
                    }
                }
            }
        }
    }

    /// The deadline that this request knows has passed. Another request may have moved it meanwhile: then the log is
    /// replayed on what that one left; or else the session has expired, and why is said.
    pub(crate) async fn overdue(
        &self,
        work: &mut Work,
        loaded: &mut Loaded,
        patience: &mut Patience,
    ) -> Result<Option<EndReason>, Error> {
        if is_live(loaded.expires, self.clock.now()) {
            return Ok(None);
        }
        // Rare, as all that is boxed here.
        Box::pin(async {
            let there = self.retrieve_again(loaded).await?;
            let live = there.filter(|record| record.is_live(self.clock.now()));
            self.rebase(work, loaded, live, patience).await
        })
        .await
    }

    async fn retrieve_again(&self, loaded: &Loaded) -> Result<Option<Record>, Error> {
        self.driver.retrieve(&loaded.key).await.map_err(|error| {
            if error.kind() != StoreErrorKind::Corrupt {
                return error.into();
            }
            self.emit(Some(&loaded.key), &Event::Corrupt);
            Error::new(ErrorKind::Corrupt).with_source(error)
        })
    }

    /// After a conflict: replays the log on what is there now and makes that the loaded record, or says why the
    /// session has ended.
    pub(crate) async fn rebase(
        &self,
        work: &mut Work,
        loaded: &mut Loaded,
        there: Option<Record>,
        patience: &mut Patience,
    ) -> Result<Option<EndReason>, Error> {
        let Some(mut record) = there else { return Ok(Some(self.why_gone(loaded))) };
        if patience.spend().await? {
            // What the conflict handed back is old after a pause.
            match self.retrieve_again(loaded).await? {
                Some(newer) => record = newer,
                None => return Ok(Some(self.why_gone(loaded))),
            }
        }
        let table = match Table::parse(record.data) {
            Ok(Content::Session(table)) => table,
            Ok(Content::Tombstone) => return Ok(Some(EndReason::Replaced)),
            Err(_) => {
                self.emit(Some(&loaded.key), &Event::Corrupt);
                return Err(Error::new(ErrorKind::Corrupt));
            }
        };
        work.replay(table, 0, self.clock.now())?;
        loaded.revision = record.revision;
        loaded.expires = record.expires;
        work.loaded = Some(loaded.clone());
        Ok(None)
    }

    pub(crate) fn why_gone(&self, loaded: &Loaded) -> EndReason {
        if is_live(loaded.expires, self.clock.now()) { EndReason::Revoked } else { EndReason::Expired }
    }

    /// The session has ended meanwhile: nothing is written, and this request writes nothing in its place.
    pub(crate) fn ended(&self, work: &mut Work, reason: EndReason, replays: u32) -> Committed {
        let key = work.loaded.take().map(|loaded| loaded.key);
        self.emit(key.as_ref(), &Event::ResurrectionPrevented);
        self.emit(key.as_ref(), &Event::Ended(reason.clone()));
        work.detach();
        work.dead = true;
        work.end = Some(reason.clone());
        work.client = IdUpdate::None;
        Committed { replays, ..Committed::new(Outcome::Ended(reason)) }
    }

    async fn touch(&self, work: &mut Work) -> Result<Committed, Error> {
        if let Some(mut loaded) = work.loaded.clone()
            && let Some(reason) = self.overdue(work, &mut loaded, &mut Patience::new()).await?
        {
            return Ok(self.ended(work, reason, 0));
        }
        let (Some(deadline), Some(loaded)) = (self.touch_due(work), &mut work.loaded) else {
            return Ok(Committed::new(Outcome::Unchanged));
        };
        let to = random::revision()?;
        let touch = self.touch_if(&loaded.key, loaded.revision, to, deadline);
        // Nothing that the response says depends on this, so it neither waits long nor fails: the next request touches.
        let Ok(Ok(touched)) = tokio::time::timeout(TOUCH_TIME, touch).await else {
            self.emit(Some(&loaded.key), &Event::TouchFailed);
            return Ok(Committed::new(Outcome::Unchanged));
        };
        if touched {
            loaded.revision = to;
            loaded.expires = Some(deadline);
            work.client = work.client.extended(loaded.id, Some(deadline));
            return Ok(Committed::new(Outcome::Touched));
        }
        // Whoever wrote last has set the deadline, or ended the session.
        Ok(Committed::new(Outcome::Unchanged))
    }

    /// The deadline to move to, if this request moves it far enough.
    fn touch_due(&self, work: &Work) -> Option<Timestamp> {
        let loaded = work.loaded.as_ref().filter(|_| work.request.extend)?;
        let header = &work.table.header;
        let deadline = header.deadline(self.clock.now());
        let threshold = loaded.expires?.saturating_add(header.idle / self.config.touch_fraction);
        (deadline > threshold).then_some(deadline)
    }

    /// Finds out what became of a store call whose answer this handle never saw: a creation by looking, for it must
    /// not be made twice; another change by making it again, which is safe.
    pub(crate) async fn resolve(&self, work: &mut Work) -> Result<Option<Outcome>, Error> {
        let Some(pending) = &work.pending else { return Ok(None) };
        if pending.tombstone.is_some() {
            return self.resolve_rotation(work).await;
        }
        let Pending { next, data, before, ops, rotations, .. } = &**pending;
        let (next, data, ops, rotations) = (next.clone(), data.clone(), *ops, *rotations);
        let Some(before) = *before else {
            match self.driver.retrieve(&next.key).await {
                Ok(Some(there)) if there.revision == next.revision => {}
                Ok(_) => {
                    work.pending = None;
                    return Ok(None);
                }
                Err(error) => return Err(Error::new(ErrorKind::Uncertain).with_source(error)),
            }
            let client = IdUpdate::Set { id: next.id, deadline: next.expires };
            work.adopt(next, data, ops, rotations, self.clock.now())?;
            self.emit(work.loaded.as_ref().map(|loaded| &loaded.key), &Event::Created);
            work.client = client;
            return Ok(Some(Outcome::Created));
        };
        let record = Record { data: data.clone(), expires: next.expires, revision: next.revision };
        match self.replace(&next.key, &record, before, false).await? {
            // It was to shorten the session's time, which is over by now.
            Change::Applied if !is_live(next.expires, self.clock.now()) => {
                Ok(Some(self.ended(work, EndReason::Expired, 0).outcome))
            }
            Change::Applied => {
                let client = work.client.extended(next.id, next.expires);
                work.adopt(next, data, ops, rotations, self.clock.now())?;
                work.client = client;
                Ok(Some(Outcome::Updated))
            }
            Change::Conflict(None) => {
                let reason = self.why_gone(&next);
                Ok(Some(self.ended(work, reason, 0).outcome))
            }
            // It may have been applied and written over since.
            Change::Conflict(Some(_)) => Err(Error::new(ErrorKind::Uncertain)),
        }
    }
}

/// A new life begins: at creation, and with a new id.
pub(crate) fn renew(header: &mut Header, now: Timestamp) {
    header.started = now;
    header.set_lifetime(header.lifetime);
}

impl Work {
    /// What was recorded has been dealt with.
    pub(crate) fn start_log(&mut self) {
        self.log.clear();
        self.view = None;
        self.rotations = 0;
    }

    /// Nothing is stored, and so there is nothing to forget but the times that were set: they are for the session that
    /// a later value may begin.
    fn keep_times(&mut self, config: &Config, now: Timestamp) -> Result<(), Error> {
        let log = std::mem::take(&mut self.log);
        self.start_log();
        log.into_iter().filter(Op::sets_time).try_for_each(|op| self.record(op, config, now))
    }

    /// Remembers a store call that is about to be made, in case its answer is never seen.
    fn await_answer(&mut self, next: Loaded, data: Bytes, before: Option<session_core::Revision>) {
        let (ops, rotations) = (self.log.len(), self.rotations);
        self.pending = Some(Box::new(Pending { next, data, ops, rotations, before, tombstone: None }));
    }

    /// The answer was seen; only one that is uncertain is still to be resolved.
    pub(crate) fn answered<T>(&mut self, answer: Result<T, Error>) -> Result<T, Error> {
        if !matches!(&answer, Err(error) if error.kind() == ErrorKind::Uncertain) {
            self.pending = None;
        }
        answer
    }

    /// The first `ops` operations and `rotations` are stored as `data`; what was recorded since goes on from there. If
    /// that cannot be replayed, everything is as it was, and the next commit finds out again.
    pub(crate) fn adopt(
        &mut self,
        next: Loaded,
        data: Bytes,
        ops: usize,
        rotations: u32,
        now: Timestamp,
    ) -> Result<(), Error> {
        let Ok(Content::Session(table)) = Table::parse_own(data) else {
            return Err(Error::new(ErrorKind::Corrupt));
        };
        self.replay(table, ops, now)?;
        self.loaded = Some(next);
        self.pending = None;
        self.rotations = self.rotations.saturating_sub(rotations);
        // What was consumed is gone: a second commit has nothing more to take out.
        let table = &self.table;
        self.flash.start.retain(|id| table.entries().any(|entry| entry.class == FLASH && entry.id == *id));
        Ok(())
    }
}
