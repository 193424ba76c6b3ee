//! The steps of a commit: conditions, lost answers, contention, ended sessions.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::common::*;

/// Adds one.
fn count(session: &Session) -> Result<(), session_manager::Error> {
    session.update("count", |count: Option<u64>| count.unwrap_or(0) + 1).map(drop)
}

pub(crate) async fn s21_change_is_one_store_at_loaded_revision(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    let id = begun(&sessions, count).await?;
    for number in 2..5_u64 {
        let loaded = stored(&probe, id).await?.revision;
        probe.calls();
        let committed = request(&sessions, id, count).await?;
        came_to(&committed, &Outcome::Updated, "a change")?;
        equal("its replays", &committed.replays, &0)?;
        let calls: Vec<_> = probe.calls().into_iter().map(|call| (call.operation, call.condition)).collect();
        let expected = [(Operation::Retrieve, None), (Operation::Store, Some(Condition::Revision(loaded)))];
        equal("the calls of the request", &calls, &expected.to_vec())?;
        finds(&sessions, id, "count", Some(number)).await?;
    }
    Ok(())
}

pub(crate) async fn s22_every_change_has_new_revision(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    let id = begun(&sessions, count).await?;
    let mut seen: Vec<Revision> = vec![stored(&probe, id).await?.revision];
    let mut is_new = |record: &Record, what: &str| {
        ensure(!seen.contains(&record.revision), format!("a new revision after {what}"), record.revision)?;
        seen.push(record.revision);
        Ok::<_, Failure>(())
    };
    for _ in 0..2 {
        does(&sessions, id, count).await?;
        is_new(&stored(&probe, id).await?, "a change")?;
        stage.set(stage.now().saturating_add(Duration::from_secs(1_800)));
        came_to(&request(&sessions, id, |_| Ok(())).await?, &Outcome::Touched, "a late read")?;
        is_new(&stored(&probe, id).await?, "a moved deadline")?;
    }
    let new = rotated(&sessions, id).await?;
    is_new(&stored(&probe, id).await?, "a rotation, under the old id")?;
    is_new(&stored(&probe, new).await?, "a rotation, under the new id")
}

pub(crate) async fn s23_applied_store_with_lost_answer_counts_once(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    let session = sessions.load(None).await?;
    count(&session)?;
    probe.plan(Operation::Store, 1, Fault::LoseAnswer);
    came_to(&sessions.finish(&session).await?, &Outcome::Created, "a first write whose answer is lost")?;
    let id = new_id(&session)?;
    finds(&sessions, id, "count", Some(1_u64)).await?;
    nothing_else(&probe, &[id], "after a first write").await?;

    probe.plan(Operation::Store, 1, Fault::LoseAnswer);
    came_to(&request(&sessions, id, count).await?, &Outcome::Updated, "a change whose answer is lost")?;
    called(&probe, &[Operation::Retrieve, Operation::Store, Operation::Retrieve], "that request")?;
    finds(&sessions, id, "count", Some(2_u64)).await
}

pub(crate) async fn s24_lost_store_is_repeated(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    let session = sessions.load(None).await?;
    count(&session)?;
    probe.plan(Operation::Store, 1, Fault::LoseCall);
    came_to(&sessions.finish(&session).await?, &Outcome::Created, "a first write that got lost")?;
    let id = new_id(&session)?;
    does(&sessions, id, count).await?;

    probe.plan(Operation::Store, 1, Fault::LoseCall);
    probe.calls();
    came_to(&request(&sessions, id, count).await?, &Outcome::Updated, "a change that got lost")?;
    let twice = [Operation::Retrieve, Operation::Store].repeat(2);
    called(&probe, &twice, "that request")?;
    finds(&sessions, id, "count", Some(3_u64)).await
}

