//! Timed renewal: a new id without a login.

use std::time::Duration;

use super::common::*;
use super::reference::PATIENCE;

/// The renewal timeout of these clauses.
const AGE: Duration = Duration::from_secs(600);
/// How long the old id leads to the session after the new one was used.
const FORWARD: Duration = Duration::from_secs(20);

async fn renewing(stage: &Stage) -> Result<(Probe, Manager), Failure> {
    with(stage, |options| options.renewal_timeout(AGE)).await
}

/// A manager of another process, over the same store.
fn elsewhere(probe: &Probe, renewal: Option<Duration>) -> Result<Manager, Failure> {
    let builder = Sessions::builder(Probe::new(probe.inner().clone()));
    Ok(renewal.into_iter().fold(builder, |builder, time| builder.renewal_timeout(time)).build()?)
}

fn one(session: &Session) -> Result<(), Error> {
    session.insert("count", &1_u64)
}

fn read(_: &Session) -> Result<(), Error> {
    Ok(())
}

fn count(session: &Session) -> Result<(), Error> {
    add_to(session, "count")
}

/// A session that is due.
async fn due(stage: &Stage, sessions: &Manager) -> Result<SessionId, Failure> {
    let id = begun(sessions, one).await?;
    advance(stage, AGE);
    Ok(id)
}

/// A whole request that renews: the new id.
async fn renewed(
    sessions: &Manager,
    id: SessionId,
    change: impl FnOnce(&Session) -> Result<(), Error>,
) -> Result<SessionId, Failure> {
    let session = opened(sessions, id).await?;
    change(&session)?;
    came_to(&sessions.finish(&session).await?, &Outcome::Renewed, "a request after the renewal timeout")?;
    let new = new_id(&session)?;
    ensure(new != id, "another id", "the same")?;
    Ok(new)
}

/// Fails unless the request is let in and told this id.
async fn leads(sessions: &Manager, old: SessionId, new: SessionId, what: &str) -> Check {
    let session = opened(sessions, old).await?;
    count(&session)?;
    came_to(&sessions.finish(&session).await?, &Outcome::Updated, what)?;
    equal(&format!("the id that {what} is told"), &(new_id(&session)? == new), &true)
}

/// Fails unless no session is under this id.
async fn leads_nowhere(sessions: &Manager, id: SessionId, what: &str) -> Check {
    let session = sessions.load(id).await?;
    ensure(!session.exists()?, format!("no session {what}"), "there is one")?;
    equal(&format!("the value {what}"), &session.get::<u64>("count")?, &None)?;
    Ok(())
}

pub(crate) async fn s133_renewal_changes_only_the_id(stage: &Stage) -> Check {
    let (probe, sessions) = renewing(stage).await?;
    let start = stage.now();
    let session = sessions.load(None).await?;
    session.bind_user("alice")?;
    one(&session)?;
    session.flash().set("notice", &1)?;
    came_to(&sessions.finish(&session).await?, &Outcome::Created, "a first write")?;
    let mut id = new_id(&session)?;
    advance(stage, AGE - MILLISECOND);
    let session = opened(&sessions, id).await?;
    count(&session)?;
    came_to(&sessions.finish(&session).await?, &Outcome::Updated, "a request before the renewal timeout")?;
    ensure(new_id(&session).is_err(), "the id stays", "a new one")?;
    advance(stage, MILLISECOND);
    let polling = opened(&sessions, id).await?;
    polling.do_not_extend();
    came_to(&sessions.finish(&polling).await?, &Outcome::Unchanged, "a request that extends nothing")?;
    for round in 0..3_u64 {
        id = renewed(&sessions, id, if round == 1 { count } else { read }).await?;
        expires(&probe, id, after(stage, 2 * HOUR), "the renewed session").await?;
        let session = opened(&sessions, id).await?;
        equal("its user", &session.user()?.as_deref(), &Some("alice"))?;
        equal("its creation", &session.created()?, &Some(start))?;
        let counted = if round == 0 { 2 } else { 3 };
        equal("its value", &session.get::<u64>("count")?, &Some(counted))?;
        equal("its flash value", &session.flash().get::<u64>("notice")?, &(round == 0).then_some(1))?;
        done(&sessions, &session).await?;
        came_to(&request(&sessions, id, read).await?, &Outcome::Unchanged, "a request soon after")?;
        advance(stage, AGE);
    }
    // The absolute lifetime counts from the creation.
    for _ in 0..23 {
        stage.set(stage.now().saturating_add(HOUR).min(start.saturating_add(24 * HOUR - MILLISECOND)));
        let session = opened(&sessions, id).await?;
        done(&sessions, &session).await?;
        id = new_id(&session).unwrap_or(id);
    }
    stage.set(start.saturating_add(24 * HOUR));
    leads_nowhere(&sessions, id, "after its absolute lifetime").await
}

