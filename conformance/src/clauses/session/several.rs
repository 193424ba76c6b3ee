//! Several ids in one request, the names of sessions in events, and reading a session again.

use std::sync::Arc;

use session_core::Candidates;
use session_manager::{AddressCheck, Event};

use super::common::*;
use crate::testing::{Fate, Request, Tree, interleave};

/// A request with these ids.
fn presenting(ids: &[SessionId]) -> RequestInfo {
    let mut candidates = Candidates::none();
    ids.iter().for_each(|id| candidates.push(*id));
    RequestInfo::new(candidates)
}

/// A session with a value.
async fn guest(sessions: &Manager, number: u64) -> Result<SessionId, Failure> {
    begun(sessions, |session| session.insert("number", &number)).await
}

/// Fails unless the session under the id has ended, and a request that presents only this id gets nothing of it.
async fn has_ended(sessions: &Manager, probe: &Probe, id: SessionId, what: &str) -> Check {
    nothing(probe, id, what).await?;
    let session = sessions.load(id).await?;
    equal(&format!("the keys of {what}"), &session.keys()?, &vec![])?;
    equal(&format!("the user of {what}"), &session.user()?, &None)
}

pub(crate) async fn s128_logout_ends_every_presented_session(stage: &Stage) -> Check {
    let ears = Arc::new(Ears::default());
    let (probe, sessions) = with(stage, |options| options.observer(Arc::clone(&ears) as _)).await?;
    let unknown = SessionId::generate()?;
    for turn in 0..2 {
        let ids = [
            guest(&sessions, 1).await?,
            begun(&sessions, |session| session.login("ada")).await?,
            guest(&sessions, 3).await?,
        ];
        let order = if turn == 0 { [ids[0], ids[1], ids[2]] } else { [ids[1], ids[2], ids[0]] };
        // Requests that have loaded one of them commit after the logout.
        let (writes, logs_in) = (opened(&sessions, ids[2]).await?, opened(&sessions, ids[2]).await?);
        let logout = sessions.load(presenting(&[order[0], unknown, order[1], order[2]])).await?;
        ensure(logout.destroy("logout").await?, "it ends a session", "it does not")?;
        equal("the instruction", &logout.id_update(), &IdUpdate::Clear)?;
        ensure(logout.others_ended(), "it ended others", "it did not")?;
        for id in ids {
            has_ended(&sessions, &probe, id, "a presented session").await?;
        }
        equal("the sessions of the user", &sessions.of_user("ada").await?.len(), &0)?;
        let ends = Event::Ended(EndReason::Destroyed("logout".into()));
        let heard = ears.heard().iter().filter(|(tag, event)| tag.is_some() && *event == ends).count();
        equal("the events", &heard, &(3 * (turn + 1)))?;

        writes.insert("late", &1)?;
        let ended = sessions.finish(&writes).await?;
        ensure(matches!(ended.outcome, Outcome::Ended(_)), "a late write learns of the end", &ended)?;
        logs_in.login("eve")?;
        came_to(&sessions.finish(&logs_in).await?, &Outcome::Created, "a late login")?;
        ensure(new_id(&logs_in)? != ids[2], "another id", "the same")?;
        for id in ids {
            has_ended(&sessions, &probe, id, "a presented session after late requests").await?;
        }
        // A later write of the same request begins a session with another id.
        logout.insert("notice", "bye")?;
        came_to(&sessions.finish(&logout).await?, &Outcome::Created, "a write after the logout")?;
        ensure(!ids.contains(&new_id(&logout)?), "another id", "an old one")?;
        ensure(logout.close().others_ended, "the web layer learns that others ended", "it does not")?;
    }

    // A request with one id makes no further call.
    let one = guest(&sessions, 1).await?;
    probe.calls();
    ensure(opened(&sessions, one).await?.destroy("logout").await?, "it ends", "it does not")?;
    called(&probe, &[Operation::Retrieve, Operation::Remove], "a logout with one id")?;

    // Failures and lost answers, at each call: the logout is repeated until it succeeds.
    for (operation, number) in [(Operation::Retrieve, 1), (Operation::Remove, 1), (Operation::Remove, 2)] {
        for fault in [Fault::Refuse, Fault::LoseCall, Fault::LoseAnswer] {
            let ids = [guest(&sessions, 1).await?, guest(&sessions, 2).await?];
            let logout = sessions.load(presenting(&ids)).await?;
            probe.plan(operation, number, fault);
            if logout.destroy("logout").await.is_err() {
                // Whether this call or the failed one ended them depends on the fault.
                let _ = logout.destroy("logout").await?;
            }
            for id in ids {
                has_ended(&sessions, &probe, id, "a session after a repeated logout").await?;
            }
        }
    }

    // The fifth id is not looked at.
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(guest(&sessions, number).await?);
    }
    let logout = sessions.load(presenting(&ids)).await?;
    ensure(logout.destroy("logout").await?, "it ends", "it does not")?;
    finds(&sessions, ids[4], "number", Some(4_u64)).await?;
    let heard = ears.heard();
    let ignored = heard.iter().any(|(_, event)| *event == Event::IgnoredIds { count: 1 });
    ensure(ignored, "an event reports the fifth id", format!("{heard:?}"))?;

    // A rotated id, its successor and a request that logs in.
    let (one, old) = (guest(&sessions, 1).await?, guest(&sessions, 2).await?);
    let new = rotated(&sessions, old).await?;
    let tombstone = stored(&probe, old).await?;
    let logout = sessions.load(presenting(&[one, old])).await?;
    ensure(logout.destroy("logout").await?, "it ends a session", "it does not")?;
    nothing(&probe, one, "of the ended session").await?;
    equal("the tombstone", &stored(&probe, old).await?, &tombstone)?;
    finds(&sessions, new, "number", Some(2_u64)).await?;
    tells_nothing(&logout, "a logout of a client that has a newer id")?;
    let ids = [guest(&sessions, 1).await?, begun(&sessions, |session| session.insert("other", &2)).await?];
    let before = stored(&probe, ids[1]).await?;
    let login = sessions.load(presenting(&ids)).await?;
    login.login("ada")?;
    done(&sessions, &login).await?;
    equal("the keys after a login", &login.keys()?, &vec!["number".to_owned()])?;
    equal("the session that the login did not load", &stored(&probe, ids[1]).await?, &before)?;

    // A session that is bound to another client stays.
    let (probe, sessions) = with(stage, |options| options.check_address(AddressCheck::Exact)).await?;
    let from = |ids: &[SessionId], last| presenting(ids).address(Some([192, 0, 2, last].into()));
    let mut ids = Vec::new();
    for last in [1, 2] {
        let session = sessions.load(from(&[], last)).await?;
        session.insert("number", &last)?;
        done(&sessions, &session).await?;
        ids.push(new_id(&session)?);
    }
    let before = stored(&probe, ids[1]).await?;
    let logout = sessions.load(from(&ids, 1)).await?;
    ensure(logout.destroy("logout").await?, "it ends its own", "it does not")?;
    nothing(&probe, ids[0], "of the own session").await?;
    equal("the session of another client", &stored(&probe, ids[1]).await?, &before)?;
    ensure(!logout.others_ended(), "it ended no other", "it says so")
}

