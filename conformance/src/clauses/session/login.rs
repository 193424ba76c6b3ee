//! Logins, which succeed whatever happened to the session they came with; claimed values; a logout that keeps values.

use super::common::*;

/// A guest with a cart.
async fn guest(sessions: &Manager) -> Result<SessionId, Failure> {
    begun(sessions, |session| {
        session.insert("cart", "book")?;
        session.flash().set("notice", "hello")
    })
    .await
}

/// Logs `user` in, and writes a value of that user: the client's new id.
async fn log_in(
    sessions: &Manager,
    session: &Session,
    user: &str,
    outcome: &Outcome,
) -> Result<SessionId, Failure> {
    session.login(user)?;
    session.insert("secret", user)?;
    let committed = sessions.finish(session).await?;
    came_to(&committed, outcome, "a login")?;
    ensure(committed.critical && !committed.refuses_response(), "the response goes out", &committed)?;
    ensure(session.exists()?, "the session exists", "it does not")?;
    new_id(session)
}

/// Fails unless the session is this user's, with these keys.
async fn belongs(sessions: &Manager, id: SessionId, user: &str, keys: &[&str]) -> Check {
    let session = opened(sessions, id).await?;
    equal("the user", &session.user()?.as_deref(), &Some(user))?;
    equal("the keys", &session.keys()?, &keys.iter().map(|key| (*key).to_owned()).collect())?;
    equal("the user's own value", &session.get::<String>("secret")?.as_deref(), &Some(user))
}

pub(crate) async fn s82_two_logins_at_once_both_succeed(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    // The second login commits after the first, or between its steps.
    for between in [false, true] {
        let old = guest(&sessions).await?;
        let (one, two) = (opened(&sessions, old).await?, opened(&sessions, old).await?);
        let (first, second) = if between {
            let other = sessions.clone();
            let (sent, received) = std::sync::mpsc::channel();
            probe.calls();
            probe.before(Operation::Store, 2, async move {
                let id = log_in(&other, &two, "bob", &Outcome::Rotated).await?;
                sent.send(id).map_err(|cause| unmet("the first login waits for this one", cause))
            });
            let first = log_in(&sessions, &one, "alice", &Outcome::Created).await?;
            (first, received.try_recv().map_err(|cause| unmet("the other login ran", cause))?)
        } else {
            let first = log_in(&sessions, &one, "alice", &Outcome::Rotated).await?;
            (first, log_in(&sessions, &two, "bob", &Outcome::Created).await?)
        };
        ensure(first != second, "two ids", "one")?;
        for (id, user) in [(first, "alice"), (second, "bob")] {
            belongs(&sessions, id, user, &["cart", "secret"]).await?;
            let session = opened(&sessions, id).await?;
            equal("the flash value", &session.flash().get::<String>("notice")?.as_deref(), &Some("hello"))?;
        }
        let late = sessions.load(old).await?;
        equal("the end reason under the old id", &late.end_reason()?, &Some(EndReason::Replaced))?;
        equal("the keys under the old id", &late.keys()?, &vec![])?;
        late.insert("cart", "pen")?;
        let ended = Outcome::Ended(EndReason::Replaced);
        came_to(&sessions.finish(&late).await?, &ended, "a write under the old id")?;
        tells_nothing(&late, "a write under the old id")?;
        // Each can be ended alone.
        ensure(opened(&sessions, second).await?.destroy("logout").await?, "it ends", "it does not")?;
        belongs(&sessions, first, "alice", &["cart", "secret"]).await?;
    }
    Ok(())
}

pub(crate) async fn s83_repeated_login_succeeds(stage: &Stage) -> Check {
    let (_, sessions) = fresh(stage).await?;
    let old = guest(&sessions).await?;
    let first = log_in(&sessions, &opened(&sessions, old).await?, "alice", &Outcome::Rotated).await?;
    request(&sessions, first, |session| session.insert("later", &1)).await.map(drop)?;
    let mut ids = vec![first];
    for _ in 0..2 {
        let again = sessions.load(old).await?;
        equal("the end reason under the old id", &again.end_reason()?, &Some(EndReason::Replaced))?;
        equal("the keys before the login", &again.keys()?, &vec![])?;
        let id = log_in(&sessions, &again, "alice", &Outcome::Created).await?;
        ensure(!ids.contains(&id), "an id of its own", "one that exists")?;
        belongs(&sessions, id, "alice", &["cart", "secret"]).await?;
        ids.push(id);
    }
    belongs(&sessions, first, "alice", &["cart", "later", "secret"]).await?;
    // The tombstone of a session with a user has no data.
    let next = log_in(&sessions, &opened(&sessions, first).await?, "alice", &Outcome::Rotated).await?;
    belongs(&sessions, next, "alice", &["cart", "later", "secret"]).await?;
    let id = log_in(&sessions, &sessions.load(first).await?, "alice", &Outcome::Created).await?;
    belongs(&sessions, id, "alice", &["secret"]).await?;
    // Neither has that of a rotation without a login.
    let old = guest(&sessions).await?;
    request(&sessions, old, Session::rotate).await.map(drop)?;
    let id = log_in(&sessions, &sessions.load(old).await?, "alice", &Outcome::Created).await?;
    belongs(&sessions, id, "alice", &["secret"]).await
}

