//! Opening, the first write, laziness, failures of the store, events.

use std::sync::Arc;

use session_core::Candidates;
use session_manager::Event;

use super::common::*;

pub(crate) async fn s01_unknown_id_gets_fresh_session(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    begun(&sessions, |other| other.insert("secret", &1)).await?;
    let unknown = SessionId::generate()?;
    let mut malformed = Candidates::none();
    malformed.push_malformed();
    probe.calls();
    for (what, request, reason, calls) in [
        ("no id", RequestInfo::default(), None, vec![]),
        ("a malformed id", RequestInfo::new(malformed), None, vec![]),
        ("an unknown id", RequestInfo::new(unknown), Some(EndReason::Expired), vec![Operation::Retrieve]),
    ] {
        let session = sessions.load(request).await?;
        ensure(!session.exists()?, format!("with {what} the session does not exist yet"), "it exists")?;
        equal(&format!("the keys with {what}"), &session.keys()?, &vec![])?;
        equal(&format!("a value with {what}"), &session.get::<u64>("secret")?, &None)?;
        equal(&format!("the end reason with {what}"), &session.end_reason()?, &reason)?;
        came_to(&sessions.finish(&session).await?, &Outcome::Unchanged, what)?;
        tells_nothing(&session, what)?;
        equal(&format!("the calls of the store with {what}"), &probe.operations(), &calls)?;
    }
    nothing(&probe, unknown, "under an id that was asked for").await
}

pub(crate) async fn s02_first_write_is_one_store_under_new_id(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    let brought = SessionId::generate()?;
    let session = sessions.load(brought).await?;
    session.insert("name", "Ada")?;
    probe.calls();
    came_to(&sessions.finish(&session).await?, &Outcome::Created, "a first write")?;
    let calls = probe.calls();
    equal("the conditions of its stores", &conditions(&calls), &vec![Some(Condition::Absent)])?;
    let id = new_id(&session)?;
    ensure(id != brought, "an id from a client is never adopted", "it was")?;
    nothing(&probe, brought, "under the id that was brought").await?;
    let record = stored(&probe, id).await?;
    let set = IdUpdate::Set { id, deadline: record.expires, persistence: Persistence::Configured };
    equal("the client's instruction", &session.id_update(), &set)?;
    finds(&sessions, id, "name", Some("Ada".to_owned())).await
}

fn conditions(calls: &[crate::testing::Call]) -> Vec<Option<Condition>> {
    calls.iter().map(|call| call.condition).collect()
}

pub(crate) async fn s03_unchanged_request_only_retrieves(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    let id = begun(&sessions, |session| {
        session.insert("cart", &vec!["book"])?;
        session.insert("name", "Ada")
    })
    .await?;
    let before = stored(&probe, id).await?;
    probe.calls();
    // Reading a value, changing a copy of it, and writing an equal value.
    for equal_insert in [false, true] {
        let session = opened(&sessions, id).await?;
        let mut cart = session.get::<Vec<String>>("cart")?.unwrap_or_default();
        cart.push("pen".into());
        if equal_insert {
            session.insert("name", "Ada")?;
        }
        came_to(&sessions.finish(&session).await?, &Outcome::Unchanged, "a request without changes")?;
        tells_nothing(&session, "a request without changes")?;
        called(&probe, &[Operation::Retrieve], "the store")?;
    }
    equal("the record afterwards", &stored(&probe, id).await?, &before)
}

pub(crate) async fn s04_write_then_clear_creates_nothing(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    for by_name in [true, false] {
        let brought = SessionId::generate()?;
        let session = sessions.load(brought).await?;
        ensure(!session.exists()?, "the session does not exist yet", "it exists")?;
        session.insert("a", &1)?;
        session.update("b", |count: Option<u64>| count.unwrap_or(0) + 1)?;
        if by_name {
            session.remove("a")?;
            session.remove("b")?;
        } else {
            session.clear_values()?;
        }
        probe.calls();
        came_to(&sessions.finish(&session).await?, &Outcome::Unchanged, "writing and clearing again")?;
        tells_nothing(&session, "writing and clearing again")?;
        called(&probe, &[], "its commit")?;
        nothing(&probe, brought, "under the id that was brought").await?;
    }
    Ok(())
}

