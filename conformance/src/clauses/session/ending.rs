//! Ending the sessions of a user: beside other requests, and with calls that fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

use session_manager::{Committed, Event, Found, Handle, OnTooMany};

use super::common::*;
use super::users::{lists, logged_in};

pub(crate) async fn s96_sessions_of_a_user_can_be_ended(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    let bob = logged_in(&sessions, "bob").await?;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(logged_in(&sessions, "alice").await?);
    }
    let own = opened(&sessions, ids[0]).await?;
    let found = sessions.of_user("alice").await?;
    let other = found.iter().find(|found| !found.is(&own).unwrap_or(true));
    let handle = other.map(Found::handle).ok_or_else(|| unmet("another session", "none"))?;
    equal("whether the handle ended it", &sessions.end(&handle, "admin").await?, &true)?;
    equal("whether it ended it twice", &sessions.end(&handle, "admin").await?, &false)?;
    equal("the sessions that are left", &sessions.of_user("alice").await?.len(), &3)?;
    equal("how many others ended", &sessions.end_others(&own, "others").await?, &2)?;
    lists(&probe, &sessions, "alice", &ids[..1], "after ending the others").await?;
    equal("how many ended", &sessions.end_user("alice", "all").await?, &1)?;
    for id in &ids {
        nothing(&probe, *id, "after ending all").await?;
    }
    lists(&probe, &sessions, "alice", &[], "after ending all").await?;
    equal("how many ended of none", &sessions.end_user("alice", "all").await?, &0)?;
    lists(&probe, &sessions, "bob", &[bob], "of another user").await?;
    stopped_ends(stage).await?;
    // At most two sessions.
    for on_too_many in [OnTooMany::EndOldest, OnTooMany::Reject] {
        let user = format!("{on_too_many:?}");
        let (probe, sessions) = with(stage, |options| options.max_user_sessions(2, on_too_many)).await?;
        let one = logged_in(&sessions, &user).await?;
        let two = logged_in(&sessions, &user).await?;
        // A rotation does not count twice.
        let two = rotated(&sessions, two).await?;
        let third = sessions.load(None).await?;
        third.login(&user)?;
        probe.calls();
        if on_too_many == OnTooMany::EndOldest {
            done(&sessions, &third).await?;
            nothing(&probe, one, "of the oldest session").await?;
            lists(&probe, &sessions, &user, &[two, new_id(&third)?], "at most").await?;
        } else {
            let error = refused(sessions.finish(&third).await, ErrorKind::TooManySessions, "a third login")?;
            ensure(error.refuses_response(), "its response does not go out", "it goes out")?;
            tells_nothing(&third, "a refused login")?;
            nothing_else(&probe, &[], "after a refused login").await?;
            lists(&probe, &sessions, &user, &[one, two], "at most").await?;
        }
        for most in 1..=2 {
            two_at_once(stage, most, on_too_many).await?;
        }
    }
    Ok(())
}

/// Each call of these operations that `act` makes, by its number.
pub(super) async fn steps(
    probe: &Probe,
    of: &[Operation],
    act: impl Future<Output = Check>,
) -> Result<Vec<(Operation, usize)>, Failure> {
    probe.calls();
    act.await?;
    let made = probe.operations();
    let count = |operation| made.iter().filter(|made| **made == operation).count();
    Ok(of.iter().flat_map(|of| (1..=count(*of)).map(|number| (*of, number))).collect())
}

/// The calls that end sessions of a user.
const ENDS: [&str; 4] = ["end", "end_others", "end_user", "a login too many"];

/// Three sessions of alice, and what ends some of them.
struct Three {
    ids: [SessionId; 3],
    /// A request of the first.
    own: Session,
    /// Names the second.
    handle: Handle,
    /// A request that logs in.
    login: Session,
}

impl Three {
    async fn new(sessions: &Manager) -> Result<Self, Failure> {
        let mut ids = [None; 3];
        for id in &mut ids {
            *id = Some(logged_in(sessions, "alice").await?);
        }
        let [Some(one), Some(two), Some(three)] = ids else { return Err(unmet("three", "fewer")) };
        let (own, second) = (opened(sessions, one).await?, opened(sessions, two).await?);
        let found = sessions.of_user("alice").await?;
        let found = found.iter().find(|found| found.is(&second).unwrap_or(false));
        let handle = found.map(Found::handle).ok_or_else(|| unmet("the second is listed", "it is not"))?;
        let login = sessions.load(None).await?;
        login.login("alice")?;
        Ok(Self { ids: [one, two, three], own, handle, login })
    }