/// What another request does to the second session of a logout.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Beside {
    Write,
    Add,
    Rotate,
    Login,
    Logout,
    /// Another logout that presents both, in the other order.
    LogoutOfBoth,
}

async fn beside(sessions: &Manager, ids: [SessionId; 2], act: Beside) -> Result<Option<SessionId>, Error> {
    let session = match act {
        Beside::LogoutOfBoth => sessions.load(presenting(&[ids[1], ids[0]])).await?,
        _ => sessions.load(ids[1]).await?,
    };
    match act {
        Beside::Write => session.insert("b", &1)?,
        Beside::Add => add_to(&session, "number")?,
        Beside::Rotate => session.rotate()?,
        Beside::Login => session.login("ada")?,
        Beside::Logout | Beside::LogoutOfBoth => drop(session.destroy("logout").await?),
    }
    let committed = sessions.finish(&session).await?;
    let made = matches!(committed.outcome, Outcome::Rotated) || act == Beside::Login;
    Ok(match session.id_update() {
        IdUpdate::Set { id, .. } if made => Some(id),
        _ => None,
    })
}

pub(crate) async fn s129_presented_session_stays_ended_in_any_order(stage: &Stage) -> Check {
    let (probe, sessions) = with(stage, |options| options.index_users(false)).await?;
    let acts =
        [Beside::Write, Beside::Add, Beside::Rotate, Beside::Login, Beside::Logout, Beside::LogoutOfBoth];
    for act in acts {
        for fate in [None, Some(Fate::AnswerLost), Some(Fate::Late)] {
            // Late changes of the other request are the matter of S93.
            if fate.is_some() && !matches!(act, Beside::Write | Beside::Add) {
                continue;
            }
            let mut tree = Tree::new();
            while tree.again() {
                probe.open_gates();
                let ids = [guest(&sessions, 1).await?, guest(&sessions, 2).await?];
                probe.close_gates();
                probe.set_fate(if fate.is_some() { 0 } else { usize::MAX }, fate.unwrap_or(Fate::Late));
                let logout: Request<'_, Result<Option<SessionId>, Error>> = Box::pin(async {
                    let session = sessions.load(presenting(&ids)).await?;
                    if session.destroy("logout").await.is_err() {
                        // Its answer was lost: a visitor asks again.
                        session.destroy("logout").await?;
                    }
                    sessions.finish(&session).await.map(|_| None)
                });
                let other = Box::pin(beside(&sessions, ids, act)) as Request<'_, _>;
                let ended = interleave(&probe, &mut tree, vec![logout, other]).await?;
                probe.open_gates();
                let what = format!("beside {act:?}, fate {fate:?}, order {:?}", tree.choices());
                check_both(&probe, &sessions, ids, ended).await.map_err(|failure| failure.with(what))?;
            }
        }
    }
    Ok(())
}

