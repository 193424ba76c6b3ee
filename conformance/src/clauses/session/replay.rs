//! Two requests of one session: the replay table, row by row.

use super::common::*;

/// Two requests that have loaded the same state.
async fn two(sessions: &Manager, id: SessionId) -> Result<(Session, Session), Failure> {
    Ok((opened(sessions, id).await?, opened(sessions, id).await?))
}

/// Commits `first` without a conflict, and then `second`, which conflicts and is replayed once.
async fn in_turn(sessions: &Manager, first: &Session, second: &Session) -> Check {
    let committed = sessions.finish(first).await?;
    came_to(&committed, &Outcome::Updated, "the first commit")?;
    equal("replays of the first commit", &committed.replays, &0)?;
    let committed = sessions.finish(second).await?;
    came_to(&committed, &Outcome::Updated, "the second commit")?;
    equal("replays of the second commit", &committed.replays, &1)
}

pub(crate) async fn s12_parallel_sets_keep_both(stage: &Stage) -> Check {
    let (_, sessions) = fresh(stage).await?;
    let id = begun(&sessions, |session| session.insert("old", &1)).await?;
    let (one, two) = two(&sessions, id).await?;
    one.insert("a", "one")?;
    two.insert("b", "two")?;
    in_turn(&sessions, &one, &two).await?;
    // Who commits sees what it has met.
    equal("the other's value in the second request", &two.get::<String>("a")?.as_deref(), &Some("one"))?;
    finds(&sessions, id, "a", Some("one".to_owned())).await?;
    finds(&sessions, id, "b", Some("two".to_owned())).await?;
    finds(&sessions, id, "old", Some(1)).await
}

pub(crate) async fn s13_later_insert_wins_and_removal_stays(stage: &Stage) -> Check {
    let (_, sessions) = fresh(stage).await?;
    let id = begun(&sessions, |session| {
        session.insert("gone", &1)?;
        session.insert("mine", &1)
    })
    .await?;
    let (one, two) = two(&sessions, id).await?;
    one.insert("same", "first")?;
    equal("the removed value was there", &one.remove("gone")?, &true)?;
    one.insert("mine", &2)?;
    two.insert("same", "second")?;
    two.insert("other", &1)?;
    two.remove("mine")?;
    in_turn(&sessions, &one, &two).await?;
    finds(&sessions, id, "same", Some("second".to_owned())).await?;
    finds(&sessions, id, "other", Some(1)).await?;
    finds::<u64>(&sessions, id, "gone", None).await?;
    finds::<u64>(&sessions, id, "mine", None).await
}

pub(crate) async fn s14_parallel_updates_add_up(stage: &Stage) -> Check {
    let (_, sessions) = fresh(stage).await?;
    let id = begun(&sessions, |session| session.insert("count", &10_u64)).await?;
    let (one, two) = two(&sessions, id).await?;
    let add = |session: &Session, by: u64| {
        session.update("count", move |count: Option<u64>| count.unwrap_or(0) + by)
    };
    equal("the provisional result of the first", &add(&one, 1)?, &11)?;
    equal("the provisional result of the second", &add(&two, 5)?, &15)?;
    equal("its provisional result after one more", &add(&two, 5)?, &20)?;
    in_turn(&sessions, &one, &two).await?;
    equal("the result after the commit", &two.get::<u64>("count")?, &Some(21))?;
    finds(&sessions, id, "count", Some(21_u64)).await
}

pub(crate) async fn s15_token_is_taken_once(stage: &Stage) -> Check {
    let (_, sessions) = fresh(stage).await?;
    let id = begun(&sessions, |session| {
        session.insert("token", &7)?;
        session.insert("changed", &7)?;
        session.insert("quiet", &7)
    })
    .await?;

    // Taken by both.
    let (one, two) = two(&sessions, id).await?;
    equal("the token of the first", &one.take::<u64>("token")?, &Some(7))?;
    equal("the token of the second", &two.take::<u64>("token")?, &Some(7))?;
    two.insert("spent by", "two")?;
    let committed = sessions.finish(&one).await?;
    came_to(&committed, &Outcome::Updated, "the first take")?;
    ensure(committed.critical, "a take is critical", &committed)?;
    let error = refused(sessions.finish(&two).await, ErrorKind::Contention, "the second take")?;
    ensure(error.refuses_response(), "its response does not go out", &error)?;
    finds::<u64>(&sessions, id, "token", None).await?;
    finds::<String>(&sessions, id, "spent by", None).await?;

    // Changed by another.
    let (one, two) = self::two(&sessions, id).await?;
    one.insert("changed", &8)?;
    two.take::<u64>("changed")?;
    done(&sessions, &one).await?;
    refused(sessions.finish(&two).await, ErrorKind::Contention, "taking a value that was changed")?;
    finds(&sessions, id, "changed", Some(8)).await?;

    // Untouched by another's write.
    let (one, two) = self::two(&sessions, id).await?;
    one.insert("other", &1)?;
    equal("the value of the second", &two.take::<u64>("quiet")?, &Some(7))?;
    in_turn(&sessions, &one, &two).await?;
    finds(&sessions, id, "other", Some(1)).await?;
    finds::<u64>(&sessions, id, "quiet", None).await
}