    async fn end(&self, sessions: &Manager, call: &str) -> Result<(), Error> {
        match call {
            "end" => sessions.end(&self.handle, "one").await.map(drop),
            "end_others" => sessions.end_others(&self.own, "others").await.map(drop),
            "end_user" => sessions.end_user("alice", "all").await.map(drop),
            _ => self.login.commit().await.map(drop),
        }
    }

    /// The sessions that live after the end.
    fn left(&self, call: &str) -> Vec<SessionId> {
        let [one, two, three] = self.ids;
        match call {
            "end" => vec![one, three],
            "end_others" => vec![one],
            "end_user" => vec![],
            _ => [two, three].into_iter().chain(told(&self.login)).collect(),
        }
    }
}

/// Each call that ends sessions is dropped, refused or not answered at each of its store calls.
async fn stopped_ends(stage: &Stage) -> Check {
    let (probe, sessions) = with(stage, |options| options.max_user_sessions(3, OnTooMany::EndOldest)).await?;
    for call in ENDS {
        let three = Three::new(&sessions).await?;
        let of = [Operation::Retrieve, Operation::Remove, Operation::Store];
        let steps = steps(&probe, &of, async { Ok(three.end(&sessions, call).await?) }).await?;
        lists(&probe, &sessions, "alice", &three.left(call), &format!("after {call}")).await?;
        sessions.end_user("alice", "all").await?;
        for (operation, number) in steps {
            for (name, fault) in [
                ("dropped", Fault::Stall),
                ("refused", Fault::Refuse),
                ("not answered", Fault::LoseAnswer),
                ("lost", Fault::LoseCall),
            ] {
                if operation == Operation::Retrieve && matches!(fault, Fault::LoseAnswer | Fault::LoseCall) {
                    continue;
                }
                let what = format!("after {call} is {name} at {operation:?} {number}");
                let three = Three::new(&sessions).await?;
                probe.calls();
                probe.plan(operation, number, fault);
                drop(probe.drop_at_stall(three.end(&sessions, call)).await);
                is_known(&sessions, three.ids.into_iter().chain(told(&three.login)), &what).await?;
                three.end(&sessions, call).await?;
                let left = three.left(call);
                is_known(&sessions, three.ids.into_iter().chain(told(&three.login)), &what).await?;
                if call == "a login too many" {
                    // A dropped login may leave a session that no client has. It counts too.
                    let new = told(&three.login).ok_or_else(|| unmet("an id of the login", "none"))?;
                    opened(&sessions, new).await.map(drop)?;
                    nothing(&probe, three.ids[0], &what).await?;
                    let count = sessions.of_user("alice").await?.len();
                    ensure(count <= 3, format!("at most three sessions {what}"), count)?;
                } else {
                    lists(&probe, &sessions, "alice", &left, &format!("{what} and again")).await?;
                }
                sessions.end_user("alice", "all").await?;
            }
        }
    }
    Ok(())
}

/// Two requests that are about to log in or to rotate, and the sessions beside them.
struct Pair {
    others: Vec<SessionId>,
    first: (Session, Option<SessionId>),
    second: (Session, Option<SessionId>),
}

impl Pair {
    /// One of two logins fits. Two rotations are of one session, and all fit.
    async fn new(sessions: &Manager, most: usize, way: &str) -> Result<Self, Failure> {
        let mut others = Vec::new();
        for _ in 1..most {
            others.push(logged_in(sessions, "alice").await?);
        }
        let first = prepared(sessions, way).await?;
        let second = if way == "rotate" {
            let session = sessions.load(first.1).await?;
            session.rotate()?;
            (session, first.1)
        } else {
            prepared(sessions, way).await?
        };
        Ok(Self { others, first, second })
    }
}

/// The id that a client has after the response to a login or a rotation, if it goes out.
fn delivered(
    (session, old): &(Session, Option<SessionId>),
    committed: Result<Committed, Error>,
) -> Result<Option<SessionId>, Failure> {
    match committed {
        Ok(committed) if committed.refuses_response() => Ok(None),
        Ok(_) => Ok(told(session).or(*old)),
        committed => {
            let error = refused(committed, ErrorKind::TooManySessions, "a login too many")?;
            ensure(error.refuses_response(), "its response does not go out", "it goes out")?;
            tells_nothing(session, "a refused login")?;
            Ok(None)
        }
    }
}