async fn check_both(
    probe: &Probe,
    sessions: &Manager,
    ids: [SessionId; 2],
    ended: Vec<Result<Option<SessionId>, Error>>,
) -> Check {
    nothing(probe, ids[0], "of the first session").await?;
    // The second is gone, or another request gave it a new id before it could end.
    if let Some(record) = raw(probe, ids[1]).await? {
        ensure(record.data.starts_with(&[1, 2]), "the second session has ended", &record)?;
    }
    let session = sessions.load(ids[1]).await?;
    equal("the keys under the second id", &session.keys()?, &vec![])?;
    let mut dead = Vec::new();
    for change in probe.applied() {
        let removal = change.record.is_none() || change.record.is_some_and(|it| it.data.starts_with(&[1, 2]));
        ensure(
            !dead.contains(&change.key) || removal,
            "an ended session is never stored again",
            &change.key,
        )?;
        if removal {
            dead.push(change.key);
        }
    }
    // A request beside it fails for lost answers only, and a new id that a client has works.
    for id in ended.into_iter().filter_map(Result::ok).flatten() {
        ensure(!ids.contains(&id), "a new id", "an old one")?;
        ensure(sessions.load(id).await?.exists()?, "the session of the new id lives", "it does not")?;
    }
    Ok(())
}

pub(crate) async fn s130_client_keeps_newer_id_of_a_rotation(stage: &Stage) -> Check {
    let (_, sessions) = fresh(stage).await?;
    for ends in [false, true] {
        let other = guest(&sessions, 2).await?;
        advance(stage, HOUR);
        let old = guest(&sessions, 1).await?;
        let new = rotated(&sessions, old).await?;
        let session = sessions.load(presenting(&[old, other])).await?;
        equal("the session", &session.get::<u64>("number")?, &Some(2))?;
        if ends {
            ensure(session.destroy("logout").await?, "it ends", "it does not")?;
        } else {
            came_to(&sessions.finish(&session).await?, &Outcome::Touched, "a request that reads")?;
        }
        tells_nothing(&session, "a request that also presented a replaced id")?;
        finds(&sessions, new, "number", Some(1_u64)).await?;
        // Alone, the same session extends the client's id.
        if !ends {
            advance(stage, HOUR);
            let session = opened(&sessions, other).await?;
            came_to(&sessions.finish(&session).await?, &Outcome::Touched, "a request that reads")?;
            let extended = matches!(session.id_update(), IdUpdate::Extend { .. });
            ensure(extended, "the client's id is extended", format!("{:?}", session.id_update()))?;
        }
    }
    // A login beside it gives the client a new id.
    let (other, old) = (guest(&sessions, 2).await?, guest(&sessions, 1).await?);
    let new = rotated(&sessions, old).await?;
    let session = sessions.load(presenting(&[old, other])).await?;
    session.login("ada")?;
    done(&sessions, &session).await?;
    ensure(![old, other, new].contains(&new_id(&session)?), "a new id", "an old one")
}

