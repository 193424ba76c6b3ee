//! The sessions of a user: the list, the epoch, and the data. `ending.rs` ends them.

use std::collections::HashSet;

use session_manager::{Found, Handle, OnTooMany};

use super::common::*;
use super::ending::{prepared, steps};
use crate::level::Requirement;

/// A session of `user`.
pub(super) async fn logged_in(sessions: &Manager, user: &str) -> Result<SessionId, Failure> {
    begun(sessions, |session| session.login(user)).await
}

/// The key of the only index that was stored since the last question.
fn index_key(probe: &Probe) -> Result<Key, Failure> {
    let keys = probe.calls().into_iter().filter_map(|call| call.key);
    keys.filter(|key| key.prefix() == "index").last().ok_or_else(|| unmet("the store has an index", "none"))
}

/// How many sessions an index has: the header has 16 bytes, and each entry 24 and the 43 of the id part.
async fn entries(probe: &Probe, index: &Key) -> Result<usize, Failure> {
    Ok(probe.inner().retrieve(index).await?.map_or(0, |record| (record.data.len() - 16) / 67))
}

/// Fails unless the list of the user has these sessions, and the index has no others afterwards.
pub(super) async fn lists(
    probe: &Probe,
    sessions: &Manager,
    user: &str,
    ids: &[SessionId],
    what: &str,
) -> Check {
    probe.calls();
    let found = sessions.of_user(user).await?;
    let index = index_key(probe)?;
    equal(&format!("the number of sessions {what}"), &found.len(), &ids.len())?;
    for id in ids {
        let session = opened(sessions, *id).await?;
        let own = found.iter().filter(|found| found.is(&session).unwrap_or(false)).count();
        equal(&format!("how often a session is listed {what}"), &own, &1)?;
    }
    equal(&format!("the entries of the index {what}"), &entries(probe, &index).await?, &ids.len())
}

pub(crate) async fn s95_sessions_of_a_user_are_listed(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    begun(&sessions, |session| session.insert("a", &1)).await.map(drop)?;
    logged_in(&sessions, "bob").await.map(drop)?;
    let one = begun(&sessions, |session| {
        session.set_label("Firefox, home")?;
        session.login("alice")
    })
    .await?;
    let two = logged_in(&sessions, "alice").await?;
    let bound = begun(&sessions, |session| session.insert("a", &1)).await?;
    does(&sessions, bound, |session| session.bind_user("alice")).await?;
    lists(&probe, &sessions, "alice", &[one, two, bound], "after three logins").await?;
    let found = sessions.of_user("alice").await?;
    let labels: Vec<_> = found.iter().filter_map(Found::label).collect();
    equal("the labels", &labels, &vec!["Firefox, home".to_owned()])?;
    for found in &found {
        let (created, used, now) = (found.created(), found.last_used(), sessions.now());
        ensure(created <= used && used <= now, "created, then used", (created, used, now))?;
        let handle = found.handle();
        equal("the handle as text and back", &handle.to_string().parse::<Handle>()?, &handle)?;
    }
    refused("no/handle".parse::<Handle>(), ErrorKind::Name, "another text")?;
    // A rotation moves the entry. The end of a session, an unbound user and another user remove it.
    let two = rotated(&sessions, two).await?;
    lists(&probe, &sessions, "alice", &[one, two, bound], "after a rotation").await?;
    ensure(opened(&sessions, one).await?.destroy("logout").await?, "it ends", "it does not")?;
    lists(&probe, &sessions, "alice", &[two, bound], "after a logout").await?;
    does(&sessions, bound, |session| session.unbind_user().map(drop)).await?;
    lists(&probe, &sessions, "alice", &[two], "after a logout that keeps the values").await?;
    let session = opened(&sessions, two).await?;
    session.login("carol")?;
    done(&sessions, &session).await?;
    lists(&probe, &sessions, "carol", &[new_id(&session)?], "after a login as another user").await?;
    equal("the sessions of the first user", &sessions.of_user("alice").await?.len(), &0)?;
    // The index does not grow with sessions that ended unnoticed.
    for _ in 0..10 {
        let id = logged_in(&sessions, "dora").await?;
        let removed = probe.inner().remove(&id.key(), Condition::Any).await?;
        ensure(removed.is_applied(), "the session of a login is stored", &removed)?;
    }
    probe.calls();
    let id = logged_in(&sessions, "dora").await?;
    equal("the entries after ended sessions", &entries(&probe, &index_key(&probe)?).await?, &1)?;
    lists(&probe, &sessions, "dora", &[id], "after ended sessions").await
}

