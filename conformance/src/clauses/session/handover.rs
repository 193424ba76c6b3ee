//! Sessions of a system that is replaced.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use session_core::StoreErrorKind;
use session_manager::{EndOld, HandoverSource, OldId, OnOldFailure, Prepared, SessionsBuilder};

use super::common::*;

/// How long a takeover may take before another request may try.
const CLAIM: Duration = Duration::from_secs(30);
/// An id of the old system that could be one of ours.
const OLD: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The old system: users by the ids of their sessions.
#[derive(Clone, Default)]
struct Old(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    users: BTreeMap<Vec<u8>, String>,
    is_away: bool,
}

impl Old {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_in(&self, user: &str) {
        let _ = self.state().users.insert(OLD.into(), user.to_owned());
    }

    fn log_out(&self) {
        self.state().users.clear();
    }

    fn has(&self) -> bool {
        !self.state().users.is_empty()
    }
}

impl HandoverSource for Old {
    type Old = String;

    fn find(&self, _: &HeaderMap) -> Option<OldId> {
        None
    }

    async fn read(&self, id: &OldId) -> session_core::Result<Option<String>> {
        let state = self.state();
        if state.is_away {
            return Err(StoreError::new(StoreErrorKind::Unavailable, Operation::Retrieve));
        }
        Ok(state.users.get(id.as_bytes()).cloned())
    }

    async fn end(&self, id: &OldId) -> session_core::Result<()> {
        let _ = self.state().users.remove(id.as_bytes());
        Ok(())
    }
}

fn map(user: &str, session: &Session) -> Result<bool, Error> {
    session.login(user)?;
    session.insert("from", user)?;
    Ok(true)
}

/// Alice is logged in over there.
async fn replacing(
    stage: &Stage,
    options: impl FnOnce(SessionsBuilder<Probe>) -> SessionsBuilder<Probe>,
) -> Result<(Old, Probe, Manager), Failure> {
    let old = Old::default();
    old.log_in("alice");
    let source = old.clone();
    let handover =
        |builder: SessionsBuilder<Probe>| builder.handover(source, |user, session| map(&user, session));
    let (probe, sessions) = with(stage, |builder| options(handover(builder))).await?;
    Ok((old, probe, sessions))
}

fn presents(id: impl Into<Option<SessionId>>) -> RequestInfo {
    RequestInfo::from(id.into()).old(Some(OldId::new(OLD)))
}

/// A whole request that presents the old id, and an id of ours if there is one.
async fn visits(sessions: &Manager, id: impl Into<Option<SessionId>>) -> Result<Session, Failure> {
    let session = sessions.load(presents(id)).await?;
    let _ = sessions.finish(&session).await?;
    Ok(session)
}

/// The user of a request that presents the old id alone.
async fn user_of(sessions: &Manager) -> Result<Option<String>, Failure> {
    Ok(visits(sessions, None).await?.user()?)
}

async fn live_sessions(sessions: &Manager, user: &str) -> Result<usize, Failure> {
    Ok(sessions.of_user(user).await?.len())
}

