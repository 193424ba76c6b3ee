//! Rotation with its tombstone, and ending a session at once.

use super::common::*;

pub(crate) async fn s31_rotation_moves_session_to_one_new_id(stage: &Stage) -> Check {
    // With an index, a session with a user makes more calls.
    let (probe, sessions) = with(stage, |options| options.index_users(false)).await?;
    let old = begun(&sessions, |session| {
        session.insert("cart", "book")?;
        session.flash().set("notice", "hello")
    })
    .await?;
    let loaded = stored(&probe, old).await?;
    let session = opened(&sessions, old).await?;
    let created = session.created()?;
    session.insert("before", &1)?;
    session.rotate()?;
    session.bind_user("alice")?;
    session.rotate()?;
    session.insert("after", &1)?;
    probe.calls();
    let committed = sessions.finish(&session).await?;
    came_to(&committed, &Outcome::Rotated, "a rotation with changes")?;
    ensure(committed.critical && !committed.refuses_response(), "critical, and done", &committed)?;
    let conditions: Vec<_> = probe.calls().into_iter().map(|call| (call.operation, call.condition)).collect();
    let steps = [Condition::Absent, Condition::Revision(loaded.revision)];
    let steps = steps.map(|when| (Operation::Store, Some(when)));
    equal("the calls of a rotation", &conditions[..], &steps)?;

    let new = new_id(&session)?;
    ensure(new != old, "the id is new", "the same")?;
    let under_new = opened(&sessions, new).await?;
    equal("its user", &under_new.user()?.as_deref(), &Some("alice"))?;
    equal("when it was created", &under_new.created()?, &created)?;
    equal("its keys", &under_new.keys()?, &["after", "before", "cart"].map(str::to_owned).to_vec())?;
    equal("its flash value", &under_new.flash().get::<String>("notice")?.as_deref(), &Some("hello"))?;
    ensure(is_marker(&stored(&probe, old).await?), "a tombstone without data under the old id", "data")
}

pub(crate) async fn s32_tombstone_is_inert(stage: &Stage) -> Check {
    let (probe, sessions, old) = with_one(stage).await?;
    let new = rotated(&sessions, old).await?;
    let tombstone = raw(&probe, old).await?;
    for writes in [false, true] {
        let late = sessions.load(old).await?;
        equal("the end reason", &late.end_reason()?, &Some(EndReason::Replaced))?;
        ensure(!late.exists()?, "the session does not exist", "it exists")?;
        equal("a value", &late.get::<u64>("a")?, &None)?;
        if writes {
            late.insert("a", &2)?;
            late.flash().set("b", &2)?;
        }
        probe.calls();
        let committed = sessions.finish(&late).await?;
        came_to(&committed, &Outcome::Ended(EndReason::Replaced), "a request with the old id")?;
        tells_nothing(&late, "a request with the old id")?;
        called(&probe, &[], "its commit")?;
    }
    let late = sessions.load(old).await?;
    equal("whether a logout with the old id ended anything", &late.destroy("logout").await?, &false)?;
    tells_nothing(&late, "a logout with the old id")?;
    equal("the tombstone afterwards", &raw(&probe, old).await?, &tombstone)?;
    finds(&sessions, new, "a", Some(1)).await
}

pub(crate) async fn s33_rotation_carries_over_concurrent_write(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    let old = begun(&sessions, |session| session.insert("count", &1_u64)).await?;
    let login = opened(&sessions, old).await?;
    login.update("count", |count: Option<u64>| count.unwrap_or(0) + 10)?;
    login.rotate()?;
    // Of all stores the second and the fifth place the tombstone; the third is the other request, the fourth the new
    // record once more.
    for (number, key) in [(2, "one"), (5, "two")] {
        let other = sessions.clone();
        probe.before(Operation::Store, number, async move {
            let change = |session: &Session| {
                session.insert(key, &1)?;
                session.update("count", |count: Option<u64>| count.unwrap_or(0) + 1).map(drop)
            };
            request(&other, old, change).await.map(drop)
        });
    }
    probe.calls();
    let committed = sessions.finish(&login).await?;
    came_to(&committed, &Outcome::Rotated, "a rotation that met other writes")?;
    let new = new_id(&login)?;
    for key in ["one", "two"] {
        finds(&sessions, new, key, Some(1)).await?;
    }
    finds(&sessions, new, "count", Some(13_u64)).await?;
    ensure(is_marker(&stored(&probe, old).await?), "a tombstone under the old id", "data")?;
    nothing_else(&probe, &[old, new], "after the rotation").await
}

