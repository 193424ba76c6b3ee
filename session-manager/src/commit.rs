//! Commit: creating, updating, touching.

use bytes::Bytes;
use session_core::{Condition, Driver, Record, Stored, Timestamp, is_live};

use crate::check::Agent;
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::op::Op;
use crate::outcome::{ClientAction, Committed, EndReason, Outcome};
use crate::random;
use crate::session::Session;
use crate::sessions::Inner;
use crate::settle::Patience;
use crate::table::{Content, Header, Table};
use crate::work::{Loaded, Pending, Phase, Work};

/// How many ids are drawn for one session before the machine's randomness counts as broken.
const DRAWS: u32 = 3;

impl<D: Driver> Inner<D> {
    pub(crate) async fn commit(&self, session: &Session) -> Result<Committed, Error> {
        // Most requests have nothing to commit: see that without taking a turn.
        if let Some(work) = session.lock().as_ref()
            && (work.phase == Phase::Unloaded
                || (!work.is_dirty() && !work.dead && self.touch_due(work).is_none()))
        {
            return Ok(Committed::new(Outcome::Unchanged));
        }
        let mut lease = session.lease().await;
        let critical = lease.is_critical();
        match self.commit_work(&mut lease).await {
            Ok(mut committed) => {
                committed.critical = critical;
                if committed.replays > 0 {
                    let key = lease.loaded.as_ref().map(|loaded| &loaded.key);
                    self.emit(key, &Event::Replayed { times: committed.replays });
                }
                Ok(committed)
            }
            Err(error) => Err(error.critical(critical)),
        }
    }

    async fn commit_work(&self, work: &mut Work) -> Result<Committed, Error> {
        if work.phase != Phase::Open {
            return Ok(Committed::new(Outcome::Unchanged));
        }
        let resolved = self.resolve(work).await?;
        if work.dead {
            let reason = work.end.clone().unwrap_or(EndReason::Revoked);
            return Ok(Committed::new(Outcome::Ended(reason)));
        }
        match work.loaded.clone() {
            _ if !work.is_dirty() && resolved.is_some() => {
                Ok(Committed::new(resolved.unwrap_or(Outcome::Unchanged)))
            }
            None if !work.is_dirty() => Ok(Committed::new(self.without_session(work))),
            None => self.create(work).await,
            Some(_) if !work.is_dirty() => self.touch(work).await,
            Some(loaded) if work.rotate => self.rotate(work, loaded).await,
            Some(loaded) => self.update(work, loaded).await,
        }
    }

    /// Nothing is stored and nothing is to be stored: a request that destroyed its session says so.
    fn without_session(&self, work: &Work) -> Outcome {
        match &work.end {
            Some(reason @ EndReason::Destroyed(_)) => Outcome::Ended(reason.clone()),
            _ => Outcome::Unchanged,
        }
    }

    async fn create(&self, work: &mut Work) -> Result<Committed, Error> {
        let now = self.clock.now();
        let network = self.config.address.record(work.request.address);
        let agent = work.request.user_agent.as_deref().filter(|_| self.config.agent).map(Agent::of);
        let encoded = work.encode(&self.config, now, |header| {
            header.created = now;
            header.network = network;
            header.agent = agent;
            renew(header, now);
        });
        if encoded.entries == 0 && encoded.header.user.is_empty() {
            // Written and cleared again: as if nothing had been.
            let outcome = self.without_session(work);
            work.start_log();
            return Ok(Committed::new(outcome));
        }
        let expires = Some(encoded.header.deadline(now));
        let data = encoded.stamped(now);
        for _ in 0..DRAWS {
            let next = self.draw(expires)?;
            let record = Record { data: data.clone(), expires, revision: next.revision };
            work.await_answer(next.clone(), data.clone(), None);
            let answer = self.store_settled(&next.key, record, Condition::Absent, None).await;
            match work.answered(answer)? {
                Stored::Yes => {
                    self.emit(Some(&next.key), &Event::Created);
                    work.client = ClientAction::Repeat { id: next.id, deadline: expires };
                    work.adopt(next, data, work.log.len(), now)?;
                    return Ok(Committed::new(Outcome::Created));
                }
                // Somebody else's session: it is never replayed onto.
                Stored::Conflict(_) => {}
            }
        }
        Err(Error::new(ErrorKind::NoFreeId))
    }

    /// A new id and revision for a record that ends at `expires`.
    pub(crate) fn draw(&self, expires: Option<Timestamp>) -> Result<Loaded, Error> {
        let id = (self.config.ids)()?;
        Ok(Loaded { id, key: id.key(), revision: random::revision()?, expires })
    }