pub(crate) async fn s05_session_is_loaded_once_when_needed(stage: &Stage) -> Check {
    let (probe, sessions, id) = with_one(stage).await?;
    probe.calls();
    for _ in 0..2 {
        let session = sessions.lazy(id);
        refused(session.get::<u64>("a"), ErrorKind::NotLoaded, "reading before the load")?;
        refused(session.insert("a", &2), ErrorKind::NotLoaded, "writing before the load")?;
        came_to(&sessions.commit(&session).await?, &Outcome::Unchanged, "a commit without a load")?;
        called(&probe, &[], "before the load")?;
        let other = session.clone();
        let loads = tokio::spawn(async move { other.load().await });
        session.load().await?;
        loads.await.map_err(|cause| unmet("no panic", cause))??;
        session.load().await?;
        called(&probe, &[Operation::Retrieve], "three loads")?;
        equal("a value", &session.get::<u64>("a")?, &Some(1))?;
    }
    Ok(())
}

pub(crate) async fn s06_dropped_request_changes_nothing(stage: &Stage) -> Check {
    let (probe, sessions, id) = with_one(stage).await?;
    let before = stored(&probe, id).await?;
    probe.calls();
    let session = opened(&sessions, id).await?;
    session.insert("a", &2)?;
    session.flash().set("notice", "saved")?;
    session.rotate()?;
    drop(session);
    called(&probe, &[Operation::Retrieve], "the request")?;
    equal("the record afterwards", &stored(&probe, id).await?, &before)?;
    finds(&sessions, id, "a", Some(1)).await
}

pub(crate) async fn s07_first_live_id_is_used(stage: &Stage) -> Check {
    let (_, sessions) = fresh(stage).await?;
    let mut ids = Vec::new();
    for number in 0..2_u64 {
        ids.push(begun(&sessions, |session| session.insert("number", &number)).await?);
    }
    let dead = SessionId::generate()?;
    for (order, expected) in
        [([dead, ids[0], ids[1]], 0), ([dead, ids[1], ids[0]], 1), ([ids[1], dead, ids[0]], 1)]
    {
        let mut candidates = Candidates::none();
        order.iter().for_each(|id| candidates.push(*id));
        let session = sessions.load(candidates).await?;
        equal("the session that was taken", &session.get::<u64>("number")?, &Some(expected))?;
        equal("the end reason of a live session", &session.end_reason()?, &None)?;
    }
    Ok(())
}

pub(crate) async fn s08_store_failure_is_typed_and_repeatable(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    let id = begun(&sessions, |session| session.insert("count", &1_u64)).await?;

    probe.plan(Operation::Retrieve, 1, Fault::Refuse);
    let error = refused(sessions.load(id).await, ErrorKind::Store, "opening while the store is away")?;
    let retryable = error.store_error().is_some_and(StoreError::is_retryable);
    ensure(retryable, "the store's own error is there, and retryable", &error)?;

    // Requests without an id make no store call.
    probe.plan(Operation::Retrieve, 1, Fault::Refuse);
    let anonymous = sessions.load(None).await?;
    came_to(&sessions.finish(&anonymous).await?, &Outcome::Unchanged, "an anonymous request")?;
    refused(sessions.load(id).await, ErrorKind::Store, "opening while the store is away")?;

    let session = opened(&sessions, id).await?;
    add_to(&session, "count")?;
    probe.plan(Operation::Store, 1, Fault::Refuse);
    refused(session.commit().await, ErrorKind::Store, "a commit while the store is away")?;
    let committed = session.commit().await?;
    came_to(&committed, &Outcome::Updated, "the same commit when the store is back")?;
    equal("its replays", &committed.replays, &0)?;
    finds(&sessions, id, "count", Some(2_u64)).await
}