pub(crate) async fn s134_old_id_leads_to_the_session_until_the_new_one_is_used(stage: &Stage) -> Check {
    let (probe, sessions) = renewing(stage).await?;
    let old = due(stage, &sessions).await?;
    let end = after(stage, 2 * HOUR);
    let new = renewed(&sessions, old, read).await?;
    let forwarder = stored(&probe, old).await?;
    for secret in [&new.to_bytes()[..], new.reveal().as_str().as_bytes()] {
        let shown = forwarder.data.windows(secret.len()).any(|part| part == secret);
        ensure(!shown, "the old record does not show the new id", "it does")?;
    }
    // Responses may be lost for as long as the session lives. Nothing extends the old id.
    for _ in 0..3 {
        leads(&sessions, old, new, "a request with the old id").await?;
        equal("the old record", &stored(&probe, old).await?, &forwarder)?;
        advance(stage, 2 * AGE);
    }
    equal("the deadline of the old record", &forwarder.expires, &Some(end))?;
    // The first request with the new id, and no later one, starts the time.
    for wait in [Duration::ZERO, FORWARD / 2] {
        advance(stage, wait);
        finds(&sessions, new, "count", Some(4_u64)).await?;
        does(&sessions, new, read).await?;
    }
    advance(stage, FORWARD / 2 - MILLISECOND);
    leads(&sessions, old, new, "a request that was under way").await?;
    advance(stage, MILLISECOND);
    leads_nowhere(&sessions, old, "under the old id").await?;
    finds(&sessions, new, "count", Some(5_u64)).await?;
    // Without the new id, the old one ends when the session would have.
    let old = due(stage, &sessions).await?;
    let new = renewed(&sessions, old, read).await?;
    advance(stage, HOUR);
    leads(&sessions, old, new, "a request after an hour").await?;
    advance(stage, HOUR);
    leads_nowhere(&sessions, old, "under the old id after two hours").await
}

pub(crate) async fn s135_renewal_loses_no_write(stage: &Stage) -> Check {
    let (probe, sessions) = renewing(stage).await?;
    // Another request is made before one of the stores, which are two of this request and then those of one that began
    // earlier and ends later.
    for number in [1, 2, 3] {
        for renewal in [Some(AGE), None] {
            let other = elsewhere(&probe, renewal)?;
            let id = due(stage, &sessions).await?;
            let earlier = opened(&sessions, id).await?;
            let session = opened(&sessions, id).await?;
            count(&session)?;
            probe.before(Operation::Store, number, async move { does(&other, id, count).await });
            done(&sessions, &session).await?;
            let told = new_id(&session)?;
            count(&earlier)?;
            done(&sessions, &earlier).await?;
            equal("the id that the earlier request is told", &(new_id(&earlier)? == told), &true)?;
            finds(&sessions, told, "count", Some(4_u64)).await?;
            finds(&sessions, id, "count", Some(4_u64)).await?;
        }
    }
    // A request that reads its session again beside a renewal is not the first one with the new id.
    let id = due(stage, &sessions).await?;
    let session = opened(&sessions, id).await?;
    let new = renewed(&elsewhere(&probe, Some(AGE))?, id, count).await?;
    ensure(session.reload().await?, "the session lives", "it has ended")?;
    equal("its value", &session.get::<u64>("count")?, &Some(2))?;
    done(&sessions, &session).await?;
    equal("the id that the request is told", &(new_id(&session)? == new), &true)?;
    advance(stage, FORWARD);
    leads(&sessions, id, new, "a request with the old id").await
}

