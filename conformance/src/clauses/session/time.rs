//! Idle timeout, absolute lifetime, touches, deadlines of single values.

use super::common::*;

fn one(session: &Session) -> Result<(), session_manager::Error> {
    session.insert("a", &1)
}

/// Only loads and finishes.
fn read(_: &Session) -> Result<(), session_manager::Error> {
    Ok(())
}

pub(crate) async fn s46_idle_session_expires_exactly(stage: &Stage) -> Check {
    let (probe, sessions, id) = with_one(stage).await?;
    let deadline = after(stage, 2 * HOUR);
    expires(&probe, id, deadline, "a new session").await?;
    stage.set(deadline.saturating_sub(MILLISECOND));
    let session = opened(&sessions, id).await?;
    equal("the deadline that the handle shows", &session.deadline()?, &Some(deadline))?;
    drop(session);
    stage.set(deadline);
    let session = sessions.load(id).await?;
    ensure(!session.exists()?, "no session at its deadline", "it is there")?;
    equal("the end reason", &session.end_reason()?, &Some(EndReason::Expired))?;
    equal("a value", &session.get::<u64>("a")?, &None)?;
    session.insert("b", &1)?;
    came_to(&sessions.finish(&session).await?, &Outcome::Created, "a write after the end")?;
    ensure(new_id(&session)? != id, "an expired id is not taken over", "it was")?;
    nothing(&probe, id, "under the expired id").await
}

pub(crate) async fn s47_read_extends_by_touch(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    let start = stage.now();
    let id = begun(&sessions, |session| session.insert("text", &"a long one ".repeat(400))).await?;
    let has_times = |session: &Session, updated| {
        equal("when it was created", &session.created()?, &Some(start))?;
        equal("when it was last changed", &session.updated()?, &Some(updated))
    };
    for _ in 0..3 {
        let before = stored(&probe, id).await?;
        advance(stage, HOUR);
        let session = opened(&sessions, id).await?;
        has_times(&session, start)?;
        probe.calls();
        came_to(&sessions.finish(&session).await?, &Outcome::Touched, "a late read")?;
        called(&probe, &[Operation::Touch], "its commit")?;
        let touched = stored(&probe, id).await?;
        let deadline = Some(after(stage, 2 * HOUR));
        equal("the new deadline", &touched.expires, &deadline)?;
        ensure(touched.data == before.data, "the same data", format_args!("{touched:?}, was {before:?}"))?;
        // The client and the store are extended together.
        let extend = IdUpdate::Extend { id, deadline, persistence: Persistence::Configured };
        equal("the client's instruction", &session.id_update(), &extend)?;
    }
    does(&sessions, id, one).await?;
    let changed = stage.now();
    advance(stage, MINUTE);
    has_times(&opened(&sessions, id).await?, changed)
}

pub(crate) async fn s48_touch_waits_for_its_threshold(stage: &Stage) -> Check {
    let (probe, sessions, id) = with_one(stage).await?;
    for _ in 0..2 {
        let deadline = stored(&probe, id).await?.expires;
        advance(stage, 6 * MINUTE);
        let session = opened(&sessions, id).await?;
        probe.calls();
        came_to(&sessions.finish(&session).await?, &Outcome::Unchanged, "a read within the threshold")?;
        called(&probe, &[], "the request")?;
        tells_nothing(&session, "a read within the threshold")?;
        equal("the deadline", &stored(&probe, id).await?.expires, &deadline)?;
        advance(stage, MILLISECOND);
        came_to(&request(&sessions, id, read).await?, &Outcome::Touched, "a read after it")?;
        called(&probe, &[Operation::Retrieve, Operation::Touch], "that request")?;
        came_to(&request(&sessions, id, read).await?, &Outcome::Unchanged, "a read right after that")?;
        called(&probe, &[Operation::Retrieve], "the request")?;
    }
    let (_, eager) = with(stage, |options| options.touch_threshold(MINUTE / 8)).await?;
    advance(stage, MINUTE);
    came_to(&request(&eager, id, read).await?, &Outcome::Touched, "a read with a smaller threshold")
}

pub(crate) async fn s49_stale_touch_changes_nothing(stage: &Stage) -> Check {
    let (probe, sessions, id) = with_one(stage).await?;
    advance(stage, HOUR);
    let reader = opened(&sessions, id).await?;
    does(&sessions, id, |session| session.insert("a", &2)).await?;
    does(&sessions, id, |session| session.set_idle_timeout(HOUR)).await?;
    let written = stored(&probe, id).await?;
    came_to(&sessions.finish(&reader).await?, &Outcome::Unchanged, "the commit of a stale reader")?;
    tells_nothing(&reader, "the commit of a stale reader")?;
    equal("the record", &stored(&probe, id).await?, &written)?;
    finds(&sessions, id, "a", Some(2)).await
}

