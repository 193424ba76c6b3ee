//! References that outlive their request, and handles that are kept beyond it.

use std::time::Duration;

use session_manager::SessionRef;
use tokio::task::JoinHandle;

use super::common::*;
use crate::order::{Act, Ground};
use crate::testing::{Request, step};

/// Longer than any wait of a check: an end that only a poll notices would be missed.
const NEVER: Duration = HOUR;

/// A time after which a slow machine has answered.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A session of alice.
async fn of_alice(sessions: &Manager) -> Result<SessionId, Failure> {
    begun(sessions, |session| session.login("alice")).await
}

/// A reference from a request that is over.
async fn referred(sessions: &Manager, id: SessionId) -> Result<SessionRef, Failure> {
    let session = opened(sessions, id).await?;
    let reference = session.reference()?;
    done(sessions, &session).await?;
    Ok(reference)
}

async fn open(reference: &SessionRef) -> Result<Session, Failure> {
    reference.open().await?.ok_or_else(|| unmet("the session is there", "it has ended"))
}

/// Begins to wait for the end.
async fn waits(reference: &SessionRef) -> JoinHandle<EndReason> {
    let reference = reference.clone();
    let waiter = tokio::spawn(async move { reference.ended().await });
    nap(5 * MILLISECOND).await;
    waiter
}

/// Fails unless the reference has ended, and the waiter learns why.
async fn has_ended(
    reference: &SessionRef,
    waiter: JoinHandle<EndReason>,
    reason: &EndReason,
    what: &str,
) -> Check {
    let heard = tokio::time::timeout(PATIENCE, waiter).await;
    let heard = heard.map_err(|_| unmet(format!("the wait ends after {what}"), "it does not"))?;
    equal(&format!("the end after {what}"), &heard.map_err(|cause| unmet("no panic", cause))?, reason)?;
    equal(&format!("whether it lives after {what}"), &reference.is_live().await?, &false)?;
    ensure(reference.open().await?.is_none(), format!("no session after {what}"), "there is one")
}

pub(crate) async fn s101_reference_opens_the_session_as_it_is(stage: &Stage) -> Check {
    let (probe, sessions, id) = with_one(stage).await?;
    let reference = referred(&sessions, id).await?;
    does(&sessions, id, |session| session.insert("b", &2)).await?;
    probe.calls();
    ensure(reference.is_live().await?, "it lives", "it does not")?;
    called(&probe, &[Operation::Retrieve], "the question whether it lives")?;
    // A job that was given the id.
    let by_id = sessions.reference_to(id).await?.ok_or_else(|| unmet("a reference to the id", "none"))?;
    called(&probe, &[Operation::Retrieve], "a reference to an id")?;
    let three = open(&by_id).await?;
    // Each handle has a log of its own.
    let (one, two) = (open(&reference).await?, open(&reference).await?);
    one.insert("c", &3)?;
    equal("the value of another request", &one.get::<u64>("b")?, &Some(2))?;
    equal("the value of another handle", &two.get::<u64>("c")?, &None)?;
    for handle in [&one, &two] {
        add_to(handle, "n")?;
        came_to(&handle.commit().await?, &Outcome::Updated, "the commit of a reference's handle")?;
        tells_nothing(handle, "the commit of a reference's handle")?;
    }
    finds(&sessions, id, "n", Some(2)).await?;
    finds(&sessions, id, "c", Some(3)).await?;
    // No response would take a new id to the client.
    for (what, answer) in [
        ("rotate", one.rotate()),
        ("login", one.login("alice")),
        ("login_keeping", one.login_keeping("alice", &["c"])),
        ("bind_user", one.bind_user("alice")),
        ("unbind_user", one.unbind_user().map(drop)),
    ] {
        refused(answer, ErrorKind::NoResponse, what)?;
    }
    came_to(&one.commit().await?, &Outcome::Unchanged, "a commit after that")?;
    // A handle whose session ends stores nothing from then on, and neither does one that ends it.
    let waiter = waits(&reference).await;
    one.insert("d", &4)?;
    probe.calls();
    ensure(two.destroy("job").await?, "the handle ends the session", "it does not")?;
    let late = sessions.load(id).await?;
    equal("the session for a request", &late.exists()?, &false)?;
    ensure(!by_id.is_live().await?, "the session of the id has ended", "it lives")?;
    ensure(sessions.reference_to(id).await?.is_none(), "no reference to an ended session", "one")?;
    for handle in [&one, &two, &three] {
        for _ in 0..2 {
            handle.insert("d", &4)?;
            let committed = handle.commit().await?;
            ensure(matches!(committed.outcome, Outcome::Ended(_)), "the session has ended", &committed)?;
            tells_nothing(handle, "a commit after the end")?;
        }
    }
    nothing(&probe, id, "after the end").await?;
    nothing_else(&probe, &[], "after the end").await?;
    has_ended(&reference, waiter, &EndReason::Destroyed("job".into()), "destroy by a handle").await?;
    // A request that stores nothing leaves nothing to refer to.
    let guest = sessions.load(None).await?;
    let reference = guest.reference()?;
    ensure(reference.open().await?.is_none(), "no session yet", "one")?;
    done(&sessions, &guest).await?;
    drop(guest);
    let waiter = waits(&reference).await;
    has_ended(&reference, waiter, &EndReason::Expired, "a request that stores nothing").await?;
    nothing_else(&probe, &[], "of a guest").await
}