pub(crate) async fn s136_end_of_a_renewed_session_ends_both_ids(stage: &Stage) -> Check {
    let (_, sessions) = renewing(stage).await?;
    for by_old in [true, false] {
        let old = due(stage, &sessions).await?;
        let late = opened(&sessions, old).await?;
        let new = renewed(&sessions, old, read).await?;
        let session = opened(&sessions, if by_old { old } else { new }).await?;
        equal("whether it was ended", &session.destroy("logout").await?, &true)?;
        done_or_ended(&sessions, &session).await?;
        equal("the client's instruction", &session.id_update(), &IdUpdate::Clear)?;
        count(&late)?;
        let committed = sessions.finish(&late).await?;
        ensure(matches!(committed.outcome, Outcome::Ended(_)), "a late write is not stored", &committed)?;
        leads_nowhere(&sessions, old, "under the old id").await?;
        leads_nowhere(&sessions, new, "under the new id").await?;
    }
    // A logout that has loaded the session under its old id, and one by an operator.
    let old = due(stage, &sessions).await?;
    let logout = opened(&sessions, old).await?;
    let new = renewed(&sessions, old, read).await?;
    equal("whether a late logout ended it", &logout.destroy("logout").await?, &true)?;
    leads_nowhere(&sessions, old, "under the old id").await?;
    leads_nowhere(&sessions, new, "under the new id").await?;
    let session = sessions.load(None).await?;
    session.login("alice")?;
    one(&session)?;
    came_to(&sessions.finish(&session).await?, &Outcome::Created, "a login")?;
    let old = new_id(&session)?;
    advance(stage, AGE);
    let listed = sessions.of_user("alice").await?;
    let new = renewed(&sessions, old, read).await?;
    equal("the sessions of the user", &sessions.of_user("alice").await?.len(), &1)?;
    let handle = listed.first().ok_or_else(|| unmet("a session of the user", "none"))?.handle();
    equal("whether an operator ended it", &sessions.end(&handle, "operator").await?, &true)?;
    leads_nowhere(&sessions, old, "under the old id").await?;
    leads_nowhere(&sessions, new, "under the new id").await?;
    equal("the sessions of the user", &sessions.of_user("alice").await?.len(), &0)
}

/// Finishes a request that ended its session.
async fn done_or_ended(sessions: &Manager, session: &Session) -> Check {
    let committed = sessions.finish(session).await?;
    ensure(!committed.not_stored, "nothing was recorded", &committed)
}

pub(crate) async fn s137_renewal_with_lost_answers_happens_once(stage: &Stage) -> Check {
    let (probe, sessions) = renewing(stage).await?;
    for number in [1, 2] {
        for (what, fault) in [
            ("an answer lost", Fault::LoseAnswer),
            ("a call lost", Fault::LoseCall),
            ("a commit dropped", Fault::Stall),
        ] {
            let old = due(stage, &sessions).await?;
            let session = opened(&sessions, old).await?;
            count(&session)?;
            probe.plan(Operation::Store, number, fault);
            let committed = match probe.drop_at_stall(session.commit()).await {
                Some(committed) => committed?,
                None => session.commit().await?,
            };
            let what = format!("a renewal with {what} at its store {number}");
            came_to(&committed, &Outcome::Renewed, &what)?;
            let new = new_id(&session)?;
            finds(&sessions, old, "count", Some(2_u64)).await?;
            finds(&sessions, new, "count", Some(2_u64)).await?;
            leads(&sessions, old, new, &what).await?;
        }
    }
    // A store without room for a second record: the session goes on under its id, and the next request tries again.
    for (change, expected) in [(count as fn(&Session) -> _, Outcome::Updated), (read, Outcome::Touched)] {
        let old = due(stage, &sessions).await?;
        for _ in 0..3 {
            probe.plan(Operation::Store, 1, Fault::Refuse);
            came_to(&request(&sessions, old, change).await?, &expected, "a request that cannot renew")?;
            expires(&probe, old, after(stage, 2 * HOUR), "the session").await?;
            advance(stage, HOUR);
        }
        renewed(&sessions, old, read).await?;
    }
    // A request that only reads does not depend on it.
    for operation in [Operation::Store, Operation::Retrieve, Operation::Touch] {
        let old = due(stage, &sessions).await?;
        let session = opened(&sessions, old).await?;
        probe.fail_when(move |called| called == operation);
        let first = sessions.finish(&session).await;
        probe.recover();
        let renewed_at_once = operation != Operation::Store;
        let expected = if renewed_at_once { Outcome::Renewed } else { Outcome::Touched };
        came_to(&first?, &expected, "a renewal beside a failing store")?;
        let new = if renewed_at_once { new_id(&session)? } else { renewed(&sessions, old, read).await? };
        // The first request with the new id.
        let session = opened(&sessions, new).await?;
        probe.fail_when(move |called| called == operation);
        let confirmed = sessions.finish(&session).await;
        probe.recover();
        came_to(&confirmed?, &Outcome::Unchanged, "a first use beside a failing store")?;
        does(&sessions, new, read).await?;
        advance(stage, FORWARD);
        leads_nowhere(&sessions, old, "under the old id").await?;
        finds(&sessions, new, "count", Some(1_u64)).await?;
    }
    Ok(())
}