pub(crate) async fn s25_overwritten_lost_answer_is_uncertain(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    let id = begun(&sessions, count).await?;
    let session = opened(&sessions, id).await?;
    count(&session)?;
    probe.plan(Operation::Store, 1, Fault::LoseAnswer);
    // Another request writes over the store before the first one can read its result.
    let other = sessions.clone();
    probe.before(Operation::Retrieve, 1, async move { request(&other, id, count).await.map(drop) });
    refused(sessions.finish(&session).await, ErrorKind::Uncertain, "a commit whose outcome is unknown")?;
    // Its own addition, the other's, and the first one.
    finds(&sessions, id, "count", Some(3_u64)).await
}

pub(crate) async fn s26_dropped_commit_can_be_repeated(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    let session = sessions.load(None).await?;
    for (number, outcome) in [(1_u64, Outcome::Created), (2, Outcome::Updated), (3, Outcome::Updated)] {
        count(&session)?;
        probe.plan(Operation::Store, 1, Fault::Stall);
        let answer = probe.drop_at_stall(session.commit()).await;
        ensure(answer.is_none(), "the commit waits for its answer", &answer)?;
        came_to(&session.commit().await?, &outcome, "the commit that was repeated")?;
        let id = new_id(&session)?;
        finds(&sessions, id, "count", Some(number)).await?;
        nothing_else(&probe, &[id], "after a commit that was dropped").await?;
    }
    // Operations recorded after the drop are not in the repeated call, and are not lost.
    count(&session)?;
    probe.plan(Operation::Store, 1, Fault::Stall);
    probe.drop_at_stall(session.commit()).await;
    count(&session)?;
    drop(session.commit().await?);
    drop(session.commit().await?);
    finds(&sessions, new_id(&session)?, "count", Some(5_u64)).await
}

pub(crate) async fn s27_endless_conflicts_end_in_contention(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    let id = begun(&sessions, count).await?;
    let session = opened(&sessions, id).await?;
    count(&session)?;
    probe.calls();
    // Another writer wins before each store.
    for number in 1..=101 {
        let driver = probe.inner().clone();
        probe.before(Operation::Store, number, async move {
            let record = driver.retrieve(&id.key()).await?;
            let record = record.ok_or_else(|| unmet("the session is there", "nothing"))?;
            let newer = Record { revision: Revision::random()?, ..record };
            drop(driver.store(&id.key(), newer, Condition::Any).await?);
            Ok::<_, Failure>(())
        });
    }
    refused(session.commit().await, ErrorKind::Contention, "a commit that always meets another")?;
    let stores = probe.operations().iter().filter(|&&operation| operation == Operation::Store).count();
    ensure((2..=100).contains(&stores), "2 to 100 tries", stores)?;
    finds(&sessions, id, "count", Some(1_u64)).await?;
    // The log is still there. On a slow store the time ends before the tries, so more conflicts are planned.
    let mut committed = session.commit().await;
    for _ in 0..100 {
        if !matches!(&committed, Err(error) if error.kind() == ErrorKind::Contention) {
            break;
        }
        committed = session.commit().await;
    }
    came_to(&committed?, &Outcome::Updated, "the same commit later")?;
    finds(&sessions, id, "count", Some(2_u64)).await
}

