//! The invariants after requests of one session met in any order. The clauses of level session check them over any driver,
//! and the tests of `session-manager` try all combinations.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use session_core::{Condition, Driver, Key, Revision, SessionId, TestClock};
use session_manager::{Committed, EndReason, Error, ErrorKind, IdUpdate, Outcome, Session, Sessions};

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
        matches!(self, Self::Rotate | Self::RotateInsert | Self::BindRotate | Self::Login)
    }
}

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
        let old = self.begun().await?;
        if acts.contains(&Act::Touch) {
            self.pass(Duration::from_millis(10)).await;
        }
        self.driver.close_gates();
        self.driver.set_fate(fate.map_or(usize::MAX, |(number, _)| number), fate.map_or(Fate::Late, |f| f.1));
        let requests = acts.iter().enumerate().map(|(slot, act)| {
            Box::pin(perform(&self.sessions, old, *act, slot)) as Request<'_, Result<Report, Error>>
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

    async fn begun(&self) -> Result<SessionId, Failure> {
        let session = self.sessions.load(None).await?;
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
        let maybe_rotated =
            reports.iter().any(|report| report.act.rotates() && report.effect() == Effect::Maybe);
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
            if session.flash().get::<u32>("family")?.is_some() {
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
        for user in reports.iter().map(|report| format!("u{}", report.slot)) {
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
        let cleared = worst(reports, |report| report.act == Act::Clear);
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
        is_there_unless(session, "token", worst(reports, |r| r.took || r.act == Act::Clear))?;
        self.flash(session, reports)?;
        let user = session.user()?;
        let bound: Vec<_> = reports.iter().filter(|report| report.binds()).collect();
        let right = match &user {
            None => bound.iter().all(|report| report.effect() != Effect::Yes),
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
            is_there_unless(session, "tmp", worst(reports, |r| r.expired || r.act == Act::Clear))?;
        }
        Ok(())
    }

    fn flash(&self, session: &Session, reports: &[Report]) -> Check {
        let there = session.flash().keys()?;
        let users: Vec<_> = reports.iter().filter(|report| report.act == Act::Flash).collect();
        let flashes = users.iter().map(|user| (format!("g{}", user.slot), user.effect()));
        for (key, set) in flashes.chain([("seen".to_owned(), Effect::Yes)]) {
            let consumed = worst(reports, |report| report.act == Act::Flash && report.saw.contains(&key));
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

/// Whether what a request recorded has come to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Effect {
    No,
    Maybe,
    Yes,
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

/// A request's own report.
struct Report {
    act: Act,
    slot: usize,
    /// Whether it found the session.
    found: bool,
    /// Whether it found a tombstone.
    replaced: bool,
    saw: Vec<String>,
    took: bool,
    expired: bool,
    destroyed: Option<Result<bool, ErrorKind>>,
    first: Option<Result<Committed, Error>>,
    done: Result<Committed, Error>,
    action: IdUpdate,
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{}: ", self.act, self.slot)?;
        if !self.found {
            f.write_str(if self.replaced { "replaced, " } else { "absent, " })?;
        }
        if let Some(destroyed) = &self.destroyed {
            write!(f, "destroyed {destroyed:?}, ")?;
        }
        if let Some(first) = &self.first {
            write!(f, "first {:?}, ", first.as_ref().map(|done| &done.outcome))?;
        }
        write!(f, "{:?}, {:?}", self.done.as_ref().map(|done| &done.outcome), self.action)
    }
}

fn effect(found: bool, done: &Result<Committed, Error>) -> Effect {
    match done {
        Ok(done) => match done.outcome {
            Outcome::Ended(_) | Outcome::Created => Effect::No,
            _ if !found => Effect::No,
            _ => Effect::Yes,
        },
        Err(error) if error.kind() == ErrorKind::Uncertain && found => Effect::Maybe,
        Err(_) => Effect::No,
    }
}

impl Report {
    fn own(&self) -> String {
        format!("k{}", self.slot)
    }

    fn outcome(&self) -> Option<&Outcome> {
        self.done.as_ref().ok().map(|done| &done.outcome)
    }

    fn effect(&self) -> Effect {
        // A first commit that is still in doubt when the second fails leaves its part in doubt, and no more.
        effect(self.found, &self.done)
    }

    fn effect_of_first(&self) -> Effect {
        match &self.first {
            // The last commit has found out what became of the first, unless it failed too.
            Some(first) if effect(self.found, first) == Effect::Maybe => match &self.done {
                Err(error) if error.kind() != ErrorKind::Uncertain => Effect::Maybe,
                _ => self.effect(),
            },
            Some(Err(_)) => self.effect(),
            Some(first) => effect(self.found, first),
            None => self.effect(),
        }
    }

    fn binds(&self) -> bool {
        matches!(self.act, Act::BindRotate | Act::Login)
    }

    /// Whether it was a login that found its session gone.
    fn began_anew(&self) -> bool {
        self.act == Act::Login && self.outcome() == Some(&Outcome::Created)
    }

    /// The new session of a login that found its session gone: it has nothing of another login or rotation.
    fn check_login(&self, session: &Session, reports: &[Self]) -> Result<(), Failure> {
        equal("the user of a new session", &session.user()?, &Some(format!("u{}", self.slot)))?;
        ensure(session.contains(&self.own())?, "the login's own value", "it is not there")?;
        for other in reports.iter().filter(|other| other.slot != self.slot && other.act.rotates()) {
            ensure(!session.contains(&other.own())?, "nothing of another login", other.own())?;
        }
        let base = session.contains("base")?;
        let right = !base || self.found || reports.iter().any(|r| r.act == Act::Login && r.slot != self.slot);
        ensure(right, "data that the login loaded, or that another login left", "more")?;
        let cleared = reports.iter().any(|report| report.act == Act::Clear);
        ensure(base || !self.found || cleared, "the data that the login loaded", "it is not there")
    }

    fn told(&self) -> Option<SessionId> {
        match self.action {
            IdUpdate::Set { id, .. } => Some(id),
            _ => None,
        }
    }

    /// Whether what it says fits together, and fits what happened.
    fn check(&self, old: SessionId, ended: bool, rotated: bool, maybe_rotated: bool, faulty: bool) -> Check {
        let action = match &self.action {
            IdUpdate::Set { id, .. } if *id == old => "Repeat old",
            IdUpdate::Set { .. } => "Repeat",
            IdUpdate::Extend { .. } => "Extend",
            IdUpdate::Clear => "Forget",
            _ => "Keep",
        };
        let right: &[&str] = match (&self.destroyed, self.outcome()) {
            (Some(Ok(true)), _) => &["Forget"],
            (Some(_), _) => &["Keep"],
            (None, Some(Outcome::Rotated | Outcome::Created)) => &["Repeat"],
            (None, Some(Outcome::Ended(_))) => &["Keep"],
            // No other request knows the session that its first commit began.
            _ if matches!(&self.first, Some(Ok(first)) if first.outcome == Outcome::Created) => &["Repeat"],
            (None, Some(Outcome::Touched)) => &["Extend"],
            (None, _) => &["Keep", "Extend"],
        };
        ensure(right.contains(&action), format!("the client is told {right:?}"), action)?;
        match &self.done {
            Ok(done) => {
                let truthful = match &done.outcome {
                    Outcome::Created if self.act == Act::Login => ended || rotated || maybe_rotated,
                    Outcome::Created => !self.found && !self.replaced && ended,
                    Outcome::Ended(EndReason::Replaced) => rotated || maybe_rotated,
                    Outcome::Ended(EndReason::Destroyed(_)) => self.destroyed == Some(Ok(true)),
                    Outcome::Ended(_) => ended,
                    _ => true,
                };
                ensure(truthful, "an outcome that is true", &done.outcome)?;
                if matches!(done.outcome, Outcome::Ended(_)) {
                    ensure(self.act != Act::Login, "a login succeeds", &done.outcome)?;
                }
                if matches!(done.outcome, Outcome::Ended(_)) && (self.act.rotates() || self.took) {
                    ensure(done.refuses_response(), "the response is refused", "it goes out")?;
                }
            }
            Err(error) => {
                let usual = match error.kind() {
                    ErrorKind::Contention => self.took,
                    ErrorKind::Uncertain | ErrorKind::Store => faulty,
                    _ => false,
                };
                ensure(usual, "no error", error)?;
                if self.act.rotates() || self.took {
                    ensure(error.refuses_response(), "the response is refused", "it goes out")?;
                }
            }
        }
        let there = self.found || self.replaced || ended || maybe_rotated;
        ensure(there, "it finds the session", "nothing")
    }
}

async fn perform<D: Driver>(
    sessions: &Sessions<Probe<D>>,
    id: SessionId,
    act: Act,
    slot: usize,
) -> Result<Report, Error> {
    let mut session = sessions.load(id).await?;
    let (mut found, mut end) = (session.exists()?, session.end_reason()?);
    if act == Act::Refer && found {
        session.do_not_extend();
        let reference = session.reference()?;
        match reference.open().await? {
            Some(opened) => session = opened,
            None => (found, end) = (false, Some(reference.ended().await)),
        }
    }
    let own = format!("k{slot}");
    let (mut saw, mut took, mut expired) = (Vec::new(), false, false);
    let (mut destroyed, mut first) = (None, None);
    let add = |session: &Session| session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1).map(drop);
    match act {
        Act::Insert => session.insert(&own, &slot)?,
        Act::Refer if found => session.insert(&own, &slot)?,
        Act::Refer => {}
        Act::Update => add(&session)?,
        Act::Touch => drop(session.get::<u32>("n")?),
        Act::Destroy => destroyed = Some(session.destroy("logout").await.map_err(|error| error.kind())),
        Act::Rotate => session.rotate()?,
        Act::RotateInsert => {
            session.rotate()?;
            session.insert(&own, &slot)?;
        }
        Act::BindRotate => {
            session.bind_user(&format!("u{slot}"))?;
            session.rotate()?;
        }
        Act::Login => {
            session.insert(&own, &slot)?;
            session.login(&format!("u{slot}"))?;
        }
        Act::Take => took = session.take::<u32>("token")?.is_some(),
        Act::Flash => {
            saw = session.flash().keys()?;
            session.flash().keep("family")?;
            session.flash().set(&format!("g{slot}"), &slot)?;
        }
        Act::Clear => session.clear_values()?,
        Act::Expire => expired = session.expire_key("tmp", Duration::from_secs(60))?,
        Act::CommitThenMore => {
            session.insert(&own, &slot)?;
            first = Some(sessions.commit(&session).await);
            add(&session)?;
        }
    }
    let done = sessions.finish(&session).await;
    let action = session.id_update();
    let replaced = end == Some(EndReason::Replaced);
    Ok(Report { act, slot, found, replaced, saw, took, expired, destroyed, first, done, action })
}