pub(crate) async fn s84_login_survives_end_of_its_session(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    for user in [None, Some("alice")] {
        for moment in 0..4 {
            let old = guest(&sessions).await?;
            let old = match user {
                None => old,
                Some(user) => {
                    log_in(&sessions, &opened(&sessions, old).await?, user, &Outcome::Rotated).await?
                }
            };
            let (login, logout) = (opened(&sessions, old).await?, opened(&sessions, old).await?);
            match moment {
                0 => drop(logout.destroy("logout").await?),
                1 => {
                    probe.calls();
                    probe.before(Operation::Store, 2, async move {
                        logout.destroy("logout").await?;
                        Ok::<_, Failure>(())
                    });
                }
                2 => advance(stage, 2 * HOUR),
                _ => {
                    // The session expires between the steps, and the new record does not.
                    advance(stage, HOUR);
                    let (clock, deadline) = (stage.virtual_clock(), after(stage, HOUR));
                    probe.calls();
                    probe.before(Operation::Store, 2, async move {
                        clock.ok_or("a virtual clock").map(|clock| clock.set(deadline))
                    });
                }
            }
            let new = log_in(&sessions, &login, "alice", &Outcome::Created).await?;
            nothing(&probe, old, "under the old id").await?;
            // The data of a session that had a user ended with it.
            let keys: &[&str] = if user.is_none() { &["cart", "secret"] } else { &["secret"] };
            belongs(&sessions, new, "alice", keys).await?;
            // An id that means nothing.
            let late = sessions.load(old).await?;
            let new = log_in(&sessions, &late, "alice", &Outcome::Created).await?;
            belongs(&sessions, new, "alice", &["secret"]).await?;
        }
    }
    Ok(())
}

pub(crate) async fn s85_login_and_logout_at_once_are_both_done(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    for login_first in [true, false] {
        let old = guest(&sessions).await?;
        let (login, logout) = (opened(&sessions, old).await?, opened(&sessions, old).await?);
        let new = if login_first {
            let new = log_in(&sessions, &login, "alice", &Outcome::Rotated).await?;
            let tombstone = raw(&probe, old).await?;
            equal("whether the late logout ended anything", &logout.destroy("logout").await?, &false)?;
            equal("the tombstone afterwards", &raw(&probe, old).await?, &tombstone)?;
            tells_nothing(&logout, "a late logout")?;
            new
        } else {
            equal("whether the logout ended the session", &logout.destroy("logout").await?, &true)?;
            equal("the client's instruction", &logout.id_update(), &IdUpdate::Clear)?;
            log_in(&sessions, &login, "alice", &Outcome::Created).await?
        };
        belongs(&sessions, new, "alice", &["cart", "secret"]).await?;
        ensure(!sessions.load(old).await?.exists()?, "nothing under the old id", "a session")?;
    }
    // A logout in the request of the login drops the login.
    let old = guest(&sessions).await?;
    let _ = log_in(&sessions, &opened(&sessions, old).await?, "alice", &Outcome::Rotated).await?;
    let session = sessions.load(old).await?;
    session.login("alice")?;
    equal("whether it ended anything", &session.destroy("logout").await?, &false)?;
    let ended = Outcome::Ended(EndReason::Replaced);
    came_to(&sessions.finish(&session).await?, &ended, "a login, then a logout")?;
    tells_nothing(&session, "a login, then a logout")
}

