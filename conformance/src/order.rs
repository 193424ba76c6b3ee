//! The invariants after requests of one session met in any order. The clauses of level session check them over any driver,
//! and the tests of `session-manager` try all combinations.

mod report;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use session_core::{Condition, Driver, Key, Revision, SessionId, TestClock};
use session_manager::{EndReason, Error, IdUpdate, Outcome, Session, Sessions};

use self::report::{Effect, Report, perform};
use crate::failure::{Check, Failure, ensure, equal, unmet};
use crate::testing::{Applied, Fate, Probe, Request, Tree, interleave};

crate::level::words! {
    /// What one request does with the session.
    Act {
        /// Sets a key that no other request sets.
        Insert = "insert",
        /// Adds one to a counter.
        Update = "update",
        /// Only reads, when a touch is due.
        Touch = "touch",
        /// Ends the session.
        Destroy = "destroy",
        /// Asks for a new id.
        Rotate = "rotate",
        /// The same, and sets a key of its own.
        RotateInsert = "rotate-insert",
        /// Binds a user and asks for a new id.
        BindRotate = "bind-rotate",
        /// Logs a user in, and sets a key of its own.
        Login = "login",
        /// Removes the user, whom the session has in walks with this act, and keeps the values under a new id.
        Unbind = "unbind",
        /// Spends a token.
        Take = "take",
        /// Reads the flash values and sets one.
        Flash = "flash",
        /// Removes all values.
        Clear = "clear",
        /// Lets a value expire.
        Expire = "expire",
        /// Sets a key of its own, commits, and adds one to the counter.
        CommitThenMore = "commit-then-more",
        /// Takes a reference, and sets a key of its own through it after the request.
        Refer = "refer",
    }
}

impl Act {
    const fn inserts(self) -> bool {
        matches!(self, Self::Insert | Self::RotateInsert | Self::Login | Self::CommitThenMore | Self::Refer)
    }

    const fn counts(self) -> bool {
        matches!(self, Self::Update | Self::CommitThenMore)
    }

    const fn rotates(self) -> bool {
        matches!(self, Self::Rotate | Self::RotateInsert | Self::BindRotate | Self::Login | Self::Unbind)
    }

    const fn binds(self) -> bool {
        matches!(self, Self::BindRotate | Self::Login)
    }
}

/// The user of the session before walks with [`Act::Unbind`]. Any other request that binds a user there is a login over
/// another user, which keeps no value.
const OWNER: &str = "owner";

/// Where the walks happen.
#[derive(Debug)]
pub struct Ground<D> {
    driver: Probe<D>,
    sessions: Sessions<Probe<D>>,
    clock: Option<TestClock>,
    ids: Arc<Mutex<Vec<SessionId>>>,
    index: bool,
}

/// How far a walk came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Walked {
    /// How many orders.
    pub orders: usize,
    /// The most changes that one of them asked the store for.
    pub changes: usize,
}

impl<D: Driver> Ground<D> {
    /// A ground over a driver, with the clock that it follows, if it follows one. With `after`, requests also stop
    /// between a change and its answer.
    ///
    /// # Errors
    /// Where the driver cannot compare and store.
    pub fn new(inner: D, clock: Option<TestClock>, after: bool) -> Result<Self, Failure> {
        Self::build(inner, clock, after, false)
    }

