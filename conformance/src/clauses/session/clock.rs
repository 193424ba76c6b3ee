//! A clock that was ahead and is right again.

use std::time::Duration;

use session_manager::OnTooMany;

use super::common::*;

const MONTHS: Duration = Duration::from_secs(90 * 86_400);

fn one(session: &Session) -> Result<(), session_manager::Error> {
    session.insert("a", &1)
}

/// Only loads and finishes.
fn read(_: &Session) -> Result<(), session_manager::Error> {
    Ok(())
}

async fn has_ended(sessions: &Manager, id: SessionId, what: &str) -> Check {
    ensure(!sessions.load(id).await?.exists()?, format!("it has ended: {what}"), "it lives")
}

pub(crate) async fn s117_limits_of_a_clock_ahead_count_from_now(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    let right = stage.now();
    // Created, rotated or used while the clock was ahead; the first request afterwards reads, writes, rotates or polls.
    for made in ["created", "rotated", "used"] {
        for first in ["reads", "writes", "rotates", "polls"] {
            let what = format!("{made}, then {first}");
            stage.set(right);
            let mut id = SessionId::from_bytes([0; SessionId::BYTES]);
            if made != "created" {
                id = begun(&sessions, |session| {
                    session.set_absolute_lifetime(None).and_then(|()| one(session))
                })
                .await?;
                // So that the session lives until the clock is ahead.
                does(&sessions, id, |session| session.set_idle_timeout(2 * MONTHS)).await?;
            }
            stage.set(right.saturating_add(MONTHS));
            match made {
                "created" => id = begun(&sessions, one).await?,
                "rotated" => id = rotated(&sessions, id).await?,
                _ => does(&sessions, id, read).await?,
            }
            let idle = if made == "created" { 2 * HOUR } else { 2 * MONTHS };
            stage.set(right);
            let session = opened(&sessions, id).await?;
            match first {
                "writes" => session.insert("b", &2)?,
                "rotates" => session.rotate()?,
                "polls" => session.do_not_extend(),
                _ => {}
            }
            done(&sessions, &session).await?;
            if let IdUpdate::Set { id: new, .. } = session.id_update() {
                id = new;
            }
            let deadline = stored(&probe, id).await?.expires;
            ensure(
                deadline <= Some(after(stage, idle)),
                format!("a deadline at most the idle timeout away: {what}"),
                deadline,
            )?;
            let session = opened(&sessions, id).await?;
            ensure(
                session.created()? <= Some(stage.now()),
                format!("it is not from the future: {what}"),
                "it is",
            )?;
            if made == "created" {
                // It is used each hour, and ends at its absolute deadline.
                for _ in 0..23 {
                    advance(stage, HOUR);
                    does(&sessions, id, read).await?;
                }
                advance(stage, HOUR);
                has_ended(&sessions, id, &format!("after its lifetime: {what}")).await?;
            } else {
                advance(stage, idle);
                has_ended(&sessions, id, &format!("after its idle timeout: {what}")).await?;
            }
        }
    }
    renewals_of_a_clock_ahead_go_on(stage).await
}

/// An id that was first used while the clock was ahead gets its age from the next request on.
async fn renewals_of_a_clock_ahead_go_on(stage: &Stage) -> Check {
    const AGE: Duration = Duration::from_secs(600);
    const FORWARD: Duration = Duration::from_secs(20);
    let (_, sessions) = with(stage, |options| options.renewal_timeout(AGE)).await?;
    let old = begun(&sessions, one).await?;
    advance(stage, AGE);
    let session = opened(&sessions, old).await?;
    came_to(&sessions.finish(&session).await?, &Outcome::Renewed, "a request after the renewal timeout")?;
    let id = new_id(&session)?;
    let right = stage.now();
    stage.set(right.saturating_add(HOUR));
    // A poll moves no deadline, which would show the wrong clock too.
    does(&sessions, id, |session| {
        session.do_not_extend();
        Ok(())
    })
    .await?;
    stage.set(right);
    does(&sessions, id, read).await?;
    // The time of the old id counts from the first request that presents it.
    does(&sessions, old, read).await?;
    advance(stage, FORWARD);
    has_ended(&sessions, old, "the old id after its time").await?;
    advance(stage, AGE - FORWARD);
    came_to(&request(&sessions, id, read).await?, &Outcome::Renewed, "a request after the next one")
}

pub(crate) async fn s118_values_of_a_clock_ahead_expire(stage: &Stage) -> Check {
    let (_, sessions) = fresh(stage).await?;
    let right = stage.now();
    for claims in [false, true] {
        stage.set(right.saturating_add(MONTHS));
        let id = begun(&sessions, |session| {
            one(session)?;
            session.insert("token", &1)?;
            session.insert("code", &7)?;
            session.expire_key("code", 10 * MINUTE).map(drop)
        })
        .await?;
        stage.set(right);
        let session = opened(&sessions, id).await?;
        if claims {
            equal("a claimed value", &session.claim::<u64>("token").await?, &Some(1))?;
        }
        // A deadline that this request sets counts from now already.
        session.expire_key("a", HOUR).map(drop)?;
        done(&sessions, &session).await?;
        advance(stage, 10 * MINUTE - MILLISECOND);
        finds(&sessions, id, "code", Some(7)).await?;
        advance(stage, MILLISECOND);
        finds::<u64>(&sessions, id, "code", None).await?;
        finds(&sessions, id, "a", Some(1)).await?;
        advance(stage, 50 * MINUTE);
        finds::<u64>(&sessions, id, "a", None).await?;
    }
    for conflict in ["a write", "a rotation", "a login"] {
        values_of_a_host_ahead_expire(stage, conflict).await?;
    }
    Ok(())
}

