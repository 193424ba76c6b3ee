//! Commit, top-down: the decision, then creation, update and touch. A rotation and a lost answer have modules of their
//! own, which use the rules at the end of this one.

use session_core::{Change, Driver, Record, Revision, StoreErrorKind, Timestamp, Touch, is_live, yield_now};

use crate::client::Agent;
use crate::entry::entries;
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::manager::Manager;
use crate::outcome::{Committed, EndReason, Outcome};
use crate::request::RequestInfo;
use crate::rotate::Cause;
use crate::settle::{Before, DRAWS, New, Patience};
use crate::table::{CLOCK_DIFFERENCE, Content, Table, millis};
use crate::work::{Loaded, Pending, Work};

/// For records from this length on, in bytes, other tasks get a turn between an attempt that conflicts and the next one.
const LONG_RECORD: usize = 256 << 10;

/// The task of a commit.
pub(crate) enum Step {
    /// Nothing to store; this is the outcome.
    Done(Outcome),
    /// The session is detached: its changes are never stored.
    Refuse,
    /// An earlier store call has no answer yet.
    Resolve,
    Create,
    Rotate,
    /// Give the session a new id because of its age, and store the changes there.
    Renew,
    /// Create the session of a login whose old session is gone.
    LogIn,
    Update,
    /// Move the deadline.
    Touch,
}

impl<D: Driver> Manager<D> {
    /// Whether a commit has nothing to do and nothing to report.
    pub(crate) fn is_idle(&self, work: &Work) -> bool {
        matches!(self.step(work), Step::Done(Outcome::Unchanged)) && !self.confirms(work)
    }

    /// The one place that decides what a commit does.
    fn step(&self, work: &Work) -> Step {
        if work.is_detached() {
            return if work.has_changes() { Step::Refuse } else { Step::Done(Outcome::Unchanged) };
        }
        if work.pending().is_some() {
            return Step::Resolve;
        }
        if work.is_dead() {
            if work.logs_in_anyway() {
                return Step::LogIn;
            }
            return Step::Done(Outcome::Ended(work.end().cloned().unwrap_or(EndReason::Revoked)));
        }
        match (work.loaded(), work.has_changes()) {
            (None, true) => Step::Create,
            (None, false) => Step::Done(without_session(work)),
            (Some(_), true) if work.rotates() => Step::Rotate,
            (Some(_), _) if self.renewal_due(work) => Step::Renew,
            (Some(_), true) => Step::Update,
            (Some(loaded), false) if self.touch_due(work, loaded).is_some() => Step::Touch,
            (Some(_), false) => Step::Done(Outcome::Unchanged),
        }
    }

    pub(crate) async fn commit(&self, request: &RequestInfo, work: &mut Work) -> Result<Committed, Error> {
        if self.confirms(work) {
            Box::pin(self.confirm(work)).await;
        }
        let critical = work.is_critical();
        let done = match self.step(work) {
            Step::Update if !work.enters() => self.update(work).await,
            // Boxed to keep the future of the common case small.
            Step::Resolve => Box::pin(self.commit_resolved(request, work)).await,
            step => Box::pin(self.perform(step, request, work)).await,
        };
        let mut committed = done.map_err(|error| error.critical(critical))?;
        if matches!(committed.outcome, Outcome::Ended(_)) && matches!(self.step(work), Step::LogIn) {
            let replays = committed.replays;
            let done = Box::pin(self.perform(Step::LogIn, request, work)).await;
            committed = Committed { replays, ..done.map_err(|error| error.critical(critical))? };
        }
        if matches!(committed.outcome, Outcome::Ended(_)) {
            work.note_not_stored();
            committed.not_stored = work.is_not_stored();
        }
        committed.critical = critical;
        if committed.refuses_response() {
            work.refuse_response();
        }
        if committed.replays > 0 {
            let key = work.loaded().map(|loaded| &loaded.key);
            self.emit(key, &Event::Replayed { times: committed.replays });
        }
        Ok(committed)
    }

    async fn perform(&self, step: Step, request: &RequestInfo, work: &mut Work) -> Result<Committed, Error> {
        match step {
            Step::Done(outcome) => Ok(Committed::new(outcome)),
            Step::Refuse => Err(Error::new(ErrorKind::Store).with_detail("the session is detached")),
            // A call that `commit_resolved` could not resolve is an error there.
            Step::Resolve => Err(Error::new(ErrorKind::Uncertain)),
            Step::Create => self.create(request, work).await,
            Step::Rotate => self.rotate(work, Cause::Rotation).await,
            Step::Renew => self.renew(work).await,
            Step::LogIn => {
                work.begin_anew(self.clock.now())?;
                self.create(request, work).await
            }
            Step::Update => self.change_in_place(work).await,
            Step::Touch => self.touch(work).await,
        }
    }