pub(crate) async fn s50_late_touch_revives_nothing(stage: &Stage) -> Check {
    let (probe, sessions, id) = with_one(stage).await?;
    let moved = begun(&sessions, one).await?;
    advance(stage, HOUR);
    let (late, late_too) = (opened(&sessions, id).await?, opened(&sessions, moved).await?);
    opened(&sessions, id).await?.destroy("logout").await?;
    does(&sessions, moved, Session::rotate).await?;
    let tombstone = raw(&probe, moved).await?;
    for (what, late) in [("a removal", late), ("a rotation", late_too)] {
        probe.calls();
        done(&sessions, &late).await?;
        equal(&format!("the calls of a touch after {what}"), &probe.operations(), &vec![Operation::Touch])?;
        tells_nothing(&late, &format!("a touch after {what}"))?;
    }
    nothing(&probe, id, "after a late touch").await?;
    equal("the tombstone after a late touch", &raw(&probe, moved).await?, &tombstone)?;
    ensure(tombstone.is_some_and(|tombstone| is_marker(&tombstone)), "it is a tombstone", "data")
}

pub(crate) async fn s51_absolute_lifetime_is_final(stage: &Stage) -> Check {
    let (probe, sessions, id) = with_one(stage).await?;
    let end = after(stage, 24 * HOUR);
    for hour in 1..24_u64 {
        advance(stage, HOUR);
        // Now a read, now a write.
        does(&sessions, id, |session| if hour % 2 == 0 { session.insert("hour", &hour) } else { Ok(()) })
            .await?;
        let deadline = after(stage, 2 * HOUR).min(end);
        expires(&probe, id, deadline, &format!("the session after {hour} hours")).await?;
    }
    stage.set(end.saturating_sub(MILLISECOND));
    came_to(&request(&sessions, id, read).await?, &Outcome::Unchanged, "a read at the last moment")?;
    stage.set(end);
    equal("the end reason at the end", &sessions.load(id).await?.end_reason()?, &Some(EndReason::Expired))?;

    let (probe, endless) = with(stage, |options| options.absolute_lifetime(None)).await?;
    let id = begun(&endless, one).await?;
    for _ in 0..60 {
        advance(stage, HOUR);
        does(&endless, id, read).await?;
    }
    let deadline = Some(after(stage, 2 * HOUR));
    equal("the deadline without an absolute lifetime", &stored(&probe, id).await?.expires, &deadline)
}

pub(crate) async fn s52_session_has_its_own_times(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    // "Remember me", set at the beginning or later, and a short one.
    let long = |session: &Session| {
        session.set_idle_timeout(7 * 24 * HOUR)?;
        session.set_absolute_lifetime(Some(10 * 24 * HOUR))?;
        session.insert("a", &1)
    };
    let start = stage.now();
    let remembered = begun(&sessions, long).await?;
    let later = begun(&sessions, one).await?;
    let short = begun(&sessions, |session| {
        session.set_idle_timeout(MINUTE)?;
        session.insert("a", &1)
    })
    .await?;
    expires(&probe, short, after(stage, MINUTE), "a short one").await?;
    came_to(&request(&sessions, later, long).await?, &Outcome::Updated, "a change of policy")?;
    for id in [remembered, later] {
        let deadline = Some(start.saturating_add(7 * 24 * HOUR));
        equal("the deadline of a long one", &stored(&probe, id).await?.expires, &deadline)?;
    }
    stage.set(start.saturating_add(5 * 24 * HOUR));
    for id in [remembered, later] {
        came_to(&request(&sessions, id, read).await?, &Outcome::Touched, "a read after five days")?;
        let deadline = Some(start.saturating_add(10 * 24 * HOUR));
        equal("its absolute deadline", &stored(&probe, id).await?.expires, &deadline)?;
    }
    nothing(&probe, short, "after the short one's time").await?;
    // A time policy alone moves the deadline, also to an earlier time.
    let committed = request(&sessions, later, |session| session.set_idle_timeout(HOUR)).await?;
    came_to(&committed, &Outcome::Updated, "a policy by itself")?;
    expires(&probe, later, after(stage, HOUR), "the shorter deadline").await
}

pub(crate) async fn s53_session_expired_before_commit_stays_expired(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    // Before the commit, or before one of its stores.
    for (rotates, step) in [(false, 0), (false, 1), (true, 0), (true, 1), (true, 2)] {
        let what = if step == 0 { "after the deadline".into() } else { format!("with it at store {step}") };
        let id = begun(&sessions, one).await?;
        let deadline = after(stage, 2 * HOUR);
        advance(stage, HOUR);
        let session = opened(&sessions, id).await?;
        session.insert("a", &2)?;
        if rotates {
            session.rotate()?;
        }
        probe.calls();
        match stage.virtual_clock() {
            Some(clock) if step > 0 => probe.before(Operation::Store, step, async move {
                clock.set(deadline);
                Ok::<_, Failure>(())
            }),
            _ => stage.set(deadline),
        }
        let committed = sessions.finish(&session).await?;
        came_to(&committed, &Outcome::Ended(EndReason::Expired), &format!("a commit {what}"))?;
        equal("whether the response is refused", &committed.refuses_response(), &rotates)?;
        tells_nothing(&session, &format!("a commit {what}"))?;
        nothing(&probe, id, &what).await?;
        nothing_else(&probe, &[], &what).await?;
    }
    // A reader that ends late extends nothing.
    let id = begun(&sessions, one).await?;
    advance(stage, HOUR);
    let reader = opened(&sessions, id).await?;
    advance(stage, HOUR);
    let committed = sessions.finish(&reader).await?;
    came_to(&committed, &Outcome::Ended(EndReason::Expired), "a touch after the deadline")?;
    nothing(&probe, id, "after a touch").await
}