/// How a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Destroy,
    Rotate,
    Login,
    Unbind,
    End,
    EndUser,
}

async fn end(sessions: &Manager, id: SessionId, way: Way) -> Check {
    match way {
        Way::Destroy => drop(opened(sessions, id).await?.destroy("out").await?),
        Way::Rotate => drop(rotated(sessions, id).await?),
        Way::Login => does(sessions, id, |session| session.login("alice")).await?,
        Way::Unbind => does(sessions, id, |session| session.unbind_user().map(drop)).await?,
        Way::End => {
            let found = sessions.of_user("alice").await?;
            let handle = found.first().map(session_manager::Found::handle);
            let handle = handle.ok_or_else(|| unmet("a session of the user", "none"))?;
            equal("whether the handle ended it", &sessions.end(&handle, "out").await?, &true)?;
        }
        Way::EndUser => drop(sessions.end_user("alice", "out").await?),
    }
    Ok(())
}

pub(crate) async fn s102_reference_ends_with_its_session(stage: &Stage) -> Check {
    // A manager whose polls come too late, and one that polls. The other one is another process to both.
    let (probe, here) = with(stage, |options| options.poll_interval(NEVER).user_epochs(true)).await?;
    let (_, polls) = with(stage, |options| options.poll_interval(20 * MILLISECOND).user_epochs(true)).await?;
    for way in [Way::Destroy, Way::Rotate, Way::Login, Way::Unbind, Way::End, Way::EndUser] {
        for (sessions, where_) in [(&here, "in this process"), (&polls, "elsewhere")] {
            let id = of_alice(&here).await?;
            let what = format!("{way:?} {where_}");
            let reference = referred(sessions, id).await?;
            let waiter = waits(&reference).await;
            end(&here, id, way).await?;
            let reason = match way {
                Way::Rotate | Way::Login | Way::Unbind => EndReason::Replaced,
                _ if where_ == "elsewhere" => EndReason::Revoked,
                _ => EndReason::Destroyed("out".into()),
            };
            has_ended(&reference, waiter, &reason, &what).await?;
            here.end_user("alice", "done").await?;
        }
    }
    // An epoch ends sessions that no index has.
    let (_, unlisted) = with(stage, |options| options.index_users(false)).await?;
    for (sessions, user, what) in
        [(&here, "bob", "an epoch in this process"), (&polls, "carol", "an epoch elsewhere")]
    {
        let hidden = begun(&unlisted, |session| session.login(user)).await?;
        let reference = referred(sessions, hidden).await?;
        let waiter = waits(&reference).await;
        here.end_user(user, "out").await?;
        has_ended(&reference, waiter, &EndReason::Revoked, what).await?;
    }
    // Its time.
    let id = begun(&polls, |session| {
        session.set_idle_timeout(Duration::from_secs(1))?;
        session.insert("a", &1)
    })
    .await?;
    let reference = referred(&polls, id).await?;
    let waiter = waits(&reference).await;
    let deadline = stored(&probe, id).await?.expires.ok_or_else(|| unmet("a deadline", "none"))?;
    ensure(reference.is_live().await? && !waiter.is_finished(), "it lives until its deadline", "it ended")?;
    stage.pass(probe.inner(), deadline).await;
    has_ended(&reference, waiter, &EndReason::Expired, "its deadline").await
}