    /// Commits after a call whose answer was lost. Of the two outcomes the greater one is reported.
    async fn commit_resolved(&self, request: &RequestInfo, work: &mut Work) -> Result<Committed, Error> {
        let resolved = self.resolve(work).await?;
        let step = match (self.step(work), &resolved) {
            (Step::Touch, Some(_)) => Step::Done(Outcome::Unchanged),
            (step, _) => step,
        };
        let mut committed = self.perform(step, request, work).await?;
        match (resolved, &committed.outcome) {
            (Some(outcome), Outcome::Unchanged | Outcome::Touched) => committed.outcome = outcome,
            (Some(outcome @ (Outcome::Created | Outcome::Rotated | Outcome::Renewed)), Outcome::Updated) => {
                committed.outcome = outcome;
            }
            _ => {}
        }
        Ok(committed)
    }

    async fn create(&self, request: &RequestInfo, work: &mut Work) -> Result<Committed, Error> {
        self.correct_times(work)?;
        self.stamp_epoch(work).await?;
        let now = self.clock.now();
        let network = self.config.address.record(request.client_address());
        let agent = request.client_agent().filter(|_| self.config.agent).map(Agent::of);
        let draft = work.draft(now, |header| {
            header.created = now;
            header.bind_to(network, agent);
            header.start(now);
        });
        if !draft.has_entries() && draft.header.user().is_none() {
            // Written and cleared again, as if nothing had been written.
            work.keep_times();
            return Ok(Committed::new(without_session(work)));
        }
        let expires = Some(draft.header.deadline(now));
        let table = work.table_of(draft, now);
        self.check_size(&table, work.table())?;
        let mut last = New::Taken;
        for _ in 0..DRAWS {
            let next = self.draw(expires)?;
            let pending = work.begin(work.prepare(next, table.clone(), None, None));
            let answer = self.store_new(&pending.next.key, pending.record()).await;
            last = match answer {
                Ok(New::Stored) => {
                    self.enter_created(work).await?;
                    self.emit(work.pending().map(|pending| &pending.next.key), &Event::Created);
                    work.adopt(true, now)?;
                    self.check_swept(now);
                    return Ok(Committed::new(Outcome::Created));
                }
                answer => work.answered(answer)?,
            };
        }
        Err(last.into_error())
    }

    /// Stores the changes under the present id; without any, moves the deadline if that is due.
    pub(crate) async fn change_in_place(&self, work: &mut Work) -> Result<Committed, Error> {
        if work.enters() { self.update_entering(work).await } else { self.update(work).await }
    }

    /// An update that may enter the index of a user. If it finds that the session has ended, the session leaves again.
    async fn update_entering(&self, work: &mut Work) -> Result<Committed, Error> {
        let header = work.header().clone();
        let key = work.loaded().map(|loaded| loaded.key.clone());
        let committed = self.update(work).await?;
        if let (Outcome::Ended(_), Some(key)) = (&committed.outcome, key) {
            self.leave_header(&header, &key).await;
        }
        Ok(committed)
    }

    async fn update(&self, work: &mut Work) -> Result<Committed, Error> {
        let mut patience = Patience::new();
        loop {
            // Also after a conflict: a host whose clock is ahead may have written the record that was found.
            self.correct_times(work)?;
            let enters = work.enters();
            let now = self.clock.now();
            if work.loaded().is_some_and(|loaded| !is_live(loaded.expires, now)) {
                // Boxed because it is rare.
                if let Some(reason) = Box::pin(self.overdue(work, &mut patience)).await? {
                    return Ok(self.ended(work, reason, patience.tries()));
                }
                continue;
            }
            if enters {
                Box::pin(self.stamp_epoch(work)).await?;
            }
            let Some((call, before)) = self.prepare_update(work, now)? else {
                drop(work.start_log());
                let mut committed = Box::pin(self.touch(work)).await?;
                committed.replays = patience.tries();
                return Ok(committed);
            };
            if enters {
                Box::pin(self.enter_table(&call.table, &call.next.key, None)).await?;
            }
            let loaded = work.loaded_record(before);
            let pending = work.begin(call);
            let expires = pending.next.expires;
            let answer =
                self.replace(&pending.next.key, || pending.record(), Before::Loaded(&loaded), false).await;
            match answer {
                Ok(Change::Applied) if !is_live(expires, now) => {
                    // The request shortened the session's time to before now, so the store removed it.
                    return Ok(self.ended(work, EndReason::Expired, patience.tries()));
                }
                Ok(Change::Applied) => {
                    let old = if enters { self.bound_before(work) } else { None };
                    work.adopt(false, now)?;
                    if let Some(old) = old {
                        Box::pin(self.leave_old(&work.table().header, old)).await;
                    }
                    return Ok(Committed { replays: patience.tries(), ..Committed::new(Outcome::Updated) });
                }
                answer => {
                    if let Change::Conflict(found) = work.answered(answer)?
                        && let Some(reason) = Box::pin(self.rebase(work, found, &mut patience)).await?
                    {
                        return Ok(self.ended(work, reason, patience.tries()));
                    }
                }
            }
        }
    }