pub(crate) async fn s09_last_write_wins_must_be_chosen(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let refusal = Sessions::new(Probe::unconditional(driver.clone()));
    refused(refusal, ErrorKind::Config, "a manager over such a driver")?;
    let probe = Probe::unconditional(driver.clone());
    let sessions = Sessions::builder(probe).allow_last_write_wins().build()?;
    let id = begun(&sessions, |session| session.insert("a", &1)).await?;
    does(&sessions, id, |session| session.insert("b", &2)).await?;
    finds(&sessions, id, "a", Some(1)).await?;
    finds(&sessions, id, "b", Some(2)).await?;
    let session = sessions.load(id).await?;
    session.rotate()?;
    came_to(&sessions.commit(&session).await?, &Outcome::Rotated, "a rotation")?;
    let id = new_id(&session)?;
    equal("the removal", &session.destroy("logout").await?, &true)?;
    equal("whether it is there", &sessions.load(id).await?.exists()?, &false)?;
    Sessions::new(driver)?;
    Ok(())
}

pub(crate) async fn s10_commit_starts_new_log_and_finish_seals(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    let session = sessions.load(None).await?;
    add_to(&session, "count")?;
    came_to(&session.commit().await?, &Outcome::Created, "the first commit")?;
    let id = new_id(&session)?;
    add_to(&session, "count")?;
    came_to(&session.commit().await?, &Outcome::Updated, "the second commit")?;
    add_to(&session, "count")?;
    probe.calls();
    came_to(&sessions.finish(&session).await?, &Outcome::Updated, "the last commit")?;
    called(&probe, &[Operation::Store], "the last commit")?;
    equal("the id for the client", &new_id(&session)?, &id)?;
    equal("reading afterwards", &session.get::<u64>("count")?, &Some(3))?;
    refused(session.insert("late", &1), ErrorKind::Committed, "writing afterwards")?;
    refused(session.rotate(), ErrorKind::Committed, "rotating afterwards")?;
    refused(session.destroy("late").await, ErrorKind::Committed, "destroying afterwards")?;
    finds(&sessions, id, "count", Some(3_u64)).await?;
    finds::<u64>(&sessions, id, "late", None).await
}

pub(crate) async fn s11_events_name_sessions_by_hash(stage: &Stage) -> Check {
    let ears = Arc::new(Ears::default());
    let (_, sessions) = with(stage, |options| options.observer(Arc::clone(&ears) as _)).await?;
    let id = begun(&sessions, |session| session.insert("a", &1)).await?;
    let (one, two) = (opened(&sessions, id).await?, opened(&sessions, id).await?);
    let late = opened(&sessions, id).await?;
    one.insert("b", &1)?;
    two.insert("c", &1)?;
    late.insert("d", &1)?;
    done(&sessions, &one).await?;
    done(&sessions, &two).await?;
    does(&sessions, id, Session::rotate).await?;
    let ended = Outcome::Ended(EndReason::Replaced);
    came_to(&sessions.finish(&late).await?, &ended, "a late write")?;
    let mut malformed = Candidates::from(SessionId::generate()?);
    malformed.push_malformed();
    let _ = sessions.load(malformed).await?;

    let heard = ears.heard();
    let tag_of = |wanted: &Event| {
        let found = heard.iter().find(|(_, event)| event == wanted);
        found.map(|(tag, _)| *tag).ok_or_else(|| unmet(format!("an event {wanted:?}"), format!("{heard:?}")))
    };
    let created = tag_of(&Event::Created)?;
    let replayed = Event::Replayed { times: 1 };
    let ended = Event::Ended(EndReason::Replaced);
    for event in [Event::Loaded, replayed, Event::ResurrectionPrevented, ended] {
        equal(&format!("the tag of {event:?}"), &tag_of(&event)?, &created)?;
    }
    let from = created.ok_or_else(|| unmet("a session has a tag", "none"))?;
    ensure(tag_of(&Event::Rotated { from })? != created, "the tag of a new id is another", "the same")?;
    tag_of(&Event::UnknownId)?;
    equal("the tag of a malformed id", &tag_of(&Event::MalformedId { count: 1 })?, &None)?;
    let told = format!("{heard:?}");
    let secret = id.reveal();
    ensure(!told.contains(secret.as_str()), "no event shows an id", &told)?;
    ensure(!told.contains(id.key().id()), "no event shows a key", &told)
}