/// The answer, unless it is not there soon.
async fn soon<T>(question: &mut Request<'_, T>) -> Option<T> {
    tokio::time::timeout(5 * MILLISECOND, question).await.ok()
}

/// Asks the reference of a request at each step of the request's commit.
async fn follows(stage: &Stage, what: &str, change: impl Fn(&Session) -> Result<(), Error>) -> Check {
    let probe = Probe::parking_answers(stage.open().await?);
    let sessions = Sessions::builder(probe.clone()).poll_interval(20 * MILLISECOND).build()?;
    let id = begun(&sessions, |session| session.insert("a", &1)).await?;
    let session = opened(&sessions, id).await?;
    let reference = session.reference()?;
    change(&session)?;
    // All in this task, because the gates would park the calls of another one forever.
    let ask = || -> Request<'static, _> {
        let asked = reference.clone();
        Box::pin(async move { Ok::<_, Error>(asked.open().await?.is_some()) })
    };
    let asked = reference.clone();
    let mut waiter: Request<'static, _> = Box::pin(async move { asked.ended().await });
    let mut answers = Vec::new();
    let mut waiting = Vec::new();
    let mut commit: Request<'_, _> = Box::pin(sessions.finish(&session));
    probe.close_gates();
    let committed = loop {
        if let Some(committed) = step(&probe, &mut commit).await {
            break committed?;
        }
        // It answers now, or waits for the commit.
        probe.open_gates();
        let mut question = ask();
        match soon(&mut question).await {
            Some(answer) => answers.push(answer?),
            None => waiting.push(question),
        }
        equal(&format!("the end within {what}"), &soon(&mut waiter).await, &None)?;
        probe.close_gates();
    };
    probe.open_gates();
    drop(commit);
    came_to(&committed, &Outcome::Rotated, what)?;
    ensure(!waiting.is_empty(), "a step at which the session has no settled id", "none")?;
    for question in waiting {
        answers.push(question.await?);
    }
    ensure(answers.len() > 3, "a commit of several steps", answers.len())?;
    equal(&format!("whether it lives within {what}"), &answers.contains(&false), &false)?;
    let moved = new_id(&session)?;
    drop(session);
    let waiter = tokio::spawn(waiter);
    nap(50 * MILLISECOND).await;
    ensure(!waiter.is_finished(), format!("no end after {what}"), "the wait ended")?;
    // It is the session under the new id.
    let handle = open(&reference).await?;
    handle.insert("b", &2)?;
    came_to(&handle.commit().await?, &Outcome::Updated, "a commit after that")?;
    finds(&sessions, moved, "b", Some(2)).await?;
    // It ends with a rotation of another request.
    let again = rotated(&sessions, moved).await?;
    has_ended(&reference, waiter, &EndReason::Replaced, "another rotation").await?;
    finds(&sessions, again, "b", Some(2)).await
}

pub(crate) async fn s103_reference_follows_its_own_request(stage: &Stage) -> Check {
    follows(stage, "rotate", Session::rotate).await?;
    follows(stage, "login", |session| session.login("alice")).await?;
    follows(stage, "bind_user", |session| {
        session.bind_user("alice")?;
        session.rotate()
    })
    .await?;
    // The first write of a session.
    let (_, sessions) = fresh(stage).await?;
    let session = sessions.load(None).await?;
    let reference = session.reference()?;
    session.insert("a", &1)?;
    came_to(&sessions.finish(&session).await?, &Outcome::Created, "a first write")?;
    equal("its value", &open(&reference).await?.get::<u64>("a")?, &Some(1))?;
    // A login whose session is gone begins another one.
    let id = new_id(&session)?;
    let session = opened(&sessions, id).await?;
    let reference = session.reference()?;
    session.login("alice")?;
    does(&sessions, id, |other| other.login("bob")).await?;
    came_to(&sessions.finish(&session).await?, &Outcome::Created, "a login beside another")?;
    equal("the user", &open(&reference).await?.user()?.as_deref(), &Some("alice"))
}