/// Two requests at once, where a user may have `most` sessions: the second runs before each step of the first.
async fn two_at_once(stage: &Stage, most: usize, on_too_many: OnTooMany) -> Check {
    let ears = Arc::new(Ears::default());
    let (probe, sessions) =
        with(stage, |options| options.max_user_sessions(most, on_too_many).observer(Arc::clone(&ears) as _))
            .await?;
    for way in ["new login", "login", "rotate"] {
        let pair = Pair::new(&sessions, most, way).await?;
        let of = [Operation::Retrieve, Operation::Store];
        let steps = steps(&probe, &of, done(&sessions, &pair.first.0)).await?;
        sessions.end_user("alice", "all").await?;
        for (operation, number) in steps {
            let what = format!("with two of {way} at {operation:?} {number}, and at most {most}");
            let Pair { others, first, second } = Pair::new(&sessions, most, way).await?;
            let (manager, twin) = (sessions.clone(), second.0.clone());
            let (sent, received) = channel();
            let heard = ears.heard().len();
            probe.calls();
            probe.before(operation, number, async move { sent.send(manager.finish(&twin).await) });
            let one = delivered(&first, sessions.finish(&first.0).await)?;
            let ran = received.try_recv().map_err(|cause| unmet("the second request ran", cause))?;
            let two = delivered(&second, ran)?;
            ensure(one.or(two).is_some(), format!("a request succeeds {what}"), "none does")?;
            let ids = [first.1, second.1, told(&first.0), told(&second.0)].into_iter().flatten();
            is_known(&sessions, others.iter().copied().chain(ids), &what).await?;
            let count = sessions.of_user("alice").await?.len();
            ensure(count <= most, format!("the number of sessions {what}"), count)?;
            let mut dead = 0;
            for id in others.into_iter().chain(one).chain(two) {
                dead += usize::from(!sessions.load(id).await?.exists()?);
            }
            let too_many = Event::Ended(EndReason::Destroyed("too many sessions".into()));
            let ended = ears.heard().iter().skip(heard).filter(|(_, event)| *event == too_many).count();
            ensure(dead <= ended, format!("an event for each session that ended {what}"), (dead, ended))?;
            if on_too_many == OnTooMany::Reject || way == "rotate" {
                equal(&format!("the sessions that ended {what}"), &dead, &0)?;
            }
            sessions.end_user("alice", "all").await?;
        }
    }
    Ok(())
}

/// The ways in which a session becomes that of alice, moves, or is hers no longer.
const WAYS: [&str; 5] = ["login", "new login", "rotate", "bind_user", "unbind_user"];

/// A request that is about to commit one of them, and the id that its client has.
pub(super) async fn prepared(sessions: &Manager, way: &str) -> Result<(Session, Option<SessionId>), Failure> {
    let old = match way {
        "new login" => None,
        "rotate" | "unbind_user" => Some(logged_in(sessions, "alice").await?),
        _ => Some(begun(sessions, |session| session.insert("cart", &1)).await?),
    };
    let session = sessions.load(old).await?;
    match way {
        "rotate" => session.rotate()?,
        "bind_user" => session.bind_user("alice")?,
        "unbind_user" => drop(session.unbind_user()?),
        _ => session.login("alice")?,
    }
    Ok((session, old))
}

fn told(session: &Session) -> Option<SessionId> {
    match session.id_update() {
        IdUpdate::Set { id, .. } => Some(id),
        _ => None,
    }
}

/// Fails unless each of these sessions is listed if it is alice's.
async fn is_known(sessions: &Manager, ids: impl IntoIterator<Item = SessionId>, what: &str) -> Check {
    for id in ids {
        let session = sessions.load(id).await?;
        if session.user()?.as_deref() == Some("alice") {
            let found = sessions.of_user("alice").await?;
            let listed = found.iter().any(|found| found.is(&session).unwrap_or(false));
            ensure(listed, format!("a session is listed {what}"), "it is not")?;
        }
    }
    Ok(())
}