pub(crate) async fn s99_epoch_ends_sessions_that_no_index_has(stage: &Stage) -> Check {
    let (probe, sessions) = with(stage, |options| options.user_epochs(true)).await?;
    let (_, unlisted) = with(stage, |options| options.index_users(false)).await?;
    let guest = begun(&sessions, |session| session.insert("a", &1)).await?;
    for round in 0..2 {
        let listed = logged_in(&sessions, "alice").await?;
        let bob = logged_in(&sessions, "bob").await?;
        let hidden = if round == 0 { Some(logged_in(&unlisted, "alice").await?) } else { None };
        let late = opened(&sessions, listed).await?;
        late.insert("b", &1)?;
        probe.calls();
        let _ = opened(&sessions, guest).await?;
        called(&probe, &[Operation::Retrieve], "a request of a guest")?;
        let _ = opened(&sessions, bob).await?;
        called(&probe, &[Operation::Retrieve, Operation::Retrieve], "a request of a user")?;
        // A login that is between its steps.
        let (login, _) = prepared(&sessions, "login").await?;
        let other = sessions.clone();
        probe.calls();
        probe.before(Operation::Store, 1, async move { other.end_user("alice", "all").await.map(drop) });
        done(&sessions, &login).await?;
        for id in [Some(listed), hidden, Some(new_id(&login)?)].into_iter().flatten() {
            let session = sessions.load(id).await?;
            ensure(!session.exists()?, "the session has ended", "it lives")?;
        }
        if let Some(hidden) = hidden {
            let session = sessions.load(hidden).await?;
            equal("the end reason", &session.end_reason()?, &Some(EndReason::Revoked))?;
        }
        let committed = sessions.finish(&late).await?;
        ensure(matches!(committed.outcome, Outcome::Ended(_)), "a late commit finds it ended", &committed)?;
        for (id, user) in
            [(guest, None), (bob, Some("bob")), (logged_in(&sessions, "alice").await?, Some("alice"))]
        {
            equal("the user of another session", &opened(&sessions, id).await?.user()?.as_deref(), &user)?;
        }
        // A rotation keeps the epoch.
        let rotated = rotated(&sessions, bob).await?;
        equal("the user", &opened(&sessions, rotated).await?.user()?.as_deref(), &Some("bob"))?;
    }
    // Each call after the first write may be the last one.
    sessions.end_user("alice", "all").await?;
    logged_in(&sessions, "alice").await.map(drop)?;
    let all = [Operation::Retrieve, Operation::Store, Operation::Remove];
    let calls = steps(&probe, &all, async {
        sessions.end_user("alice", "all").await.map(|_| ()).map_err(Failure::from)
    })
    .await?;
    let later = |(operation, number): &(Operation, usize)| *operation != Operation::Retrieve || *number > 1;
    for (operation, number) in calls.into_iter().filter(later) {
        let ids = [logged_in(&sessions, "alice").await?, logged_in(&unlisted, "alice").await?];
        probe.calls();
        probe.plan(operation, number, Fault::Stall);
        let answer = probe.drop_at_stall(sessions.end_user("alice", "all")).await;
        let what = format!("an end that is dropped at {operation:?} {number}");
        ensure(answer.is_none(), &what, "an answer")?;
        for id in ids {
            ensure(!sessions.load(id).await?.exists()?, format!("no session after {what}"), "one")?;
        }
        sessions.end_user("alice", "all").await?;
    }
    Ok(())
}