    async fn update(&self, work: &mut Work, mut loaded: Loaded) -> Result<Committed, Error> {
        let mut patience = Patience::new();
        loop {
            let now = self.clock.now();
            if !is_live(loaded.expires, now) {
                return Ok(self.ended(work, EndReason::Expired, patience.tries));
            }
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
            let answer = self
                .store_settled(
                    &loaded.key,
                    record,
                    Condition::Revision(loaded.revision),
                    Some(loaded.revision),
                )
                .await;
            match work.answered(answer)? {
                Stored::Yes if !is_live(expires, now) => {
                    // The time policy was shortened to before now; storing that removed it.
                    return Ok(self.ended(work, EndReason::Expired, patience.tries));
                }
                Stored::Yes => {
                    work.client = work.client.extended(next.id, expires);
                    work.adopt(next, data, work.log.len(), now)?;
                    return Ok(Committed { replays: patience.tries, ..Committed::new(Outcome::Updated) });
                }
                Stored::Conflict(there) => {
                    match self.rebase(work, &mut loaded, there, &mut patience).await? {
                        None => {}
                        Some(reason) => return Ok(self.ended(work, reason, patience.tries)),
                    }
                }
            }
        }
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
            match self.driver.retrieve(&loaded.key).await? {
                Some(newer) => record = newer,
                None => return Ok(Some(self.why_gone(loaded))),
            }
        }
        let table = match Table::parse(record.data) {
            Ok(Content::Session(table)) => table,
            Ok(Content::Marker) => return Ok(Some(EndReason::Replaced)),
            Err(_) => {
                self.emit(Some(&loaded.key), &Event::Corrupt);
                return Err(Error::new(ErrorKind::Corrupt));
            }
        };
        work.replay(table, self.clock.now())?;
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
        work.client = ClientAction::Keep;
        Committed { replays, ..Committed::new(Outcome::Ended(reason)) }
    }

    async fn touch(&self, work: &mut Work) -> Result<Committed, Error> {
        let (Some(deadline), Some(loaded)) = (self.touch_due(work), &mut work.loaded) else {
            return Ok(Committed::new(Outcome::Unchanged));
        };
        if !is_live(loaded.expires, self.clock.now()) {
            return Ok(self.ended(work, EndReason::Expired, 0));
        }
        let to = random::revision()?;
        if self.driver.touch(&loaded.key, loaded.revision, to, Some(deadline)).await? {
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

    /// Finds out what became of a store call whose answer this handle never saw, by making it again: it is safe to
    /// repeat.
    pub(crate) async fn resolve(&self, work: &mut Work) -> Result<Option<Outcome>, Error> {
        let Some(pending) = &work.pending else { return Ok(None) };
        if pending.marker.is_some() {
            return self.resolve_rotation(work).await;
        }
        let Pending { next, data, before, ops, .. } = pending;
        let (next, data, before, ops) = (next.clone(), data.clone(), *before, *ops);
        let record = Record { data: data.clone(), expires: next.expires, revision: next.revision };
        let when = before.map_or(Condition::Absent, Condition::Revision);
        match self.store_settled(&next.key, record, when, before).await? {
            Stored::Yes => {
                let outcome = if before.is_none() { Outcome::Created } else { Outcome::Updated };
                work.client = match before {
                    None => ClientAction::Repeat { id: next.id, deadline: next.expires },
                    Some(_) => work.client.extended(next.id, next.expires),
                };
                work.adopt(next, data, ops, self.clock.now())?;
                Ok(Some(outcome))
            }
            Stored::Conflict(None) => {
                let reason = self.why_gone(&next);
                Ok(Some(self.ended(work, reason, 0).outcome))
            }
            // It may have been applied and written over since.
            Stored::Conflict(Some(_)) => Err(Error::new(ErrorKind::Uncertain)),
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
        self.rotate = false;
        self.generation += 1;
    }

    /// Remembers a store call that is about to be made, in case its answer is never seen.
    fn await_answer(&mut self, next: Loaded, data: Bytes, before: Option<session_core::Revision>) {
        self.pending = Some(Pending { next, data, ops: self.log.len(), before, marker: None });
    }

    /// The answer was seen; only one that is uncertain is still to be resolved.
    pub(crate) fn answered(&mut self, answer: Result<Stored, Error>) -> Result<Stored, Error> {
        if !matches!(&answer, Err(error) if error.kind() == ErrorKind::Uncertain) {
            self.pending = None;
        }
        answer
    }

    /// The first `ops` operations are stored as `data`; what was recorded since goes on from there.
    pub(crate) fn adopt(
        &mut self,
        next: Loaded,
        data: Bytes,
        ops: usize,
        now: Timestamp,
    ) -> Result<(), Error> {
        let Ok(Content::Session(table)) = Table::parse(data) else {
            return Err(Error::new(ErrorKind::Corrupt));
        };
        self.log.drain(..ops.min(self.log.len()));
        self.loaded = Some(next);
        self.pending = None;
        self.rotate = false;
        self.view = None;
        self.generation += 1;
        if self.log.is_empty() {
            self.table = table;
            return Ok(());
        }
        self.replay(table, now)
    }
}