pub(crate) async fn s34_one_of_two_rotations_succeeds(stage: &Stage) -> Check {
    let (probe, sessions, old) = with_one(stage).await?;
    let (one, two) = (opened(&sessions, old).await?, opened(&sessions, old).await?);
    one.rotate()?;
    two.rotate()?;
    two.insert("b", &1)?;
    probe.calls();
    came_to(&sessions.finish(&one).await?, &Outcome::Rotated, "the first rotation")?;
    let new = new_id(&one)?;
    let record = stored(&probe, new).await?;
    let committed = sessions.finish(&two).await?;
    came_to(&committed, &Outcome::Ended(EndReason::Replaced), "the second rotation")?;
    ensure(committed.refuses_response(), "its response does not go out", &committed)?;
    tells_nothing(&two, "the second rotation")?;
    equal("the successor", &stored(&probe, new).await?, &record)?;
    nothing_else(&probe, &[old, new], "after two rotations").await
}

pub(crate) async fn s35_rotation_of_ended_session_leaves_nothing(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    // Ended before the rotation begins, between its steps, and while it repeats them.
    for moment in 1..=3 {
        let old = begun(&sessions, |session| session.insert("a", &1)).await?;
        let login = opened(&sessions, old).await?;
        login.rotate()?;
        login.insert("b", &1)?;
        let (logout, other) = (opened(&sessions, old).await?, sessions.clone());
        match moment {
            1 => drop(logout.destroy("logout").await?),
            2 => probe.before(Operation::Store, 2, async move {
                logout.destroy("logout").await?;
                Ok::<_, Failure>(())
            }),
            _ => {
                probe.before(Operation::Store, 2, async move {
                    request(&other, old, |session| session.insert("c", &1)).await.map(drop)
                });
                // The other request makes the third store, and the second version of the new record is the fourth.
                probe.before(Operation::Store, 5, async move {
                    logout.destroy("logout").await?;
                    Ok::<_, Failure>(())
                });
            }
        }
        probe.calls();
        let committed = sessions.finish(&login).await?;
        came_to(&committed, &Outcome::Ended(EndReason::Revoked), "a rotation of a session that is gone")?;
        ensure(committed.refuses_response(), "its response does not go out", &committed)?;
        tells_nothing(&login, "a rotation of a session that is gone")?;
        nothing(&probe, old, "under the old id").await?;
        nothing_else(&probe, &[], "after the rotation").await?;
    }
    Ok(())
}

pub(crate) async fn s36_rotation_before_first_write(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    let session = sessions.load(None).await?;
    session.rotate()?;
    session.insert("a", &1)?;
    came_to(&sessions.finish(&session).await?, &Outcome::Created, "a rotation with a first write")?;
    called(&probe, &[Operation::Store], "the request")?;
    finds(&sessions, new_id(&session)?, "a", Some(1)).await?;

    let session = sessions.load(None).await?;
    session.rotate()?;
    probe.calls();
    came_to(&sessions.finish(&session).await?, &Outcome::Unchanged, "a rotation of nothing")?;
    tells_nothing(&session, "a rotation of nothing")?;
    called(&probe, &[], "the request")
}

pub(crate) async fn s37_rotation_with_lost_answers_happens_once(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    // Each of its two stores, applied and not; the dropped commit is repeated.
    for number in [1, 2] {
        for (what, fault) in [
            ("an answer lost", Fault::LoseAnswer),
            ("a call lost", Fault::LoseCall),
            ("a commit dropped", Fault::Stall),
        ] {
            let old = begun(&sessions, |session| session.insert("count", &1_u64)).await?;
            let login = opened(&sessions, old).await?;
            add_to(&login, "count")?;
            login.rotate()?;
            probe.plan(Operation::Store, number, fault);
            probe.calls();
            let committed = match probe.drop_at_stall(login.commit()).await {
                Some(committed) => committed?,
                None => login.commit().await?,
            };
            let what = format!("a rotation with {what} at its store {number}");
            came_to(&committed, &Outcome::Rotated, &what)?;
            let new = new_id(&login)?;
            finds(&sessions, new, "count", Some(2_u64)).await?;
            ensure(is_marker(&stored(&probe, old).await?), format!("a tombstone after {what}"), "data")?;
            if number == 2 {
                // A first store that is dropped without an answer leaves a record that no client can reach.
                nothing_else(&probe, &[old, new], &format!("after {what}")).await?;
            }
        }
    }
    Ok(())
}