pub(crate) async fn s100_user_data_merges_guest_value_once(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    let sum = |own: Option<u64>, guest: u64| own.unwrap_or(0) + guest;
    equal("the data of a new user", &sessions.user_data::<u64>("alice", "cart").await?, &None)?;
    // Two requests at once, and an answer that is lost.
    let other = sessions.clone();
    sessions.update_user_data("alice", "cart", |own: Option<u64>| own.unwrap_or(0) + 1).await.map(drop)?;
    probe.calls();
    probe.before(Operation::Store, 1, async move {
        other.update_user_data("alice", "cart", |own: Option<u64>| own.unwrap_or(0) + 2).await.map(drop)
    });
    let added = sessions.update_user_data("alice", "cart", |own: Option<u64>| own.unwrap_or(0) + 4).await?;
    equal("three updates", &added, &7)?;
    probe.plan(Operation::Store, 1, Fault::LoseAnswer);
    let added = sessions.update_user_data("alice", "cart", |own: Option<u64>| own.unwrap_or(0) + 8).await?;
    equal("an update whose answer was lost", &added, &15)?;
    // A guest with a cart logs in twice at once, and once more because the responses were lost.
    let guest = begun(&sessions, |session| session.insert("cart", &100_u64)).await?;
    let (one, two) = (opened(&sessions, guest).await?, opened(&sessions, guest).await?);
    let mut ids = Vec::new();
    for session in [one, two] {
        session.login("alice")?;
        equal("the merged value", &sessions.merge_user_data(&session, "cart", sum).await?, &Some(115))?;
        equal("the value of the session", &session.get::<u64>("cart")?, &None)?;
        done(&sessions, &session).await?;
        ids.push(new_id(&session)?);
    }
    let again = sessions.load(guest).await?;
    again.login("alice")?;
    equal(
        "the value after a third login",
        &sessions.merge_user_data(&again, "cart", sum).await?,
        &Some(115),
    )?;
    done(&sessions, &again).await?;
    ids.push(new_id(&again)?);
    for id in ids {
        let session = opened(&sessions, id).await?;
        equal("whether the session has the value still", &session.contains("cart")?, &false)?;
    }
    // It outlives all sessions of the user.
    sessions.end_user("alice", "all").await?;
    equal("the data afterwards", &sessions.user_data::<u64>("alice", "cart").await?, &Some(115))?;
    equal("the data of another user", &sessions.user_data::<u64>("bob", "cart").await?, &None)?;
    refused(sessions.user_data::<String>("alice", "cart").await, ErrorKind::Decode, "another type")?;
    let session = sessions.load(None).await?;
    refused(
        sessions.merge_user_data(&session, "cart", sum).await,
        ErrorKind::Config,
        "a merge without a user",
    )?;
    equal("whether it was removed", &sessions.remove_user_data("alice").await?, &true)?;
    equal("the data of a removed user", &sessions.user_data::<u64>("alice", "cart").await?, &None)
}

/// Two sessions of alice and the key of her index; the record of the first is damaged, or has an unknown format.
async fn with_damage(
    stage: &Stage,
    probe: &Probe,
    sessions: &Manager,
    engine: bool,
) -> Result<Hurt, Failure> {
    let lost = logged_in(sessions, "alice").await?;
    let own = logged_in(sessions, "alice").await?;
    probe.calls();
    let _ = sessions.of_user("alice").await?;
    let index = index_key(probe)?;
    let whole = stored(probe, lost).await?;
    if engine {
        stage.storage.damage(&lost.key()).await?;
    } else {
        let record = Record { data: "no session".into(), revision: Revision::random()?, ..whole.clone() };
        put(probe.inner(), &lost.key(), &record).await?;
    }
    Ok(Hurt { lost, own, index, whole })
}

struct Hurt {
    lost: SessionId,
    own: SessionId,
    index: Key,
    whole: Record,
}

pub(crate) async fn s109_damaged_session_stays_listed_until_it_is_ended(stage: &Stage) -> Check {
    let engines: &[bool] = if stage.lacks(Requirement::Damage) { &[false] } else { &[false, true] };
    for engine in engines {
        let (probe, sessions) =
            with(stage, |options| options.max_user_sessions(3, OnTooMany::Reject)).await?;
        let hurt = with_damage(stage, &probe, &sessions, *engine).await?;
        let (lost, own) = (hurt.lost.key(), opened(&sessions, hurt.own).await?);
        // The list leaves it out. Neither that nor other uses of the index take it for an ended session, and it does
        // not count for the limit.
        equal("the sessions that are listed", &sessions.of_user("alice").await?.len(), &1)?;
        equal("the entries after listing", &entries(&probe, &hurt.index).await?, &2)?;
        let third = logged_in(&sessions, "alice").await?;
        let fourth = logged_in(&sessions, "alice").await?;
        equal("the entries after two logins", &entries(&probe, &hurt.index).await?, &4)?;
        // Once it is readable again, it is in the list.
        if !engine {
            put(probe.inner(), &lost, &hurt.whole).await?;
            equal("the sessions that are listed", &sessions.of_user("alice").await?.len(), &4)?;
            put(probe.inner(), &lost, &Record { data: "garbage".into(), ..hurt.whole }).await?;
        }
        let ended = sessions.end_others(&own, "others").await;
        let removed = match (ended, engine) {
            (Ok(ended), _) => {
                equal("how many others ended", &ended, &3)?;
                equal("what is stored of the damaged one", &probe.inner().retrieve(&lost).await?, &None)?;
                true
            }
            // A driver may refuse to remove what it cannot read. All others have ended.
            (Err(error), true) if error.kind() == ErrorKind::Corrupt => false,
            (Err(error), _) => return Err(error.into()),
        };
        for id in [third, fourth] {
            nothing(&probe, id, "after ending the others").await?;
        }
        equal("the entries", &entries(&probe, &hurt.index).await?, &if removed { 1 } else { 2 })?;
        if removed {
            lists(&probe, &sessions, "alice", &[hurt.own], "after ending the others").await?;
            let hurt = with_damage(stage, &probe, &sessions, *engine).await?;
            equal("how many ended", &sessions.end_user("alice", "all").await?, &3)?;
            let left = probe.inner().retrieve(&hurt.lost.key()).await?;
            equal("what is stored of the damaged one", &left, &None)?;
            lists(&probe, &sessions, "alice", &[], "after ending all").await?;
        }
    }
    Ok(())
}