pub(crate) async fn s131_events_and_references_have_one_tag(stage: &Stage) -> Check {
    let ears = Arc::new(Ears::default());
    let (probe, sessions) = with(stage, |options| options.observer(Arc::clone(&ears) as _)).await?;
    let heard = |wanted: &dyn Fn(&Event) -> bool| {
        let heard = ears.heard().into_iter().rev().find(|(_, event)| wanted(event));
        heard.and_then(|(tag, _)| tag).ok_or_else(|| unmet("an event with a tag", "none"))
    };
    let session = sessions.load(None).await?;
    let reference = session.reference()?;
    equal("the tag before the first write", &(session.tag()?, reference.tag()), &(None, None))?;
    session.login("ada")?;
    done(&sessions, &session).await?;
    let id = new_id(&session)?;
    let created = heard(&|event| *event == Event::Created)?;
    equal("the tag of a session", &session.tag()?, &Some(created))?;
    equal("the tag of its reference", &reference.tag(), &Some(created))?;
    let found = sessions.of_user("ada").await?;
    let tags: Vec<_> = found.iter().flat_map(|one| [one.tag(), sessions.tag(&one.handle())]).collect();
    equal("the tags in a list of devices", &tags, &vec![created; 2])?;
    let other = begun(&sessions, |session| session.insert("a", &1)).await?;
    ensure(opened(&sessions, other).await?.tag()? != Some(created), "another tag", "the same")?;
    // Another manager of the same store has other tags, which tell nothing about these.
    let elsewhere = Sessions::builder(sessions.driver().clone()).build()?;
    ensure(elsewhere.load(id).await?.tag()? != Some(created), "a tag with another secret", "the same")?;

    // A rotation names both tags, so the references of earlier requests are known to have ended.
    let earlier = opened(&sessions, id).await?;
    let (old, rotates) = (earlier.reference()?, opened(&sessions, id).await?);
    let own = rotates.reference()?;
    rotates.rotate()?;
    done(&sessions, &rotates).await?;
    let new = heard(&|event| *event == Event::Rotated { from: created })?;
    equal("the tag of the rotating request", &(rotates.tag()?, own.tag()), &(Some(new), Some(new)))?;
    equal("the tag of an earlier reference", &old.tag(), &Some(created))?;
    ensure(new != created && old.open().await?.is_none(), "it has ended", "it has not")?;
    let _ = sessions.load(id).await?;
    let replaced = Event::Ended(EndReason::Replaced);
    equal("the tag of a late request", &heard(&|event| *event == replaced)?, &created)?;

    let id = new_id(&rotates)?;
    let last = opened(&sessions, id).await?;
    ensure(last.destroy("logout").await?, "it ends", "it does not")?;
    nothing(&probe, id, "after its end").await?;
    let ended = Event::Ended(EndReason::Destroyed("logout".into()));
    equal("the tag of the end", &heard(&|event| *event == ended)?, &new)?;
    equal("the tag of a reference after the end", &own.tag(), &Some(new))?;
    equal("the tag of the handle after the end", &last.tag()?, &None)
}

pub(crate) async fn s132_reload_shows_the_session_as_it_is(stage: &Stage) -> Check {
    let (probe, sessions, id) = with_one(stage).await?;
    let session = sessions.lazy(id);
    ensure(session.reload().await?, "the first reload loads", "it does not")?;
    session.insert("own", &1)?;
    add_to(&session, "count")?;
    does(&sessions, id, |other| {
        other.insert("a", &2)?;
        add_to(other, "count")?;
        other.flash().set("notice", "hello")
    })
    .await?;
    equal("a value before a reload", &session.get::<u64>("a")?, &Some(1))?;
    probe.calls();
    ensure(session.reload().await?, "it lives", "it does not")?;
    called(&probe, &[Operation::Retrieve], "a reload")?;
    equal("a value after it", &session.get::<u64>("a")?, &Some(2))?;
    equal("the request's own value", &session.get::<u64>("own")?, &Some(1))?;
    equal("a counter of both", &session.get::<u64>("count")?, &Some(2))?;
    equal("a new flash value", &session.flash().get::<String>("notice")?.as_deref(), &Some("hello"))?;
    done(&sessions, &session).await?;
    finds(&sessions, id, "count", Some(2_u64)).await?;
    let later = opened(&sessions, id).await?;
    equal("the flash value was used", &later.flash().get::<String>("notice")?, &None)?;

    // A failure changes nothing.
    let session = opened(&sessions, id).await?;
    session.insert("own", &2)?;
    probe.plan(Operation::Retrieve, 1, Fault::Refuse);
    refused(session.reload().await, ErrorKind::Store, "a reload while the store is away")?;
    equal("the request's own value", &session.get::<u64>("own")?, &Some(2))?;

    // The session ends meanwhile.
    ensure(opened(&sessions, id).await?.destroy("logout").await?, "it ends", "it does not")?;
    ensure(!session.reload().await?, "it has ended", "it lives")?;
    equal("the keys of an ended session", &session.keys()?, &vec![])?;
    ensure(!session.exists()?, "it does not exist", "it does")?;
    session.insert("late", &1)?;
    let committed = sessions.finish(&session).await?;
    ensure(matches!(committed.outcome, Outcome::Ended(_)), "nothing is stored", &committed)?;
    ensure(committed.not_stored, "the request learns of it", &committed)?;
    nothing(&probe, id, "after a late write").await?;

    // A login survives that.
    let id = begun(&sessions, |session| session.insert("cart", &1)).await?;
    let login = opened(&sessions, id).await?;
    login.login("ada")?;
    ensure(opened(&sessions, id).await?.destroy("logout").await?, "it ends", "it does not")?;
    ensure(!login.reload().await?, "it has ended", "it lives")?;
    came_to(&sessions.finish(&login).await?, &Outcome::Created, "a login after a reload")?;
    finds(&sessions, new_id(&login)?, "cart", Some(1_u64)).await?;

    // Without a session there is nothing to read.
    let nobody = sessions.load(None).await?;
    probe.calls();
    ensure(!nobody.reload().await?, "no session", "one")?;
    called(&probe, &[], "a reload without a session")
}