pub(crate) async fn s86_planted_id_gains_nothing(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    // The attacker plants the id of an own session, and may have loaded it before the victim's login.
    for loaded in [false, true] {
        let planted = guest(&sessions).await?;
        let attacker = if loaded { Some(opened(&sessions, planted).await?) } else { None };
        let victim = opened(&sessions, planted).await?;
        victim.flash().set("welcome", "alice")?;
        let own = log_in(&sessions, &victim, "alice", &Outcome::Rotated).await?;
        request(&sessions, own, |session| session.insert("later", &1)).await.map(drop)?;
        let tombstone = stored(&probe, planted).await?;
        let attacker = match attacker {
            Some(attacker) => attacker,
            None => {
                let attacker = sessions.load(planted).await?;
                ensure(!attacker.exists()?, "nothing under the planted id", "a session")?;
                equal("the keys under the planted id", &attacker.keys()?, &vec![])?;
                attacker
            }
        };
        let gained = log_in(&sessions, &attacker, "mallory", &Outcome::Created).await?;
        ensure(gained != own && gained != planted, "an id of its own", "another")?;
        belongs(&sessions, gained, "mallory", &["cart", "secret"]).await?;
        let session = opened(&sessions, gained).await?;
        equal("the victim's flash value", &session.flash().get::<String>("welcome")?, &None)?;
        belongs(&sessions, own, "alice", &["cart", "later", "secret"]).await?;
        equal("the tombstone afterwards", &stored(&probe, planted).await?, &tombstone)?;
    }
    Ok(())
}

pub(crate) async fn s87_login_drops_other_users_values(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    for keep in [&[][..], &["cart", "gone"]] {
        let old = guest(&sessions).await?;
        let alice = log_in(&sessions, &opened(&sessions, old).await?, "alice", &Outcome::Rotated).await?;
        request(&sessions, alice, |session| {
            session.set_idle_timeout(HOUR / 2)?;
            session.insert("count", &5_u64)?;
            session.insert("token", &1)
        })
        .await
        .map(drop)?;
        let session = opened(&sessions, alice).await?;
        equal("a token of the other user", &session.take::<u64>("token")?, &Some(1))?;
        session.update("count", |count: Option<u64>| count.unwrap_or(0) + 1)?;
        session.insert("secret", "bob")?;
        session.login_keeping("bob", keep)?;
        let seen = session.contains("cart")?;
        equal("whether the value to keep is seen before the commit", &seen, &!keep.is_empty())?;
        equal("the flash values before the commit", &session.flash().keys()?, &vec![])?;
        // Another request of the other user writes meanwhile.
        request(&sessions, alice, |session| session.insert("more", &1)).await.map(drop)?;
        came_to(&sessions.finish(&session).await?, &Outcome::Rotated, "a login as another user")?;
        let bob = new_id(&session)?;
        let keys: &[&str] = if keep.is_empty() { &["count", "secret"] } else { &["cart", "count", "secret"] };
        belongs(&sessions, bob, "bob", keys).await?;
        finds(&sessions, bob, "count", Some(1_u64)).await?;
        let session = opened(&sessions, bob).await?;
        equal("the flash values", &session.flash().keys()?, &vec![])?;
        let deadline = session.deadline()?.map(|deadline| deadline > sessions.now().saturating_add(HOUR));
        equal("whether it has the idle timeout of a new session", &deadline, &Some(true))?;
        ensure(is_marker(&stored(&probe, alice).await?), "a tombstone without data", "data")?;
    }
    // The same user keeps everything.
    let old = guest(&sessions).await?;
    let alice = log_in(&sessions, &opened(&sessions, old).await?, "alice", &Outcome::Rotated).await?;
    let again = log_in(&sessions, &opened(&sessions, alice).await?, "alice", &Outcome::Rotated).await?;
    belongs(&sessions, again, "alice", &["cart", "secret"]).await
}