    /// The store call of an update and the revision that it replaces; `None` if it would store what is stored already. Not part of the future, which would
    /// keep room for each of these values.
    fn prepare_update(
        &self,
        work: &mut Work,
        now: Timestamp,
    ) -> Result<Option<(Box<Pending>, Revision)>, Error> {
        let draft = work.draft(now, |_| {});
        let Some(loaded) = work.loaded().filter(|_| !draft.equals(work.table())).cloned() else {
            return Ok(None);
        };
        let whole = draft.header.deadline(now);
        let expires = match loaded.expires {
            Some(stored) if !work.extends() && !work.sets_time() => stored.min(whole),
            _ => whole,
        };
        let before = loaded.revision;
        let next = Loaded { revision: Revision::random()?, expires: Some(expires), ..loaded };
        let table = work.table_of(draft, now);
        self.check_size(&table, work.table())?;
        Ok(Some((work.prepare(next, table, Some(before), None), before)))
    }

    async fn touch(&self, work: &mut Work) -> Result<Committed, Error> {
        if let Some(reason) = self.overdue(work, &mut Patience::new()).await? {
            return Ok(self.ended(work, reason, 0));
        }
        if work.is_ahead(self.clock.now()) {
            return Box::pin(self.update(work)).await;
        }
        let Some((loaded, deadline)) =
            work.loaded().and_then(|loaded| Some((loaded.clone(), self.touch_due(work, loaded)?)))
        else {
            return Ok(Committed::unchanged());
        };
        let touch = Touch { from: loaded.revision, to: Revision::random()?, deadline: Some(deadline) };
        // The response does not depend on a touch, so it neither waits long nor fails: the next request touches.
        let Ok(Ok(touched)) =
            tokio::time::timeout(self.config.touch_timeout, self.touch_if(&loaded.key, touch)).await
        else {
            self.emit(Some(&loaded.key), &Event::TouchFailed);
            return Ok(Committed::unchanged());
        };
        if !touched {
            // The last writer has set the deadline, or ended the session.
            return Ok(Committed::unchanged());
        }
        work.touched(touch.to, deadline);
        Ok(Committed::new(Outcome::Touched))
    }

    /// The deadline to move to, if this request moves it far enough.
    fn touch_due(&self, work: &Work, loaded: &Loaded) -> Option<Timestamp> {
        let stored = loaded.expires?;
        let (header, now) = (work.header(), self.clock.now());
        let deadline = header.deadline(now);
        if stored > deadline || header.started > now || header.issued() > now {
            // The clock is behind the time of an earlier use.
            let is_ahead = stored > deadline.saturating_add(CLOCK_DIFFERENCE) || header.is_ahead(now);
            return is_ahead.then_some(deadline);
        }
        let threshold = self.config.touch_threshold.map_or_else(|| millis(header.idle) / 20, millis);
        let moves_by = deadline.as_millis() - stored.as_millis();
        (work.extends() && moves_by > threshold).then_some(deadline)
    }
}

/// The rules that all commits of a stored session share.
impl<D: Driver> Manager<D> {
    /// A session whose requests have each kept to the limits may exceed them together. One that exceeds new limits may
    /// still shrink.
    pub(crate) fn check_size(&self, table: &Table, before: &Table) -> Result<(), Error> {
        let (limits, len) = (self.config.limits, table.body().len());
        let grows = table.data().len() > before.data().len();
        if grows && self.config.carried.is_some_and(|most| table.data().len() > most) {
            return Err(Error::new(ErrorKind::TooLarge).with_detail("the client cannot keep it"));
        }
        if limits.surely_allow(len) || len <= before.body().len() {
            return Ok(());
        }
        if len > limits.bytes || entries(table.body()).count() > limits.keys {
            return Err(Error::new(ErrorKind::TooLarge));
        }
        Ok(())
    }