pub(crate) async fn s141_old_session_is_taken_over_once(stage: &Stage) -> Check {
    let looks_like_ours = SessionId::parse(OLD.as_bytes());
    // The first store of a takeover is its claim, the last its marker. Another request comes before each call.
    for number in 1..=3 {
        let (old, probe, sessions) = replacing(stage, |options| options).await?;
        let other = Sessions::builder(Probe::new(probe.inner().clone()))
            .handover(old, |user: String, session: &Session| map(&user, session))
            .build()?;
        let winner = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&winner);
        probe.before(Operation::Store, number, async move {
            let session = visits(&other, None).await?;
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = session.user()?;
            Ok::<_, Failure>(())
        });
        let session = visits(&sessions, None).await?;
        let theirs = winner.lock().unwrap_or_else(PoisonError::into_inner).take();
        let users = [session.user()?, theirs];
        equal("the requests that got the session", &users.iter().flatten().count(), &1)?;
        equal("the sessions of the user", &live_sessions(&sessions, "alice").await?, &1)?;
        if let Ok(id) = new_id(&session) {
            ensure(Some(id) != looks_like_ours, "another id than the old one", "the same")?;
        }
        // Nor does the old id open it.
        let under_old = sessions.load(looks_like_ours).await?;
        equal("the user under the old id", &under_old.user()?, &None)?;
        equal("the user of a later request", &user_of(&sessions).await?, &None)?;
        forget(stage, &sessions).await?;
    }
    // A takeover that takes too long loses to the next one.
    let (_, probe, sessions) = replacing(stage, |options| options).await?;
    let next = sessions.clone();
    let clock = stage.virtual_clock();
    probe.before(Operation::Store, 2, async move {
        if let Some(clock) = clock {
            clock.advance(CLAIM);
        }
        equal("the user of the next request", &user_of(&next).await?.as_deref(), &Some("alice"))
    });
    equal("the user of the slow request", &user_of(&sessions).await?, &None)?;
    equal("the sessions of the user", &live_sessions(&sessions, "alice").await?, &1)
}

/// How many stores a takeover makes.
async fn stores_of_takeover(stage: &Stage) -> Result<usize, Failure> {
    let (_, probe, sessions) = replacing(stage, |options| options).await?;
    equal("the user of a takeover", &user_of(&sessions).await?.as_deref(), &Some("alice"))?;
    let stores = probe.operations().iter().filter(|operation| **operation == Operation::Store).count();
    forget(stage, &sessions).await?;
    Ok(stores)
}

pub(crate) async fn s142_takeover_that_stops_is_repeated(stage: &Stage) -> Check {
    let stores = stores_of_takeover(stage).await?;
    ensure(stores >= 3, "a claim, a session and a marker", stores)?;
    for number in 1..=stores {
        let (old, probe, sessions) = replacing(stage, |options| options).await?;
        probe.plan(Operation::Store, number, Fault::Stall);
        ensure(
            probe.drop_at_stall(visits(&sessions, None)).await.is_none(),
            format!("a takeover stops at store {number}"),
            "it ends",
        )?;
        equal("the user of a request at once", &user_of(&sessions).await?, &None)?;
        advance(stage, CLAIM);
        // After the last store only the response is missing: the client has to log in again.
        let expected = Some("alice").filter(|_| number < stores);
        equal("the user after the claim", &user_of(&sessions).await?.as_deref(), &expected)?;
        equal("the user once more", &user_of(&sessions).await?, &None)?;
        ensure(old.has(), "the old session stays", "it has ended")?;
        forget(stage, &sessions).await?;
        takeover_of_a_clock_ahead_stops(stage, number, stores).await?;
    }
    Ok(())
}

/// A takeover stops while the clock is ahead, which is right again for the next request: nothing waits for that clock.
async fn takeover_of_a_clock_ahead_stops(stage: &Stage, number: usize, stores: usize) -> Check {
    const MONTHS: Duration = Duration::from_secs(90 * 86_400);
    for prepares in [false, true] {
        let (_, probe, sessions) = replacing(stage, |options| options).await?;
        let right = stage.now();
        if prepares {
            let until = after(stage, 2 * MONTHS);
            let prepared = sessions.prepare(&OldId::new(OLD), until, |session| map("alice", session)).await?;
            equal("a preparation", &prepared, &Prepared::Stored)?;
        }
        stage.set(right.saturating_add(MONTHS));
        probe.plan(Operation::Store, number, Fault::Stall);
        ensure(
            probe.drop_at_stall(visits(&sessions, None)).await.is_none(),
            format!("a takeover stops at store {number}"),
            "it ends",
        )?;
        stage.set(right);
        let session = visits(&sessions, None).await?;
        let expected = Some("alice").filter(|_| number < stores);
        equal("the user with the clock set right", &session.user()?.as_deref(), &expected)?;
        if expected.is_none() {
            equal("the end reason", &session.end_reason()?, &None)?;
            let session = sessions.load(presents(None)).await?;
            session.insert("a", &1)?;
            came_to(&sessions.finish(&session).await?, &Outcome::Created, "a write beside an old id")?;
        }
        equal("the user once more", &user_of(&sessions).await?, &None)?;
        stage.set(right.saturating_add(MONTHS));
        forget(stage, &sessions).await?;
    }
    Ok(())
}