pub(crate) async fn s88_claimed_value_has_one_winner(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    for round in 0..4_u64 {
        let id = begun(&sessions, |session| session.insert("token", &round)).await?;
        let mut handles = Vec::new();
        for _ in 0..8 {
            handles.push(opened(&sessions, id).await?);
        }
        let crowd = Crowd::start(8, (sessions.clone(), handles), |task, (sessions, handles)| async move {
            let session = &handles[task as usize];
            session.insert(&format!("own{task}"), &task)?;
            let claimed = session.claim::<u64>("token").await?;
            let seen = session.contains("token")?;
            Ok((claimed, seen, sessions.finish(session).await?))
        });
        let mut winners = Vec::new();
        for (claimed, seen, committed) in crowd.join().await? {
            ensure(!seen, "the value is gone from the handle", "it is there")?;
            ensure(!committed.refuses_response(), "the response goes out", &committed)?;
            winners.extend(claimed);
        }
        equal("the values that eight claims returned", &winners, &vec![round])?;
        let keys: Vec<_> = (0..8).map(|number| format!("own{number}")).collect();
        equal("the keys afterwards", &opened(&sessions, id).await?.keys()?, &keys)?;
    }
    // At once: neither a dropped request nor a failed handler gives it back.
    let id = begun(&sessions, |session| session.insert("token", &1_u64)).await?;
    let (winner, loser) = (opened(&sessions, id).await?, opened(&sessions, id).await?);
    winner.insert("a", &1)?;
    probe.calls();
    equal("the claim", &winner.claim::<u64>("token").await?, &Some(1))?;
    equal("its calls", &probe.operations(), &vec![Operation::Store])?;
    drop(winner);
    equal("the keys afterwards", &opened(&sessions, id).await?.keys()?, &vec![])?;
    // After a login, or the end of the session, there is nothing to claim.
    let login = opened(&sessions, id).await?;
    login.insert("token", &2_u64)?;
    equal("a claim of what is not stored", &login.claim::<u64>("token").await?, &None)?;
    done(&sessions, &login).await?;
    let late = opened(&sessions, id).await?;
    let new = log_in(&sessions, &opened(&sessions, id).await?, "alice", &Outcome::Rotated).await?;
    equal("a claim of the loser", &loser.claim::<u64>("token").await?, &None)?;
    equal("a claim under the old id", &late.claim::<u64>("token").await?, &None)?;
    // The loser may log in all the same, without the value.
    let other = log_in(&sessions, &late, "alice", &Outcome::Created).await?;
    belongs(&sessions, other, "alice", &["secret"]).await?;
    belongs(&sessions, new, "alice", &["secret", "token"]).await
}

pub(crate) async fn s89_unbound_session_keeps_values(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    let old = guest(&sessions).await?;
    let bound = log_in(&sessions, &opened(&sessions, old).await?, "alice", &Outcome::Rotated).await?;
    let session = opened(&sessions, bound).await?;
    session.remove("secret")?;
    equal("whether a user was bound", &session.unbind_user()?, &true)?;
    equal("the user", &session.user()?, &None)?;
    equal("whether a user is bound still", &session.unbind_user()?, &false)?;
    let committed = sessions.finish(&session).await?;
    came_to(&committed, &Outcome::Rotated, "a logout that keeps the values")?;
    ensure(committed.critical, "critical", &committed)?;
    let new = new_id(&session)?;
    let session = opened(&sessions, new).await?;
    equal("the user in a later request", &session.user()?, &None)?;
    equal("the keys", &session.keys()?, &vec!["cart".to_owned()])?;
    equal("the flash value", &session.flash().get::<String>("notice")?.as_deref(), &Some("hello"))?;
    ensure(is_marker(&stored(&probe, bound).await?), "a tombstone without data", "data")?;
    // The next user gets the cart, and nothing else.
    let bob = log_in(&sessions, &session, "bob", &Outcome::Rotated).await?;
    belongs(&sessions, bob, "bob", &["cart", "secret"]).await?;
    // Without a user it does nothing.
    let id = guest(&sessions).await?;
    let session = opened(&sessions, id).await?;
    equal("whether a user was bound", &session.unbind_user()?, &false)?;
    came_to(&sessions.finish(&session).await?, &Outcome::Unchanged, "a logout of a guest")
}

pub(crate) async fn s113_bound_user_of_another_gets_no_values(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    for rotates in [false, true] {
        let old = guest(&sessions).await?;
        let alice = log_in(&sessions, &opened(&sessions, old).await?, "alice", &Outcome::Rotated).await?;
        let session = opened(&sessions, alice).await?;
        if rotates {
            session.rotate()?;
        }
        session.bind_user("bob")?;
        session.insert("own", &1)?;
        equal("the keys before the commit", &session.keys()?, &vec!["own".to_owned()])?;
        // Another tab of the first user writes meanwhile.
        does(&sessions, alice, |session| session.insert("more", &1)).await?;
        came_to(&sessions.finish(&session).await?, &Outcome::Rotated, "binding another user")?;
        let bob = new_id(&session)?;
        let session = opened(&sessions, bob).await?;
        equal("the user", &session.user()?.as_deref(), &Some("bob"))?;
        equal("the keys", &session.keys()?, &vec!["own".to_owned()])?;
        equal("the flash values", &session.flash().keys()?, &vec![])?;
        ensure(is_marker(&stored(&probe, alice).await?), "a tombstone without data", "data")?;
        // The same user again keeps everything, under the same id.
        let committed = request(&sessions, bob, |session| session.bind_user("bob")).await?;
        ensure(!matches!(committed.outcome, Outcome::Rotated), "the same id", &committed)?;
        finds(&sessions, bob, "own", Some(1)).await?;
    }
    Ok(())
}