    /// The limits of a session that was written while a clock was ahead count from now.
    pub(crate) fn correct_times(&self, work: &mut Work) -> Result<(), Error> {
        let now = self.clock.now();
        if work.is_ahead(now) { work.correct(now) } else { Ok(()) }
    }

    /// Checks the deadline that this request knows. If it has passed, another request may have moved it: then the log
    /// is replayed on that request's data. Otherwise the session has expired, and the reason is returned.
    pub(crate) async fn overdue(
        &self,
        work: &mut Work,
        patience: &mut Patience,
    ) -> Result<Option<EndReason>, Error> {
        let Some(loaded) = work.loaded().filter(|loaded| !is_live(loaded.expires, self.clock.now())).cloned()
        else {
            return Ok(None);
        };
        let found = self.retrieve_again(&loaded).await?;
        let live = found.filter(|record| record.is_live(self.clock.now()));
        self.rebase(work, live, patience).await
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

    /// After a conflict: replays the log on the current record, which becomes the loaded one. If the session has ended,
    /// the reason is returned.
    pub(crate) async fn rebase(
        &self,
        work: &mut Work,
        found: Option<Record>,
        patience: &mut Patience,
    ) -> Result<Option<EndReason>, Error> {
        let Some(loaded) = work.loaded().cloned() else { return Ok(Some(EndReason::Revoked)) };
        let Some(mut record) = found else { return Ok(Some(self.why_gone(&loaded))) };
        if patience.spend().await? {
            // After a pause, the record from the conflict is stale.
            match self.retrieve_again(&loaded).await? {
                Some(newer) => record = newer,
                None => return Ok(Some(self.why_gone(&loaded))),
            }
        }
        let Record { data, expires, revision } = record;
        let is_long = data.len() >= LONG_RECORD;
        let mut at = Loaded { revision, expires, ..loaded };
        let mut content = Table::parse(data);
        if let Ok(Content::Forwarder(forwarder)) = content {
            match Box::pin(self.follow(&at, forwarder)).await? {
                Ok((now_at, table)) => (at, content) = (now_at, Ok(Content::Session(table))),
                Err(reason) => return Ok(Some(reason)),
            }
        }
        match content {
            // Another request logged in meanwhile. The two logins become two sessions.
            Ok(Content::Session(table))
                if work.login().is_some()
                    && table.header.user_bytes() != work.table().header.user_bytes() =>
            {
                Ok(Some(EndReason::Replaced))
            }
            Ok(Content::Session(table)) => {
                work.rebase(at, table, self.clock.now())?;
                // Last, so that a commit that is dropped here has not lost this step.
                if is_long {
                    yield_now().await;
                }
                Ok(None)
            }
            Ok(Content::Tombstone(_) | Content::Forwarder(_)) => Ok(Some(EndReason::Replaced)),
            Err(_) => {
                self.emit(Some(&at.key), &Event::Corrupt);
                Err(Error::new(ErrorKind::Corrupt))
            }
        }
    }

    pub(crate) fn why_gone(&self, loaded: &Loaded) -> EndReason {
        if is_live(loaded.expires, self.clock.now()) { EndReason::Revoked } else { EndReason::Expired }
    }

    /// The session has ended meanwhile. This request writes nothing, and creates no successor, unless it logs in.
    pub(crate) fn ended(&self, work: &mut Work, reason: EndReason, replays: u32) -> Committed {
        let key = work.loaded().map(|loaded| &loaded.key);
        if work.logs_in_anyway() {
            self.emit(key, &Event::Ended(reason.clone()));
            work.lose(reason.clone());
        } else {
            self.emit(key, &Event::ResurrectionPrevented);
            self.emit(key, &Event::Ended(reason.clone()));
            work.note_not_stored();
            work.finish_with(self.config.new_header(), Some(reason.clone()), true);
        }
        Committed { replays, ..Committed::new(Outcome::Ended(reason)) }
    }
}

/// Nothing is stored and nothing is to be stored. A request that destroyed its session reports that.
fn without_session(work: &Work) -> Outcome {
    match work.end() {
        Some(reason @ EndReason::Destroyed(_)) => Outcome::Ended(reason.clone()),
        _ => Outcome::Unchanged,
    }
}