pub(crate) async fn s38_rotation_restarts_absolute_lifetime(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    let old = begun(&sessions, |session| {
        session.set_absolute_lifetime(Some(3 * HOUR))?;
        session.insert("a", &1)
    })
    .await?;
    advance(stage, HOUR + 30 * MINUTE);
    does(&sessions, old, |session| session.insert("b", &1)).await?;
    let left = after(stage, HOUR + 30 * MINUTE);
    expires(&probe, old, left, "the deadline without a rotation").await?;
    let new = rotated(&sessions, old).await?;
    expires(&probe, new, after(stage, 2 * HOUR), "the deadline after it").await?;
    advance(stage, HOUR + 30 * MINUTE);
    does(&sessions, new, |session| session.insert("c", &1)).await?;
    let end = after(stage, HOUR + 30 * MINUTE);
    expires(&probe, new, end, "the new absolute deadline").await
}

pub(crate) async fn s39_tombstone_lasts_sixty_seconds(stage: &Stage) -> Check {
    let (probe, sessions, old) = with_one(stage).await?;
    let new = rotated(&sessions, old).await?;
    let end = after(stage, MINUTE);
    stage.set(end.saturating_sub(MILLISECOND));
    let late = sessions.load(old).await?;
    equal("the end reason at the last moment", &late.end_reason()?, &Some(EndReason::Replaced))?;
    stage.set(end);
    let late = sessions.load(old).await?;
    equal("the end reason afterwards", &late.end_reason()?, &Some(EndReason::Expired))?;
    late.insert("a", &2)?;
    came_to(&sessions.finish(&late).await?, &Outcome::Created, "a write under an id that means nothing")?;
    ensure(new_id(&late)? != old, "it gets a new id", "the old one")?;
    nothing(&probe, old, "under the old id").await?;
    finds(&sessions, new, "a", Some(1)).await
}

pub(crate) async fn s40_destroy_ends_the_session_at_once(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    for commits in [true, false] {
        let id = begun(&sessions, |session| session.insert("a", &1)).await?;
        let session = opened(&sessions, id).await?;
        session.insert("b", &1)?;
        probe.calls();
        equal("whether it ended the session", &session.destroy("logout").await?, &true)?;
        called(&probe, &[Operation::Remove], "the request")?;
        nothing(&probe, id, "before any commit").await?;
        equal("the end reason", &session.end_reason()?, &Some(EndReason::Destroyed("logout".into())))?;
        equal("the client's instruction", &session.id_update(), &IdUpdate::Clear)?;
        ensure(!session.exists()?, "the session does not exist", "it exists")?;
        equal("the earlier writes", &session.get::<u64>("b")?, &None)?;
        if commits {
            let ended = Outcome::Ended(EndReason::Destroyed("logout".into()));
            came_to(&sessions.finish(&session).await?, &ended, "a commit after destroy")?;
            called(&probe, &[], "its commit")?;
        } else {
            // A handler that fails, or a client that hangs up.
            drop(session);
        }
        nothing(&probe, id, "at the end of the request").await?;
    }
    Ok(())
}

pub(crate) async fn s41_destroy_ends_newer_writes(stage: &Stage) -> Check {
    let (probe, sessions, id) = with_one(stage).await?;
    let logout = opened(&sessions, id).await?;
    does(&sessions, id, |session| session.insert("b", &1)).await?;
    let other = sessions.clone();
    probe.before(Operation::Remove, 2, async move {
        request(&other, id, |session| session.insert("c", &1)).await.map(drop)
    });
    probe.calls();
    equal("whether it ended the session", &logout.destroy("logout").await?, &true)?;
    let removals = probe.operations().iter().filter(|&&operation| operation == Operation::Remove).count();
    equal("the removals that it took", &removals, &3)?;
    nothing(&probe, id, "after the logout").await?;
    equal("the client's instruction", &logout.id_update(), &IdUpdate::Clear)
}