pub(crate) async fn s143_logout_closes_the_old_session(stage: &Stage) -> Check {
    for (end, at_once, at_logout) in
        [(EndOld::Never, false, false), (EndOld::Now, true, true), (EndOld::AtLogout, false, true)]
    {
        // The second session was never taken over: the client has a session of ours.
        for is_taken in [true, false] {
            let (old, _, sessions) = replacing(stage, |options| options.end_old(end)).await?;
            let id = if is_taken {
                let session = visits(&sessions, None).await?;
                equal(&format!("{end:?}: the old session ended"), &!old.has(), &at_once)?;
                new_id(&session)?
            } else {
                begun(&sessions, |session| session.login("alice")).await?
            };
            let session = sessions.load(presents(id)).await?;
            ensure(session.destroy("logout").await?, "the session ends", "it does not")?;
            equal(&format!("{end:?}: the old session ended by the logout"), &!old.has(), &at_logout)?;
            nothing_under(&sessions, id).await?;
            // Also if the old system keeps it, for longer than ours could have lived.
            old.log_in("alice");
            for _ in 0..29 {
                let next = visits(&sessions, None).await?;
                equal(&format!("{end:?}: the user after the logout"), &next.user()?, &None)?;
                equal("the reason", &next.end_reason()?, &None)?;
                advance(stage, 24 * HOUR);
            }
            forget(stage, &sessions).await?;
        }
    }
    Ok(())
}

pub(crate) async fn s144_prepared_session_waits_for_its_client(stage: &Stage) -> Check {
    let (old, probe, sessions) = replacing(stage, |options| options).await?;
    // The old store is not asked any more.
    old.log_out();
    let prepare = async |user: &'static str, until| {
        sessions.prepare(&OldId::new(OLD), until, |session| map(user, session)).await
    };
    equal("one that has ended", &prepare("alice", stage.now()).await?, &Prepared::Expired)?;
    let until = after(stage, 24 * HOUR);
    equal("a first preparation", &prepare("alice", until).await?, &Prepared::Stored)?;
    equal("a second one", &prepare("mallory", until).await?, &Prepared::Known)?;
    // It has no id, and belongs to no list.
    equal("the sessions of the user", &live_sessions(&sessions, "alice").await?, &0)?;
    // A takeover that stops loses nothing.
    for number in 1..=2 {
        probe.plan(Operation::Store, number, Fault::Stall);
        ensure(probe.drop_at_stall(visits(&sessions, None)).await.is_none(), "a takeover stops", "it ends")?;
        equal("the user of a request at once", &user_of(&sessions).await?, &None)?;
        advance(stage, CLAIM);
    }
    let session = visits(&sessions, None).await?;
    equal("the user of the first request", &session.user()?.as_deref(), &Some("alice"))?;
    equal("its value", &session.get::<String>("from")?.as_deref(), &Some("alice"))?;
    equal("its creation", &session.created()?, &Some(stage.now()))?;
    finds(&sessions, new_id(&session)?, "from", Some("alice".to_owned())).await?;
    equal("the user of the next request", &user_of(&sessions).await?, &None)?;
    equal("a late preparation", &prepare("mallory", until).await?, &Prepared::Known)?;
    forget(stage, &sessions).await?;
    // It ends when the old one would have.
    let until = after(stage, HOUR);
    equal("a new preparation", &prepare("alice", until).await?, &Prepared::Stored)?;
    advance(stage, HOUR);
    equal("the user after the end", &user_of(&sessions).await?, &None)?;
    // A logout removes it.
    equal("another preparation", &prepare("alice", after(stage, HOUR)).await?, &Prepared::Stored)?;
    let id = begun(&sessions, |session| session.insert("a", &1)).await?;
    ensure(sessions.load(presents(id)).await?.destroy("logout").await?, "the session ends", "it does not")?;
    equal("the user after a logout", &user_of(&sessions).await?, &None)
}