    /// The same with the index of users, which every login enters.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_index(inner: D, clock: Option<TestClock>) -> Result<Self, Failure> {
        Self::build(inner, clock, false, true)
    }

    fn build(inner: D, clock: Option<TestClock>, after: bool, index: bool) -> Result<Self, Failure> {
        static GROUNDS: AtomicU64 = AtomicU64::new(0);
        let driver = if after { Probe::parking_answers(inner) } else { Probe::new(inner) };
        let ids: Arc<Mutex<Vec<SessionId>>> = Arc::default();
        let drawn = Arc::clone(&ids);
        let ground = u64::from(std::process::id()) << 32 | GROUNDS.fetch_add(1, Ordering::Relaxed);
        let next = AtomicU64::new(0);
        let sessions = Sessions::builder(driver.clone())
            .touch_threshold(Duration::from_micros(7_200))
            .index_users(index)
            .id_source(move || {
                let mut bytes = [7; 24];
                bytes[..8].copy_from_slice(&ground.to_be_bytes());
                bytes[8..16].copy_from_slice(&next.fetch_add(1, Ordering::Relaxed).to_be_bytes());
                let id = SessionId::from_bytes(bytes);
                drawn.lock().unwrap_or_else(PoisonError::into_inner).push(id);
                Ok(id)
            })
            .build()?;
        Ok(Self { driver, sessions, clock, ids, index })
    }

    /// Walks all orders in which these requests can meet, with one change meeting its fate if asked for, and checks
    /// the stored sessions each time.
    ///
    /// # Errors
    /// The first order after which something is wrong.
    pub async fn walk(&self, acts: &[Act], fate: Option<(usize, Fate)>) -> Result<Walked, Failure> {
        let mut tree = Tree::new();
        let mut walked = Walked::default();
        while tree.again() {
            let changes = self.run(acts, fate, &mut tree).await;
            let order = || format!("requests {acts:?}, fate {fate:?}, order {:?}", tree.choices());
            walked.changes = walked.changes.max(changes.map_err(|failure| failure.with(order()))?);
        }
        walked.orders = tree.runs();
        Ok(walked)
    }

    async fn run(
        &self,
        acts: &[Act],
        fate: Option<(usize, Fate)>,
        tree: &mut Tree,
    ) -> Result<usize, Failure> {
        self.driver.open_gates();
        self.drawn().clear();
        let owned = acts.contains(&Act::Unbind);
        let old = self.begun(owned).await?;
        if acts.contains(&Act::Touch) {
            self.pass(Duration::from_millis(10)).await;
        }
        self.driver.close_gates();
        self.driver.set_fate(fate.map_or(usize::MAX, |(number, _)| number), fate.map_or(Fate::Late, |f| f.1));
        let requests = acts.iter().enumerate().map(|(slot, act)| {
            Box::pin(perform(&self.sessions, old, owned, *act, slot)) as Request<'_, Result<Report, Error>>
        });
        let reports = interleave(&self.driver, tree, requests.collect()).await?;
        let changes = self.driver.changes();
        self.driver.open_gates();
        let reports = reports.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut verdict = self.judge(old, &reports, fate.is_some()).await;
        if self.index && verdict.is_ok() {
            verdict = self.check_index(&reports).await;
        }
        let ids = self.drawn().clone();
        for id in ids {
            let _ = self.driver.remove(&id.key(), Condition::Any).await?;
        }
        verdict.map_err(|failure| failure.with(format!("they say {reports:?}")))?;
        Ok(changes)
    }

    fn drawn(&self) -> std::sync::MutexGuard<'_, Vec<SessionId>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn pass(&self, time: Duration) {
        match &self.clock {
            Some(clock) => clock.advance(time),
            None => crate::common::nap(time).await,
        }
    }

    async fn begun(&self, owned: bool) -> Result<SessionId, Failure> {
        let session = self.sessions.load(None).await?;
        if owned {
            session.bind_user(OWNER)?;
        }
        for (key, value) in [("n", 0), ("base", 1), ("token", 2), ("tmp", 3)] {
            session.insert(key, &value)?;
        }
        session.flash().set("seen", &1)?;
        session.flash().set("family", &1)?;
        equal("the first commit", &self.sessions.finish(&session).await?.outcome, &Outcome::Created)?;
        match session.id_update() {
            IdUpdate::Set { id, .. } => Ok(id),
            other => Err(unmet("the client gets an id", format!("{other:?}"))),
        }
    }

    async fn judge(&self, old: SessionId, reports: &[Report], faulty: bool) -> Check {
        self.audit()?;
        let ended = reports.iter().filter(|report| report.destroyed == Some(Ok(true))).count();
        let maybe_ended = reports.iter().any(|report| matches!(report.destroyed, Some(Err(_))));
        let rotated: Vec<_> =
            reports.iter().filter(|report| report.outcome() == Some(&Outcome::Rotated)).collect();
        let maybe_rotated = reports.iter().any(|report| report.rotates() && report.effect() == Effect::Maybe);
        ensure(ended <= 1 || faulty, "one request ends the session", format_args!("{ended} say so"))?;
        ensure(rotated.len() <= 1, "a session has one successor", rotated.len())?;
        for report in reports {
            report.check(old, ended > 0 || maybe_ended, !rotated.is_empty(), maybe_rotated, faulty)?;
        }

        // Everything that the ids lead to.
        let mut family = Vec::new();
        let separate: Vec<_> = reports.iter().filter(|report| report.began_anew()).collect();
        let mut told = vec![old];
        told.extend(reports.iter().filter_map(Report::told));
        let drawn = self.drawn().clone();
        for id in drawn {
            let session = self.sessions.load(id).await?;
            if let Some(report) = separate.iter().find(|report| report.told() == Some(id)) {
                report.check_login(&session, reports)?;
                continue;
            }
            if !session.exists()? {
                continue;
            }
            // A login over another user drops the mark of the family.
            let is_successor = rotated.iter().any(|one| one.drops() && one.told() == Some(id));
            if is_successor || session.flash().get::<u32>("family")?.is_some() {
                // With lost answers a record may remain under an id that no client received.
                if !faulty || told.contains(&id) {
                    family.push((id, session));
                }
            } else {
                ensure(told.contains(&id) || faulty, "no session without a client", "one more")?;
            }
        }
        if let Some(report) = rotated.first() {
            let session = self.sessions.load(old).await?;
            equal("the record under the old id", &session.end_reason()?, &Some(EndReason::Replaced))?;
            let there = family.first().map(|(id, _)| *id);
            ensure(ended > 0 || maybe_ended || there == report.told(), "the successor lives", "it does not")?;
        }
        if ended > 0 {
            return ensure(family.is_empty(), "the session that ended stays away", "it is there");
        }
        match &family[..] {
            [] => ensure(maybe_ended || maybe_rotated, "the session lives", "it is gone"),
            [(_, session)] => self.contents(session, reports).await,
            more => Err(unmet("one session", format!("{} of them", more.len()))),
        }
    }

    /// The index of each user has the living sessions of that user, and no others.
    async fn check_index(&self, reports: &[Report]) -> Check {
        let users = reports.iter().map(|report| format!("u{}", report.slot));
        for user in users.chain([OWNER.to_owned()]) {
            let mut living = 0;
            let listed = self.sessions.of_user(&user).await?;
            let drawn = self.drawn().clone();
            for id in drawn {
                let session = self.sessions.load(id).await?;
                if session.exists()? && session.user()?.as_ref() == Some(&user) {
                    living += 1;
                    let is_listed = listed.iter().any(|found| found.is(&session).unwrap_or(false));
                    ensure(is_listed, "every session of a user is listed", "one is not")?;
                }
            }
            equal("the sessions that are listed", &listed.len(), &living)?;
            equal("how many of them can be ended", &self.sessions.end_user(&user, "all").await?, &living)?;
        }
        Ok(())
    }

    /// No key was changed after its end, and nothing was stored without a condition.
    fn audit(&self) -> Check {
        let mut dead: Vec<(Key, Option<Revision>)> = Vec::new();
        let of_sessions = |change: &Applied| change.key.prefix() == "session";
        for change in self.driver.applied().into_iter().filter(of_sessions) {
            let stored = change.record.is_some();
            let blind = stored && change.condition == Some(Condition::Any);
            ensure(!blind, "every change names what it changes", "a blind store")?;
            let revision = change.record.as_ref().map(|record| record.revision);
            // A repeated call is the same change: the answer is Yes, and nothing happens.
            let again =
                dead.iter().any(|(key, end)| *key == change.key && (end.is_none() || *end != revision));
            ensure(!again, "an ended session is never changed again", &change.record)?;
            if change.record.is_none_or(|record| record.data.starts_with(&[1, 2])) {
                dead.push((change.key, revision));
            }
        }
        Ok(())
    }

    async fn contents(&self, session: &Session, reports: &[Report]) -> Check {
        let cleared = worst(reports, Report::clears);
        for report in reports.iter().filter(|report| report.act.inserts()) {
            let there = session.contains(&report.own())?;
            match report.effect_of_first() {
                Effect::No => ensure(!there, "an uncommitted change is not stored", report.own())?,
                Effect::Yes if cleared == Effect::No => {
                    ensure(there, "a committed change is stored", format_args!("{} is not", report.own()))?;
                }
                _ => {}
            }
        }
        let count = |wanted| reports.iter().filter(|r| r.act.counts() && r.effect() == wanted).count();
        let (least, most) = (count(Effect::Yes), count(Effect::Yes) + count(Effect::Maybe));
        let least = if cleared == Effect::No { least } else { 0 };
        let counter = session.get::<usize>("n")?.unwrap_or(0);
        ensure((least..=most).contains(&counter), format!("a counter of {least} to {most}"), counter)?;
        let takes = |wanted| reports.iter().filter(|r| r.took && r.effect() == wanted).count();
        ensure(takes(Effect::Yes) <= 1, "a token is spent once", takes(Effect::Yes))?;
        is_there_unless(session, "base", cleared)?;
        is_there_unless(session, "token", worst(reports, |r| r.took || r.clears()))?;
        self.flash(session, reports)?;
        let user = session.user()?;
        let bound: Vec<_> = reports.iter().filter(|report| report.binds()).collect();
        let owned = reports.iter().any(|report| report.owned);
        let unbound = worst(reports, |report| report.unbound);
        let none_bound = bound.iter().all(|report| report.effect() != Effect::Yes);
        let right = match &user {
            None => none_bound && (!owned || unbound != Effect::No),
            Some(user) if user == OWNER => owned && none_bound && unbound != Effect::Yes,
            Some(user) => bound.iter().any(|r| *user == format!("u{}", r.slot) && r.effect() != Effect::No),
        };
        ensure(right, "the user who logged in", &user)?;
        if reports.iter().any(|report| report.outcome() == Some(&Outcome::Touched))
            && let (Some(clock), Some(deadline)) = (&self.clock, session.deadline()?)
        {
            let due = session_core::Clock::now(clock).saturating_add(Duration::from_secs(7_200));
            ensure(deadline >= due, "a touch moved the deadline", format_args!("{deadline:?}, not {due:?}"))?;
        }
        if self.clock.is_some() {
            self.pass(Duration::from_secs(120)).await;
            is_there_unless(session, "tmp", worst(reports, |r| r.expired || r.clears()))?;
        }
        Ok(())
    }

    fn flash(&self, session: &Session, reports: &[Report]) -> Check {
        let there = session.flash().keys()?;
        let users: Vec<_> = reports.iter().filter(|report| report.act == Act::Flash).collect();
        let flashes = users.iter().map(|user| (format!("g{}", user.slot), user.effect()));
        for (key, set) in flashes.chain([("seen".to_owned(), Effect::Yes)]) {
            let reads = |report: &Report| report.act == Act::Flash && report.saw.contains(&key);
            let consumed = worst(reports, |report| reads(report) || report.drops());
            let here = there.contains(&key);
            let right = match (set, consumed) {
                (Effect::No, _) | (_, Effect::Yes) => !here,
                (Effect::Yes, Effect::No) => here,
                _ => true,
            };
            let actual = format!("{key}: set {set:?}, consumed {consumed:?}, there {here}");
            ensure(right, "a flash value lasts until it was seen", actual)?;
        }
        Ok(())
    }
}

fn worst(reports: &[Report], which: impl Fn(&Report) -> bool) -> Effect {
    let effects = reports.iter().filter(|report| which(report)).map(Report::effect);
    effects.max().unwrap_or(Effect::No)
}

/// Fails unless the value of `key` is there, or is gone, as `gone` says.
fn is_there_unless(session: &Session, key: &str, gone: Effect) -> Check {
    let there = session.contains(key)?;
    let right = gone == Effect::Maybe || there == (gone == Effect::No);
    ensure(right, format!("whether {key} is there, where {gone:?} says whether it is gone"), there)
}