pub(crate) async fn s42_only_the_ending_request_clears_the_cookie(stage: &Stage) -> Check {
    let (_, sessions, id) = with_one(stage).await?;
    let mut handles = Vec::new();
    for _ in 0..3 {
        handles.push(opened(&sessions, id).await?);
    }
    let [one, two, reader] = handles.as_slice() else { return Err(unmet("three handles", "others")) };
    equal("whether the first ended it", &one.destroy("logout").await?, &true)?;
    equal("whether the second ended it", &two.destroy("logout").await?, &false)?;
    equal("the end reason of the second", &two.end_reason()?, &Some(EndReason::Revoked))?;
    equal("the first client's instruction", &one.id_update(), &IdUpdate::Clear)?;
    done(&sessions, two).await?;
    tells_nothing(two, "finding the session gone")?;
    done(&sessions, reader).await?;
    tells_nothing(reader, "only having read")?;
    let later = sessions.load(id).await?;
    equal("the end reason of a later request", &later.end_reason()?, &Some(EndReason::Expired))?;
    done(&sessions, &later).await?;
    tells_nothing(&later, "bringing a dead id")
}

pub(crate) async fn s43_write_after_destroy_starts_new_session(stage: &Stage) -> Check {
    let (probe, sessions, old) = with_one(stage).await?;
    let session = opened(&sessions, old).await?;
    session.insert("b", &1)?;
    session.destroy("logout").await?;
    session.insert("c", &1)?;
    came_to(&sessions.finish(&session).await?, &Outcome::Created, "a write after destroy")?;
    let new = new_id(&session)?;
    ensure(new != old, "the id is new", "the same")?;
    nothing(&probe, old, "under the old id").await?;
    equal("the keys of the new session", &opened(&sessions, new).await?.keys()?, &vec!["c".to_owned()])
}

pub(crate) async fn s44_destroy_with_lost_answer_ends_the_session(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    for (what, fault) in [
        ("an answer lost", Fault::LoseAnswer),
        ("a call lost", Fault::LoseCall),
        ("a call refused", Fault::Refuse),
        ("a request dropped", Fault::Stall),
    ] {
        let id = begun(&sessions, |session| session.insert("a", &1)).await?;
        let session = opened(&sessions, id).await?;
        probe.plan(Operation::Remove, 1, fault);
        match probe.drop_at_stall(session.destroy("logout")).await {
            Some(Ok(ended)) => {
                equal(&format!("whether it ended the session, with {what}"), &ended, &true)?;
                equal("the client's instruction", &session.id_update(), &IdUpdate::Clear)?;
            }
            // A refusal is an error, and the call may be repeated.
            Some(Err(error)) => {
                equal("the error of a refused removal", &error.kind(), &ErrorKind::Store)?;
                ensure(raw(&probe, id).await?.is_some(), "the session is still there", "gone")?;
                equal("whether the repetition ended it", &session.destroy("logout").await?, &true)?;
            }
            None => drop(session),
        }
        nothing(&probe, id, &format!("after a destroy with {what}")).await?;
    }
    Ok(())
}

pub(crate) async fn s45_late_logout_spares_tombstone_and_successor(stage: &Stage) -> Check {
    let (probe, sessions, old) = with_one(stage).await?;
    let late = opened(&sessions, old).await?;
    let new = rotated(&sessions, old).await?;
    let tombstone = stored(&probe, old).await?;
    equal("whether the late logout ended anything", &late.destroy("logout").await?, &false)?;
    equal("its end reason", &late.end_reason()?, &Some(EndReason::Replaced))?;
    tells_nothing(&late, "a late logout")?;
    late.insert("b", &1)?;
    let replaced = Outcome::Ended(EndReason::Replaced);
    came_to(&sessions.finish(&late).await?, &replaced, "a write after a late logout")?;
    tells_nothing(&late, "a write after a late logout")?;
    equal("the tombstone afterwards", &stored(&probe, old).await?, &tombstone)?;
    finds(&sessions, new, "a", Some(1)).await
}