pub(crate) async fn s97_dropped_login_leaves_no_unknown_session(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    for way in WAYS {
        let (session, _) = prepared(&sessions, way).await?;
        let stores = steps(&probe, &[Operation::Store], done(&sessions, &session)).await?;
        sessions.end_user("alice", "all").await?;
        for (number, (name, fault)) in stores.into_iter().flat_map(|(_, number)| {
            [
                ("a dropped request", Fault::Stall),
                ("a lost answer", Fault::LoseAnswer),
                ("a lost call", Fault::LoseCall),
                ("a refusal", Fault::Refuse),
            ]
            .map(|fault| (number, fault))
        }) {
            let what = format!("after {way} with {name} at store {number}");
            let (session, old) = prepared(&sessions, way).await?;
            probe.calls();
            probe.plan(Operation::Store, number, fault);
            let committed = probe.drop_at_stall(session.commit()).await;
            is_known(&sessions, old.into_iter().chain(told(&session)), &what).await?;
            if !matches!(committed, Some(Ok(_))) {
                // The handle can be used again.
                done(&sessions, &session).await?;
            }
            let id = told(&session).or(old).ok_or_else(|| unmet("an id", "none"))?;
            let user = opened(&sessions, id).await?.user()?;
            equal(&format!("whether a user is bound {what}"), &user.is_some(), &(way != "unbind_user"))?;
            is_known(&sessions, [id], &what).await?;
            // No other session of the user can be used, so ending all leaves none that a client knows.
            sessions.end_user("alice", "all").await?;
            for id in old.into_iter().chain([id]) {
                let lives = sessions.load(id).await?.exists()?;
                let is_guest = way == "unbind_user" && Some(id) == told(&session);
                equal(&format!("whether it lives {what} and the end"), &lives, &is_guest)?;
            }
        }
    }
    Ok(())
}

/// Ends all sessions of alice, or all but one.
#[derive(Clone)]
struct Ender {
    sessions: Manager,
    but: Option<Session>,
}

impl Ender {
    /// With `others`, a session that stays logs in.
    async fn new(sessions: &Manager, others: bool) -> Result<Self, Failure> {
        let but = match others {
            true => Some(opened(sessions, logged_in(sessions, "alice").await?).await?),
            false => None,
        };
        Ok(Self { sessions: sessions.clone(), but })
    }

    async fn end(&self) -> Result<usize, Error> {
        match &self.but {
            Some(own) => self.sessions.end_others(own, "others").await,
            None => self.sessions.end_user("alice", "all").await,
        }
    }

    const fn name(&self) -> &'static str {
        if self.but.is_some() { "end_others" } else { "end_user" }
    }

    async fn check_own(&self, what: &str) -> Check {
        let Some(own) = &self.but else { return Ok(()) };
        ensure(own.reload().await?, format!("its own session lives {what}"), "it has ended")
    }
}

pub(crate) async fn s98_log_out_everywhere_misses_no_session(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    for others in [false, true] {
        let ender = Ender::new(&sessions, others).await?;
        for way in WAYS {
            ends_beside(&probe, &ender, way).await?;
        }
        for _ in 0..stage.amount(10, 100) {
            ends_while_it_rotates(&ender).await?;
        }
    }
    sessions.end_user("alice", "all").await?;
    for way in ["rotate", "login"] {
        spares_its_own(&probe, &sessions, way).await?;
    }
    Ok(())
}

/// The sessions end before each step of another request.
async fn ends_beside(probe: &Probe, ender: &Ender, way: &str) -> Check {
    let sessions = &ender.sessions;
    let (session, _) = prepared(sessions, way).await?;
    let of = [Operation::Retrieve, Operation::Store];
    let steps = steps(probe, &of, done(sessions, &session)).await?;
    ender.end().await?;
    for (operation, number) in steps {
        let what = format!("after {} before {operation:?} {number} of {way}", ender.name());
        let (session, old) = prepared(sessions, way).await?;
        let (ends, ran) = (ender.clone(), Arc::new(AtomicBool::new(false)));
        let runs = Arc::clone(&ran);
        probe.calls();
        probe.before(operation, number, async move {
            runs.store(true, Ordering::Relaxed);
            ends.end().await.map(drop)
        });
        let committed = sessions.finish(&session).await?;
        let ids: Vec<_> = old.into_iter().chain(told(&session)).collect();
        ensure(ran.load(Ordering::Relaxed), format!("they end {what}"), "they do not")?;
        is_known(sessions, ids.clone(), &what).await?;
        if way == "rotate" {
            for id in &ids {
                let lives = sessions.load(*id).await?.exists()?;
                ensure(!lives, format!("the rotated session has ended {what}"), &committed)?;
            }
        }
        ender.end().await?;
        for id in ids {
            let session = sessions.load(id).await?;
            ensure(session.user()?.is_none(), format!("no session of the user {what}"), "one")?;
        }
        ender.check_own(&what).await?;
    }
    Ok(())
}

