//! What one request of a walk does, and its own report.

use std::fmt;
use std::time::Duration;

use session_core::{Driver, SessionId};
use session_manager::{Committed, EndReason, Error, ErrorKind, IdUpdate, Outcome, Session, Sessions};

use super::Act;
use crate::failure::{Check, Failure, ensure, equal};
use crate::testing::Probe;

/// Whether what a request recorded has come to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Effect {
    No,
    Maybe,
    Yes,
}

/// A request's own report.
pub(super) struct Report {
    pub(super) act: Act,
    pub(super) slot: usize,
    /// Whether it found the session.
    pub(super) found: bool,
    /// Whether it found a tombstone.
    pub(super) replaced: bool,
    pub(super) saw: Vec<String>,
    pub(super) took: bool,
    pub(super) expired: bool,
    /// Whether the session had a user before the walk.
    pub(super) owned: bool,
    /// Whether it removed the user.
    pub(super) unbound: bool,
    pub(super) destroyed: Option<Result<bool, ErrorKind>>,
    pub(super) first: Option<Result<Committed, Error>>,
    pub(super) done: Result<Committed, Error>,
    pub(super) action: IdUpdate,
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
    pub(super) fn own(&self) -> String {
        format!("k{}", self.slot)
    }

    pub(super) fn outcome(&self) -> Option<&Outcome> {
        self.done.as_ref().ok().map(|done| &done.outcome)
    }

    pub(super) fn effect(&self) -> Effect {
        // A first commit that is still in doubt when the second fails leaves its part in doubt, and no more.
        effect(self.found, &self.done)
    }

    pub(super) fn effect_of_first(&self) -> Effect {
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

    pub(super) fn binds(&self) -> bool {
        self.act.binds()
    }

    /// Whether it asks for a new id. A request that finds no user to remove does not.
    pub(super) fn rotates(&self) -> bool {
        self.act.rotates() && (self.act != Act::Unbind || self.unbound)
    }

    /// Whether it logs in: binding a user over another one does so too.
    pub(super) fn logs_in(&self) -> bool {
        self.act == Act::Login || self.drops()
    }

    /// Whether it is a login over another user.
    pub(super) fn drops(&self) -> bool {
        self.owned && self.found && self.binds()
    }

    /// Whether it removes all values.
    pub(super) fn clears(&self) -> bool {
        self.act == Act::Clear || self.drops()
    }

    /// Whether it was a login that found its session gone.
    pub(super) fn began_anew(&self) -> bool {
        self.logs_in() && self.outcome() == Some(&Outcome::Created)
    }

    /// The new session of a login that found its session gone: it has nothing of another login or rotation.
    pub(super) fn check_login(&self, session: &Session, reports: &[Self]) -> Result<(), Failure> {
        equal("the user of a new session", &session.user()?, &Some(format!("u{}", self.slot)))?;
        let own = !self.act.inserts() || session.contains(&self.own())?;
        ensure(own, "the login's own value", "it is not there")?;
        for other in reports.iter().filter(|other| other.slot != self.slot && other.rotates()) {
            ensure(!session.contains(&other.own())?, "nothing of another login", other.own())?;
        }
        let base = session.contains("base")?;
        let right = !base || self.found || reports.iter().any(|r| r.act == Act::Login && r.slot != self.slot);
        ensure(right, "data that the login loaded, or that another login left", "more")?;
        ensure(!base || !self.owned, "nothing of another user", "a value")?;
        let cleared = reports.iter().any(|report| report.act == Act::Clear);
        ensure(
            base || !self.found || cleared || self.owned,
            "the data that the login loaded",
            "it is not there",
        )
    }

    pub(super) fn told(&self) -> Option<SessionId> {
        match self.action {
            IdUpdate::Set { id, .. } => Some(id),
            _ => None,
        }
    }

    /// Whether what it says fits together, and fits what happened.
    pub(super) fn check(
        &self,
        old: SessionId,
        ended: bool,
        rotated: bool,
        maybe_rotated: bool,
        faulty: bool,
    ) -> Check {
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
                    Outcome::Created if self.logs_in() => ended || rotated || maybe_rotated,
                    Outcome::Created => !self.found && !self.replaced && ended,
                    Outcome::Ended(EndReason::Replaced) => rotated || maybe_rotated,
                    Outcome::Ended(EndReason::Destroyed(_)) => self.destroyed == Some(Ok(true)),
                    Outcome::Ended(_) => ended,
                    _ => true,
                };
                ensure(truthful, "an outcome that is true", &done.outcome)?;
                if matches!(done.outcome, Outcome::Ended(_)) {
                    ensure(!self.logs_in(), "a login succeeds", &done.outcome)?;
                }
                if matches!(done.outcome, Outcome::Ended(_)) && (self.rotates() || self.took) {
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
                if self.rotates() || self.took {
                    ensure(error.refuses_response(), "the response is refused", "it goes out")?;
                }
            }
        }
        let there = self.found || self.replaced || ended || maybe_rotated;
        ensure(there, "it finds the session", "nothing")
    }
}

pub(super) async fn perform<D: Driver>(
    sessions: &Sessions<Probe<D>>,
    id: SessionId,
    owned: bool,
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
    let mut unbound = false;
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
        Act::Unbind => unbound = session.unbind_user()?,
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
    Ok(Report {
        act,
        slot,
        found,
        replaced,
        saw,
        took,
        expired,
        owned,
        unbound,
        destroyed,
        first,
        done,
        action,
    })
}