pub(crate) async fn s16_clear_keeps_user_flash_and_times(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    let id = begun(&sessions, |session| {
        session.insert("old", &1)?;
        session.flash().set("notice", "hello")?;
        session.set_idle_timeout(3 * HOUR)?;
        session.bind_user("alice")
    })
    .await?;
    let (one, two) = two(&sessions, id).await?;
    one.insert("new", &2)?;
    two.clear_values()?;
    two.insert("after", &3)?;
    in_turn(&sessions, &one, &two).await?;
    let later = opened(&sessions, id).await?;
    equal("the keys afterwards", &later.keys()?, &vec!["after".to_owned()])?;
    equal("the user afterwards", &later.user()?.as_deref(), &Some("alice"))?;
    equal("the flash value afterwards", &later.flash().get::<String>("notice")?.as_deref(), &Some("hello"))?;
    let deadline = stored(&probe, id).await?.expires.map(|at| at.saturating_since(stage.now()));
    let kept = deadline.is_some_and(|left| left > 2 * HOUR && left <= 3 * HOUR);
    ensure(kept, "the idle timeout is still three hours", format_args!("{deadline:?} left"))
}

pub(crate) async fn s17_expire_key_follows_its_value(stage: &Stage) -> Check {
    let (_, sessions) = fresh(stage).await?;
    let id = begun(&sessions, |session| {
        session.insert("replaced", "old")?;
        session.insert("same", "old")
    })
    .await?;
    let (one, two) = two(&sessions, id).await?;
    one.insert("replaced", "new")?;
    for key in ["replaced", "same"] {
        equal("expire_key finds its value", &two.expire_key(key, MINUTE)?, &true)?;
    }
    equal("expire_key of no value", &two.expire_key("missing", MINUTE)?, &false)?;
    in_turn(&sessions, &one, &two).await?;
    advance(stage, MINUTE);
    finds(&sessions, id, "replaced", Some("new".to_owned())).await?;
    finds::<String>(&sessions, id, "same", None).await
}

pub(crate) async fn s18_last_time_policy_wins(stage: &Stage) -> Check {
    let (probe, sessions, id) = with_one(stage).await?;
    let (one, two) = two(&sessions, id).await?;
    one.set_idle_timeout(HOUR)?;
    two.set_idle_timeout(3 * HOUR)?;
    in_turn(&sessions, &one, &two).await?;
    expires(&probe, id, after(stage, 3 * HOUR), "the later policy").await?;

    // One request shortens the absolute lifetime; the other one writes without knowing it.
    let (one, two) = self::two(&sessions, id).await?;
    one.set_absolute_lifetime(Some(30 * MINUTE))?;
    two.insert("b", &1)?;
    in_turn(&sessions, &one, &two).await?;
    expires(&probe, id, after(stage, 30 * MINUTE), "the merged deadline").await
}

pub(crate) async fn s19_one_session_has_one_user(stage: &Stage) -> Check {
    let (_, sessions, id) = with_one(stage).await?;
    let (one, two) = two(&sessions, id).await?;
    one.bind_user("alice")?;
    one.insert("name", "Alice")?;
    two.bind_user("bob")?;
    two.insert("name", "Bob")?;
    let committed = sessions.finish(&one).await?;
    ensure(committed.critical, "binding a user is critical", &committed)?;
    let error = refused(sessions.finish(&two).await, ErrorKind::Contention, "binding another user")?;
    ensure(error.refuses_response(), "its response does not go out", &error)?;
    finds(&sessions, id, "name", Some("Alice".to_owned())).await?;
    equal("the user", &opened(&sessions, id).await?.user()?.as_deref(), &Some("alice"))?;

    // Binding the same user twice does not conflict.
    let other = begun(&sessions, |session| session.insert("a", &1)).await?;
    let (one, two) = self::two(&sessions, other).await?;
    one.bind_user("alice")?;
    two.bind_user("alice")?;
    two.insert("b", &1)?;
    in_turn(&sessions, &one, &two).await?;
    finds(&sessions, other, "b", Some(1)).await
}