type Attempt = (&'static str, bool, fn(&Session) -> Result<(), session_manager::Error>);

/// All ways to change a session, and whether they are critical.
const ATTEMPTS: &[Attempt] = &[
    ("insert", false, |session| session.insert("late", &1)),
    ("remove", false, |session| session.remove("token").map(drop)),
    ("update", false, count),
    ("take", true, |session| session.take::<u64>("token").map(drop)),
    ("clear", false, Session::clear_values),
    ("flash", false, |session| session.flash().set("late", &1)),
    ("reading flash", false, |session| session.flash().get::<u64>("notice").map(drop)),
    ("a time policy", false, |session| session.set_idle_timeout(Duration::from_secs(86_400))),
    ("bind_user", true, |session| session.bind_user("alice")),
    ("rotate", true, Session::rotate),
];

fn with_token(session: &Session) -> Result<(), session_manager::Error> {
    session.flash().set("notice", &1)?;
    session.insert("token", &1)
}

pub(crate) async fn s28_commit_after_end_writes_nothing(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    for (what, critical, attempt) in ATTEMPTS {
        let id = begun(&sessions, with_token).await?;
        let late = opened(&sessions, id).await?;
        attempt(&late)?;
        ensure(opened(&sessions, id).await?.destroy("logout").await?, "a logout", "nothing to end")?;
        probe.calls();
        ends(&sessions, &late, &EndReason::Revoked, what, *critical).await?;
        nothing(&probe, id, &format!("after {what} came late")).await?;
        nothing_else(&probe, &[], &format!("after {what} came late")).await?;
    }
    Ok(())
}

pub(crate) async fn s29_commit_after_rotation_writes_nothing(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    for (what, critical, attempt) in ATTEMPTS {
        let id = begun(&sessions, with_token).await?;
        let late = opened(&sessions, id).await?;
        attempt(&late)?;
        let login = opened(&sessions, id).await?;
        login.rotate()?;
        done(&sessions, &login).await?;
        let (successor, tombstone) = (stored(&probe, new_id(&login)?).await?, raw(&probe, id).await?);
        probe.calls();
        ends(&sessions, &late, &EndReason::Replaced, what, *critical).await?;
        equal(&format!("the tombstone after {what} came late"), &raw(&probe, id).await?, &tombstone)?;
        equal("the successor", &stored(&probe, new_id(&login)?).await?, &successor)?;
        nothing_else(&probe, &[id], &format!("after {what} came late")).await?;
    }
    Ok(())
}

async fn ends(sessions: &Manager, late: &Session, reason: &EndReason, what: &str, critical: bool) -> Check {
    let committed = late.commit().await?;
    came_to(&committed, &Outcome::Ended(reason.clone()), &format!("{what} that came late"))?;
    equal(&format!("whether {what} refuses its response"), &committed.refuses_response(), &critical)?;
    equal(&format!("the end reason after {what}"), &late.end_reason()?, &Some(reason.clone()))?;
    tells_nothing(late, &format!("{what} that came late"))?;
    // It does not start another session instead of the ended one.
    late.insert("more", &1)?;
    let again = sessions.finish(late).await?;
    came_to(&again, &Outcome::Ended(reason.clone()), &format!("a write after {what}"))?;
    tells_nothing(late, &format!("a write after {what}"))
}

pub(crate) async fn s30_repeated_id_never_merges_sessions(stage: &Stage) -> Check {
    let ids = Arc::new(Mutex::new(VecDeque::new()));
    let source = Arc::clone(&ids);
    let (probe, sessions) = with(stage, |options| {
        options.id_source(move || {
            let next = source.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            next.map_or_else(SessionId::generate, Ok)
        })
    })
    .await?;
    let repeat = |id: SessionId, times: usize| {
        ids.lock().unwrap_or_else(PoisonError::into_inner).extend(std::iter::repeat_n(id, times));
    };
    let first = begun(&sessions, |session| session.insert("name", "Ada")).await?;
    let record = stored(&probe, first).await?;

    repeat(first, 1);
    let second = begun(&sessions, |session| session.insert("name", "Grace")).await?;
    ensure(second != first, "the second visitor gets another id", "the same")?;
    equal("the first visitor's record", &stored(&probe, first).await?, &record)?;

    repeat(first, 1);
    let login = opened(&sessions, second).await?;
    login.rotate()?;
    came_to(&sessions.finish(&login).await?, &Outcome::Rotated, "a rotation that drew a taken id")?;
    ensure(new_id(&login)? != first, "a rotation gets another id", "the same")?;
    equal("the first visitor's record", &stored(&probe, first).await?, &record)?;

    // Three collisions in a row are not chance.
    repeat(first, 3);
    let session = sessions.load(None).await?;
    session.insert("name", "Eve")?;
    refused(sessions.finish(&session).await, ErrorKind::NoFreeId, "three taken ids in a row")?;
    tells_nothing(&session, "three taken ids in a row")?;
    equal("the first visitor's record", &stored(&probe, first).await?, &record)?;
    finds(&sessions, new_id(&login)?, "name", Some("Grace".to_owned())).await
}