pub(crate) async fn s54_request_may_decline_to_extend(stage: &Stage) -> Check {
    let (probe, sessions, id) = with_one(stage).await?;
    let deadline = Some(after(stage, 2 * HOUR));
    advance(stage, HOUR);
    for round in 0..2_u64 {
        let poll = if round == 0 {
            sessions.load(RequestInfo::new(id).extend(false)).await?
        } else {
            let poll = opened(&sessions, id).await?;
            poll.do_not_extend();
            poll
        };
        probe.calls();
        came_to(&poll.commit().await?, &Outcome::Unchanged, "a poll")?;
        called(&probe, &[], "the request")?;
        tells_nothing(&poll, "a poll")?;
        poll.insert("polls", &round)?;
        came_to(&sessions.finish(&poll).await?, &Outcome::Updated, "a poll that writes")?;
        equal("the deadline after it", &stored(&probe, id).await?.expires, &deadline)?;
        finds(&sessions, id, "polls", Some(round)).await?;
    }
    Ok(())
}

pub(crate) async fn s55_value_expires_at_its_own_deadline(stage: &Stage) -> Check {
    let (_, sessions) = fresh(stage).await?;
    let id = begun(&sessions, |session| {
        session.insert("code", &1234)?;
        session.expire_key("code", 10 * MINUTE)?;
        session.insert("a", &1)
    })
    .await?;
    let end = after(stage, 10 * MINUTE);
    advance(stage, 8 * MINUTE);
    // Neither a touch nor a write extends the value.
    came_to(&request(&sessions, id, read).await?, &Outcome::Touched, "a read")?;
    does(&sessions, id, |session| session.insert("b", &1)).await?;
    stage.set(end.saturating_sub(MILLISECOND));
    finds(&sessions, id, "code", Some(1234)).await?;
    let open = opened(&sessions, id).await?;
    stage.set(end);
    equal("the value in a request that is under way", &open.get::<u64>("code")?, &None)?;
    let session = opened(&sessions, id).await?;
    equal("the value at its deadline", &session.get::<u64>("code")?, &None)?;
    equal("whether it is contained", &session.contains("code")?, &false)?;
    equal("the keys", &session.keys()?, &["a", "b"].map(str::to_owned).to_vec())?;
    equal("whether it can be given more time", &session.expire_key("code", HOUR)?, &false)
}

pub(crate) async fn s56_new_value_has_no_old_deadline(stage: &Stage) -> Check {
    let (_, sessions) = fresh(stage).await?;
    let id = begun(&sessions, |session| {
        for key in ["inserted", "updated", "again", "left"] {
            session.insert(key, &1)?;
            session.expire_key(key, 10 * MINUTE)?;
        }
        Ok(())
    })
    .await?;
    does(&sessions, id, |session| {
        session.insert("inserted", &2)?;
        session.update("updated", |value: Option<u64>| value.unwrap_or(0) + 1)?;
        session.expire_key("again", 20 * MINUTE)?;
        Ok(())
    })
    .await?;
    advance(stage, 10 * MINUTE);
    finds(&sessions, id, "inserted", Some(2)).await?;
    finds(&sessions, id, "updated", Some(2)).await?;
    finds(&sessions, id, "again", Some(1)).await?;
    finds::<u64>(&sessions, id, "left", None).await?;
    advance(stage, 10 * MINUTE);
    finds::<u64>(&sessions, id, "again", None).await
}

pub(crate) async fn s57_client_learns_the_stored_deadline(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    let session = sessions.load(None).await?;
    session.insert("a", &1)?;
    drop(session.commit().await?);
    let id = new_id(&session)?;
    let told = |session: &Session| -> Option<Option<Timestamp>> {
        match session.id_update() {
            IdUpdate::Set { deadline, .. } | IdUpdate::Extend { deadline, .. } => Some(deadline),
            _ => None,
        }
    };
    equal("after the first write", &told(&session), &Some(stored(&probe, id).await?.expires))?;
    session.set_idle_timeout(30 * MINUTE)?;
    drop(session.commit().await?);
    equal("the id after one more commit", &new_id(&session)?, &id)?;
    equal("after a change of policy", &told(&session), &Some(stored(&probe, id).await?.expires))?;
    for change in [read, one, Session::rotate] {
        advance(stage, 10 * MINUTE);
        let session = opened(&sessions, id).await?;
        change(&session)?;
        done(&sessions, &session).await?;
        let now_at = new_id(&session).unwrap_or(id);
        let in_store = stored(&probe, now_at).await?.expires;
        equal("the client's instruction", &told(&session), &Some(in_store))?;
        equal("the deadline in the store", &in_store, &Some(after(stage, 30 * MINUTE)))?;
    }
    Ok(())
}