pub(crate) async fn s20_eight_tasks_lose_nothing(stage: &Stage) -> Check {
    const TASKS: u64 = 8;
    const CHUNK: u64 = 20;
    let rounds = stage.amount(200, 2_000) as u64;
    // Two handles, as two processes would have.
    let managers = [fresh(stage).await?.1, fresh(stage).await?.1];
    let id = begun(&managers[0], |session| session.insert("count", &0_u64)).await?;
    // The counter is compared often, so that a driver that loses updates fails soon.
    for first in (1..=rounds).step_by(CHUNK as usize) {
        let crowd = Crowd::start(TASKS, managers.clone(), |task, managers| async move {
            let (sessions, key) = (&managers[task as usize % 2], format!("task-{task}"));
            for round in first..first + CHUNK {
                let session = opened(sessions, id).await?;
                session.insert(&key, &round)?;
                add_to(&session, "count")?;
                // After a contention the log is still there, and the commit may be repeated.
                let mut repeats = 0;
                let committed = loop {
                    match session.commit().await {
                        Err(error) if error.kind() == ErrorKind::Contention && repeats < 20 => repeats += 1,
                        answer => break answer?,
                    }
                };
                came_to(&committed, &Outcome::Updated, &format!("round {round} of {key}"))?;
                equal("the task's own value after its commit", &session.get::<u64>(&key)?, &Some(round))?;
            }
            Ok(())
        });
        crowd.join().await?;
        nap(managers[1].driver().capabilities().staleness).await;
        finds(&managers[1], id, "count", Some(TASKS * (first + CHUNK - 1))).await?;
    }
    for task in 0..TASKS {
        finds(&managers[0], id, &format!("task-{task}"), Some(rounds)).await?;
    }
    Ok(())
}

pub(crate) async fn s80_failed_replay_writes_nothing(stage: &Stage) -> Check {
    let (_, sessions) = fresh(stage).await?;
    let id = begun(&sessions, |session| session.insert("count", &1_u64)).await?;
    let (one, two) = two(&sessions, id).await?;
    one.insert("count", "many")?;
    two.insert("before", &1)?;
    add_to(&two, "count")?;
    done(&sessions, &one).await?;
    refused(sessions.finish(&two).await, ErrorKind::Decode, "an update of a value that is text now")?;
    finds(&sessions, id, "count", Some("many".to_owned())).await?;
    finds::<u64>(&sessions, id, "before", None).await
}

pub(crate) async fn s115_request_learns_that_its_writes_are_not_stored(stage: &Stage) -> Check {
    let (_, sessions) = fresh(stage).await?;
    for way in ["logout", "rotate", "login", "tombstone", "stored"] {
        let id = begun(&sessions, |session| session.insert("a", &1)).await?;
        let before = opened(&sessions, id).await?;
        match way {
            "logout" => drop(opened(&sessions, id).await?.destroy("logout").await?),
            "login" => does(&sessions, id, |session| session.login("alice")).await?,
            "stored" => {}
            _ => drop(rotated(&sessions, id).await?),
        }
        let session = if way == "tombstone" { sessions.load(id).await? } else { before };
        // A request that only reads loses nothing.
        let reader = sessions.load(id).await?;
        ensure(!sessions.finish(&reader).await?.not_stored, format!("no loss of a reader: {way}"), "a loss")?;
        session.insert("b", &2)?;
        // An earlier commit counts too: the response is for the whole request.
        let first = session.commit().await?;
        let last = sessions.finish(&session).await?;
        for committed in [first, last] {
            let what = format!("whether writes were lost: {way}");
            equal(&what, &committed.not_stored, &(way != "stored"))?;
            ensure(!committed.refuses_response(), "only a policy refuses the response", &committed)?;
        }
    }
    Ok(())
}

pub(crate) async fn s116_update_now_returns_the_stored_value(stage: &Stage) -> Check {
    let (probe, sessions, id) = with_one(stage).await?;
    // Two first pages at once: each shows the token that is stored.
    let (one, two) = two(&sessions, id).await?;
    probe.calls();
    probe.before(Operation::Store, 1, async move {
        let token = one.update_now("token", |old: Option<u64>| old.unwrap_or(1)).await?;
        ensure(token == 1, "the first token", token)
    });
    let token = two.update_now("token", |old: Option<u64>| old.unwrap_or(2)).await?;
    equal("the token that the second page shows", &token, &1)?;
    finds(&sessions, id, "token", Some(1_u64)).await?;
    // If the session has ended and the value changes, there is no value to show.
    let late = opened(&sessions, id).await?;
    opened(&sessions, id).await?.destroy("logout").await.map(drop)?;
    let answer = late.update_now("token", |old: Option<u64>| old.unwrap_or(0) + 1).await;
    refused(answer, ErrorKind::Ended, "an update after the end").map(drop)
}