pub(crate) async fn s110_ended_session_ends_no_others(stage: &Stage) -> Check {
    for epochs in [false, true] {
        let (probe, sessions) = with(stage, |options| options.user_epochs(epochs)).await?;
        for way in ["destroyed", "rotated", "ended with all"] {
            let old = logged_in(&sessions, "alice").await?;
            let late = opened(&sessions, old).await?;
            let mut left = Vec::new();
            match way {
                "destroyed" => drop(opened(&sessions, old).await?.destroy("logout").await?),
                "rotated" => left.push(rotated(&sessions, old).await?),
                _ => drop(sessions.end_user("alice", "all").await?),
            }
            left.push(logged_in(&sessions, "alice").await?);
            equal(
                &format!("how many a session ends that was {way}"),
                &sessions.end_others(&late, "x").await?,
                &0,
            )?;
            lists(&probe, &sessions, "alice", &left, way).await?;
            sessions.end_user("alice", "all").await?;
        }
    }
    Ok(())
}

pub(crate) async fn s111_damaged_index_follows_policy(stage: &Stage) -> Check {
    let (probe, sessions) = with(stage, |options| options.user_epochs(true)).await?;
    let (_, failing) =
        with(stage, |options| options.user_epochs(true).on_corrupt(session_manager::OnCorrupt::Fail)).await?;
    let engines: &[bool] = if stage.lacks(Requirement::Damage) { &[false] } else { &[false, true] };
    for engine in engines {
        let old = logged_in(&sessions, "alice").await?;
        probe.calls();
        let _ = sessions.of_user("alice").await?;
        let index = index_key(&probe)?;
        if *engine {
            stage.storage.damage(&index).await?;
        } else {
            let record = Record { data: "no index".into(), expires: Some(stage.later()), revision: rev(9) };
            put(probe.inner(), &index, &record).await?;
        }
        refused(failing.of_user("alice").await, ErrorKind::Corrupt, "a list under the policy Fail")?;
        let login = failing.load(None).await?;
        login.login("alice")?;
        refused(failing.finish(&login).await, ErrorKind::Corrupt, "a login under the policy Fail")?;
        // No session from before the damage has the epoch of the new index.
        ensure(!sessions.load(old).await?.exists()?, "the old session has ended", "it lives")?;
        let found = sessions.of_user("alice").await?.len();
        equal("the sessions that a damaged index lists", &found, &0)?;
        let login = sessions.load(None).await?;
        login.login("alice")?;
        match (sessions.finish(&login).await, engine) {
            (Ok(committed), _) => came_to(&committed, &Outcome::Created, "a login over a damaged index")?,
            // A driver may refuse to replace what it cannot read.
            (Err(error), true) if error.kind() == ErrorKind::Store => continue,
            (Err(error), _) => return Err(error.into()),
        }
        let one = new_id(&login)?;
        let two = logged_in(&sessions, "alice").await?;
        lists(&probe, &sessions, "alice", &[one, two], "after the damage").await?;
        ensure(!sessions.load(old).await?.exists()?, "the old session stays ended", "it lives")?;
        sessions.end_user("alice", "all").await?;
    }
    Ok(())
}

pub(crate) async fn s112_find_omits_sessions_that_an_epoch_has_ended(stage: &Stage) -> Check {
    let (_, unlisted) = with(stage, |options| options.index_users(false)).await?;
    let (_, sessions) = with(stage, |options| options.user_epochs(true)).await?;
    let count = async || -> Result<usize, Failure> {
        // A set, because a driver without `exactly_once` may report a session twice.
        let (mut next, mut found) = (Some(Cursor::start()), HashSet::new());
        while let Some(from) = next {
            let page = sessions.find(from, 3).await?;
            found.extend(page.sessions.iter().map(Found::handle));
            next = page.next;
        }
        Ok(found.len())
    };
    begun(&sessions, |session| session.insert("a", &1)).await.map(drop)?;
    logged_in(&sessions, "bob").await.map(drop)?;
    let hidden = logged_in(&unlisted, "alice").await?;
    equal("the live sessions", &count().await?, &3)?;
    // The index does not list this session, so only the epoch ends it.
    equal("how many were listed", &sessions.end_user("alice", "all").await?, &0)?;
    ensure(!sessions.load(hidden).await?.exists()?, "it has ended", "it lives")?;
    equal("the live sessions afterwards", &count().await?, &2)
}