pub(crate) async fn s138_renewed_session_is_no_way_into_a_login(stage: &Stage) -> Check {
    let (_, sessions) = renewing(stage).await?;
    // The id that an attacker has planted.
    let old = due(stage, &sessions).await?;
    let new = renewed(&sessions, old, read).await?;
    let login = opened(&sessions, new).await?;
    login.login("alice")?;
    login.insert("secret", &1)?;
    done(&sessions, &login).await?;
    let own = new_id(&login)?;
    for planted in [old, new] {
        let session = sessions.load(planted).await?;
        ensure(!session.exists()?, "no session under an id from before the login", "there is one")?;
        equal("the user there", &session.user()?, &None)?;
        equal("the secret there", &session.get::<u64>("secret")?, &None)?;
    }
    finds(&sessions, own, "secret", Some(1_u64)).await?;
    // A login that began with the old id.
    let old = due(stage, &sessions).await?;
    let login = opened(&sessions, old).await?;
    login.login("bob")?;
    let new = renewed(&sessions, old, count).await?;
    came_to(&sessions.finish(&login).await?, &Outcome::Rotated, "a login beside a renewal")?;
    let own = new_id(&login)?;
    finds(&sessions, own, "count", Some(2_u64)).await?;
    for id in [old, new] {
        leads_nowhere(&sessions, id, "under an id from before the login").await?;
    }
    Ok(())
}

pub(crate) async fn s139_reference_follows_a_renewal(stage: &Stage) -> Check {
    let often = 10 * MILLISECOND;
    let (probe, sessions) = with(stage, |options| options.renewal_timeout(AGE).poll_interval(often)).await?;
    let other = elsewhere(&probe, Some(AGE))?;
    for renewer in [&sessions, &other] {
        let old = due(stage, &sessions).await?;
        let request = opened(&sessions, old).await?;
        let reference = request.reference()?;
        let _ = request.close();
        let waiter = tokio::spawn({
            let reference = reference.clone();
            async move { reference.ended().await }
        });
        let new = renewed(renewer, old, count).await?;
        nap(50 * MILLISECOND).await;
        does(renewer, new, count).await?;
        advance(stage, FORWARD);
        leads_nowhere(&sessions, old, "under the old id").await?;
        let handle = reference.open().await?.ok_or_else(|| unmet("the session is there", "it has ended"))?;
        equal("its value", &handle.get::<u64>("count")?, &Some(3))?;
        ensure(!waiter.is_finished(), "no end is reported", "one is")?;
        let session = opened(renewer, new).await?;
        equal("whether it was ended", &session.destroy("logout").await?, &true)?;
        let reason = tokio::time::timeout(PATIENCE, waiter).await;
        ensure(matches!(reason, Ok(Ok(_))), "the end is reported", "it is not")?;
        ensure(reference.open().await?.is_none(), "the session has ended", "it is there")?;
    }
    Ok(())
}

pub(crate) async fn s140_end_of_others_spares_the_renewed_session(stage: &Stage) -> Check {
    let (_, sessions) = renewing(stage).await?;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let session = sessions.load(None).await?;
        session.login("alice")?;
        one(&session)?;
        came_to(&sessions.finish(&session).await?, &Outcome::Created, "a login")?;
        ids.push(new_id(&session)?);
    }
    advance(stage, AGE);
    let own = opened(&sessions, ids[0]).await?;
    let new = renewed(&sessions, ids[0], read).await?;
    equal("how many others ended", &sessions.end_others(&own, "others").await?, &2)?;
    finds(&sessions, new, "count", Some(1_u64)).await?;
    finds(&sessions, ids[0], "count", Some(1_u64)).await?;
    for id in &ids[1..] {
        leads_nowhere(&sessions, *id, "of the others").await?;
    }
    equal("how many ended of all", &sessions.end_user("alice", "all").await?, &1)?;
    leads_nowhere(&sessions, ids[0], "under the old id").await
}