pub(crate) async fn s104_reference_extends_only_when_asked(stage: &Stage) -> Check {
    let (probe, sessions) = with(stage, |options| options.poll_interval(10 * MILLISECOND)).await?;
    let id = begun(&sessions, |session| session.insert("a", &1)).await?;
    let reference = referred(&sessions, id).await?;
    let deadline = stored(&probe, id).await?.expires;
    let waiter = waits(&reference).await;
    advance(stage, HOUR);
    nap(50 * MILLISECOND).await;
    ensure(reference.is_live().await?, "it lives", "it does not")?;
    let handle = open(&reference).await?;
    equal("a value", &handle.get::<u64>("a")?, &Some(1))?;
    came_to(&handle.commit().await?, &Outcome::Unchanged, "a handle that only reads")?;
    equal("the deadline after reads", &stored(&probe, id).await?.expires, &deadline)?;
    handle.insert("a", &2)?;
    came_to(&handle.commit().await?, &Outcome::Updated, "a handle that writes")?;
    equal("the deadline after a write", &stored(&probe, id).await?.expires, &deadline)?;
    equal("whether it lives", &reference.touch().await?, &true)?;
    expires(&probe, id, after(stage, 2 * HOUR), "a session that was asked to stay").await?;
    finds(&sessions, id, "a", Some(2)).await?;
    // The wait ends at the new deadline, not at the old one.
    advance(stage, HOUR + 30 * MINUTE);
    nap(50 * MILLISECOND).await;
    ensure(!waiter.is_finished(), "it lives after its first deadline", "the wait ended")?;
    advance(stage, 30 * MINUTE);
    has_ended(&reference, waiter, &EndReason::Expired, "its deadline").await?;
    equal("whether it lives", &reference.touch().await?, &false)?;
    nothing(&probe, id, "after its deadline").await
}

pub(crate) async fn s105_reference_revives_nothing_in_any_order(stage: &Stage) -> Check {
    let ground = Ground::new(stage.open().await?, stage.virtual_clock(), false)?;
    for other in [Act::Destroy, Act::Rotate, Act::RotateInsert, Act::Login, Act::Update, Act::Refer] {
        let _ = ground.walk(&[Act::Refer, other], None).await?;
    }
    if stage.context.full {
        let _ = ground.walk(&[Act::Refer, Act::Login, Act::Destroy], None).await?;
    }
    Ok(())
}

pub(crate) async fn s106_kept_handle_learns_of_the_end(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    for way in [Way::Destroy, Way::Rotate, Way::EndUser] {
        let id = of_alice(&sessions).await?;
        let reference = referred(&sessions, id).await?;
        let (of_request, of_reference) = (opened(&sessions, id).await?, open(&reference).await?);
        done(&sessions, &of_request).await?;
        does(&sessions, id, |other| other.insert("b", &2)).await?;
        probe.calls();
        for handle in [&of_request, &of_reference] {
            handle.load().await?;
            called(&probe, &[Operation::Retrieve], "a load of a kept handle")?;
            equal("whether it exists", &handle.exists()?, &true)?;
            equal("a newer value", &handle.get::<u64>("b")?, &Some(2))?;
        }
        end(&sessions, id, way).await?;
        for handle in [&of_request, &of_reference] {
            handle.load().await?;
            equal(&format!("whether it exists after {way:?}"), &handle.exists()?, &false)?;
            equal(&format!("the user after {way:?}"), &handle.user()?, &None)?;
            equal(&format!("the value after {way:?}"), &handle.get::<u64>("b")?, &None)?;
            let reason = if way == Way::Rotate { EndReason::Replaced } else { EndReason::Revoked };
            equal(&format!("the end reason after {way:?}"), &handle.end_reason()?, &Some(reason))?;
        }
        refused(of_request.insert("c", &3), ErrorKind::Committed, "a write to a kept handle")?;
        sessions.end_user("alice", "done").await?;
    }
    // Without a load, the deadline that the handle knows is enough.
    let id = begun(&sessions, |session| {
        session.set_idle_timeout(Duration::from_secs(1))?;
        session.insert("a", &1)
    })
    .await?;
    let kept = opened(&sessions, id).await?;
    done(&sessions, &kept).await?;
    let deadline = kept.deadline()?.ok_or_else(|| unmet("a deadline", "none"))?;
    stage.pass(probe.inner(), deadline).await;
    equal("whether it exists after its deadline", &kept.exists()?, &false)?;
    kept.load().await?;
    equal("the end reason", &kept.end_reason()?, &Some(EndReason::Expired))
}