/// A host whose clock is ahead commits during another host's request, which replays its log on what that host wrote.
async fn values_of_a_host_ahead_expire(stage: &Stage, conflict: &'static str) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    let mut id = begun(&sessions, one).await?;
    let ahead = Sessions::new(Probe::new(probe.inner().clone()))?;
    let (clock, right) = (stage.virtual_clock(), stage.now());
    let session = opened(&sessions, id).await?;
    // A rotation stores the new record first. The host is ahead by less than the idle timeout, so the session lives there.
    let number = if conflict == "a write" { 1 } else { 2 };
    probe.before(Operation::Store, number, async move {
        let set = |now| clock.iter().for_each(|clock| clock.set(now));
        set(right.saturating_add(HOUR));
        let done = request(&ahead, id, |session| {
            session.insert("code", &7)?;
            session.expire_key("code", 10 * MINUTE).map(drop)
        })
        .await;
        set(right);
        goes_well(&done?)
    });
    match conflict {
        "a write" => session.insert("b", &2)?,
        "a rotation" => session.rotate()?,
        _ => session.login("alice")?,
    }
    done(&sessions, &session).await?;
    if let IdUpdate::Set { id: new, .. } = session.id_update() {
        id = new;
    }
    advance(stage, 10 * MINUTE - MILLISECOND);
    finds(&sessions, id, "code", Some(7)).await?;
    advance(stage, MILLISECOND);
    let session = opened(&sessions, id).await?;
    let code = session.get::<u64>("code")?;
    equal(&format!("the value of a host ahead, after {conflict}"), &code, &None)
}

pub(crate) async fn s119_tombstone_of_a_clock_ahead_ends(stage: &Stage) -> Check {
    let (probe, sessions) = with(stage, |options| options.max_user_sessions(2, OnTooMany::EndOldest)).await?;
    let right = stage.now();
    for logs_in in [false, true] {
        stage.set(right.saturating_add(MONTHS));
        let old = begun(&sessions, one).await?;
        does(&sessions, old, |session| if logs_in { session.login("alice") } else { session.rotate() })
            .await?;
        stage.set(right);
        // Its sixty seconds count from the first request that finds it.
        let late = sessions.load(old).await?;
        equal("the end reason", &late.end_reason()?, &Some(EndReason::Replaced))?;
        advance(stage, MINUTE - MILLISECOND);
        let late = sessions.load(old).await?;
        equal("the end reason within the minute", &late.end_reason()?, &Some(EndReason::Replaced))?;
        advance(stage, MILLISECOND);
        nothing(&probe, old, "after the minute").await?;
        let session = sessions.load(old).await?;
        session.insert("a", &1)?;
        came_to(
            &sessions.finish(&session).await?,
            &Outcome::Created,
            "a write of the client with the old id",
        )?;
    }
    // The index has an entry from the future, which counts as the newest no longer.
    let first = begun(&sessions, |session| session.login("alice")).await?;
    advance(stage, MINUTE);
    begun(&sessions, |session| session.login("alice")).await.map(drop)?;
    opened(&sessions, first).await.map(drop)?;
    equal("the sessions of the user", &sessions.of_user("alice").await?.len(), &2)
}

pub(crate) async fn s120_clock_that_goes_back_ends_nothing_early(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    for back in [MILLISECOND, 5 * MINUTE / 60, MINUTE / 2, HOUR, MONTHS] {
        stage.set(stage.now().saturating_add(MONTHS));
        let id = begun(&sessions, |session| {
            one(session)?;
            session.flash().set("notice", "saved")?;
            session.login("alice")
        })
        .await?;
        let before = stored(&probe, id).await?;
        stage.set(stage.now().saturating_sub(back));
        // A difference that clocks may have is none: the request makes no change.
        let committed = request(&sessions, id, read).await?;
        let small = back <= 5 * MINUTE / 60;
        equal("whether a small step changes nothing", &(stored(&probe, id).await? == before), &small)?;
        ensure(small == (committed.outcome == Outcome::Unchanged), "the same in the outcome", &committed)?;
        advance(stage, 2 * HOUR - MILLISECOND);
        let session = opened(&sessions, id).await?;
        equal("a value", &session.get::<u64>("a")?, &Some(1))?;
        let notice = session.flash().get::<String>("notice")?;
        equal("a flash value", &notice.as_deref(), &Some("saved"))?;
        done(&sessions, &session).await?;
        equal("the sessions of the user", &sessions.of_user("alice").await?.len(), &1)?;
        sessions.end_user("alice", "all").await?;
    }
    Ok(())
}