/// The sessions end while a task rotates one all the time.
async fn ends_while_it_rotates(ender: &Ender) -> Check {
    let id = logged_in(&ender.sessions, "alice").await?;
    let other = ender.sessions.clone();
    let rotates = tokio::spawn(async move {
        let mut ids = vec![id];
        for _ in 0..20 {
            let session = other.load(ids[ids.len() - 1]).await?;
            if !session.exists()? {
                break;
            }
            session.rotate()?;
            // The session may have ended meanwhile: the next load finds that out.
            let _ = other.finish(&session).await?;
            ids.extend(told(&session));
        }
        Ok::<_, Failure>(ids)
    });
    tokio::task::yield_now().await;
    ender.end().await?;
    for id in rotates.await.map_err(|cause| unmet("no panic", cause))?? {
        ensure(!ender.sessions.load(id).await?.exists()?, "no rotated session lives", "one does")?;
    }
    ender.check_own("beside a session that rotates").await
}

/// A session, another tab that moves it to a new id, and another session of the user.
struct Tabs {
    own: Session,
    tab: Session,
    old: SessionId,
    other: SessionId,
}

impl Tabs {
    async fn new(sessions: &Manager, way: &str) -> Result<Self, Failure> {
        let (old, other) = (logged_in(sessions, "alice").await?, logged_in(sessions, "alice").await?);
        let (own, tab) = (opened(sessions, old).await?, opened(sessions, old).await?);
        match way {
            "rotate" => tab.rotate()?,
            _ => tab.login("alice")?,
        }
        Ok(Self { own, tab, old, other })
    }
}

/// A session ends the user's others while another tab moves it to a new id, at each step of either.
async fn spares_its_own(probe: &Probe, sessions: &Manager, way: &str) -> Check {
    let of = [Operation::Retrieve, Operation::Store];
    for moves in [true, false] {
        let Tabs { own, tab, .. } = Tabs::new(sessions, way).await?;
        let steps = steps(probe, &of, async {
            match moves {
                true => done(sessions, &tab).await,
                false => sessions.end_others(&own, "others").await.map(|_| ()).map_err(Failure::from),
            }
        })
        .await?;
        sessions.end_user("alice", "all").await?;
        for (operation, number) in steps {
            let during = if moves { way } else { "end_others" };
            let what = format!("after {way} and end_others, one at {operation:?} {number} of {during}");
            let Tabs { own, tab, old, other } = Tabs::new(sessions, way).await?;
            let (manager, twin) = (sessions.clone(), if moves { own.clone() } else { tab.clone() });
            let (sent, received) = channel();
            probe.calls();
            probe.before(operation, number, async move {
                let ended = if moves { manager.end_others(&twin, "others").await? } else { 0 };
                if !moves {
                    // The checks below show what it came to.
                    let _ = manager.finish(&twin).await?;
                }
                sent.send(ended).map_err(|cause| unmet("the request waits", cause))
            });
            let mut ended = 0;
            if moves {
                done(sessions, &tab).await?;
            } else {
                ended = sessions.end_others(&own, "others").await?;
            }
            ended += received.try_recv().map_err(|cause| unmet("the other request ran", cause))?;
            let session =
                opened(sessions, told(&tab).unwrap_or(old)).await.map_err(|f| f.with(what.clone()))?;
            equal(&format!("the user {what}"), &session.user()?.as_deref(), &Some("alice"))?;
            // It ends nothing if it finds that its id is replaced.
            let lives = sessions.load(other).await?.exists()?;
            equal(&format!("whether the other session lives {what}"), &lives, &(ended == 0))?;
            ensure(!moves || ended == 1, format!("the other session ends {what}"), "it lives")?;
            is_known(sessions, [old, other].into_iter().chain(told(&tab)), &what).await?;
            sessions.end_user("alice", "all").await?;
        }
    }
    Ok(())
}