pub(crate) async fn s145_old_system_owns_the_logins(stage: &Stage) -> Check {
    let (old, _, sessions) = replacing(stage, |options| options.old_owns(OnOldFailure::Fail)).await?;
    old.log_out();
    // A visitor without a login has a session of ours alone.
    let anonymous = begun(&sessions, |session| session.insert("cart", &2)).await?;
    let session = visits(&sessions, anonymous).await?;
    equal("the user before a login", &session.user()?, &None)?;
    // A login over there logs in here, under a new id, and the cart stays.
    old.log_in("alice");
    let session = visits(&sessions, anonymous).await?;
    equal("the user after a login", &session.user()?.as_deref(), &Some("alice"))?;
    equal("the cart", &session.get::<u64>("cart")?, &Some(2))?;
    let id = new_id(&session)?;
    nothing_under(&sessions, anonymous).await?;
    // Writes of ours stay, whatever the old system's are.
    let one = sessions.load(presents(id)).await?;
    let two = sessions.load(presents(id)).await?;
    add_to(&one, "cart")?;
    add_to(&two, "cart")?;
    done(&sessions, &one).await?;
    done(&sessions, &two).await?;
    let session = visits(&sessions, id).await?;
    equal("the cart of two requests", &session.get::<u64>("cart")?, &Some(4))?;
    tells_nothing(&session, "a request that changes nothing")?;
    // A store that fails.
    old.state().is_away = true;
    ensure(
        sessions.load(presents(id)).await.is_err(),
        "a request without the old store fails",
        "it does not",
    )?;
    old.state().is_away = false;
    // Another user gets nothing of the first one.
    old.log_in("bob");
    let session = visits(&sessions, id).await?;
    equal("the user after another login", &session.user()?.as_deref(), &Some("bob"))?;
    equal("the cart of the first user", &session.get::<u64>("cart")?, &None)?;
    let bob = new_id(&session)?;
    nothing_under(&sessions, id).await?;
    // A logout over there, and the same id again.
    old.log_out();
    let session = visits(&sessions, bob).await?;
    equal("the user after a logout", &session.user()?, &None)?;
    equal("the client's instruction", &session.id_update(), &IdUpdate::Clear)?;
    nothing_under(&sessions, bob).await?;
    old.log_in("alice");
    let session = visits(&sessions, None).await?;
    equal("the user after the next login", &session.user()?.as_deref(), &Some("alice"))?;
    // A logout here.
    let id = new_id(&session)?;
    ensure(sessions.load(presents(id)).await?.destroy("logout").await?, "the session ends", "it does not")?;
    ensure(!old.has(), "the old session has ended", "it lives")?;
    equal("the user after a logout here", &user_of(&sessions).await?, &None)?;
    // A login that was followed while the clock was ahead is followed again, without a wait for that clock.
    forget(stage, &sessions).await?;
    old.log_in("alice");
    let right = stage.now();
    stage.set(right.saturating_add(2 * HOUR));
    equal("the user with a clock ahead", &user_of(&sessions).await?.as_deref(), &Some("alice"))?;
    stage.set(right);
    equal("the user with the clock set right", &user_of(&sessions).await?.as_deref(), &Some("alice"))
}

/// Fails if a session is under this id.
async fn nothing_under(sessions: &Manager, id: SessionId) -> Check {
    let session = sessions.load(id).await?;
    equal("the session under an earlier id", &session.exists()?, &false)?;
    equal("its user", &session.user()?, &None)
}

/// Lets everything end that a scenario has left.
async fn forget(stage: &Stage, sessions: &Manager) -> Check {
    advance(stage, 31 * 24 * HOUR);
    unless_unsupported(sessions.driver().purge(1_000).await)?;
    Ok(())
}
