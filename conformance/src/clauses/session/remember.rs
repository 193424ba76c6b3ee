//! "Remember me": a session's own choice of how long it lives and how long its client keeps the id.

use std::time::Duration;

use session_manager::Error;

use super::common::*;

const DAY: Duration = Duration::from_secs(24 * 3_600);
const MONTH: Duration = Duration::from_secs(30 * 24 * 3_600);

fn log_in(session: &Session) -> Result<(), Error> {
    session.login("alice")?;
    session.remember(MONTH)
}

/// How long the client keeps the id, by the last instruction of a request, which must give it a deadline.
fn told(session: &Session, deadline: Timestamp) -> Result<Persistence, Failure> {
    match session.id_update() {
        IdUpdate::Set { deadline: at, persistence, .. }
        | IdUpdate::Extend { deadline: at, persistence, .. } => {
            equal("the deadline that the client is told", &at, &Some(deadline))?;
            Ok(persistence)
        }
        other => Err(unmet("the client receives an id", format!("{other:?}"))),
    }
}

/// A session's own choice, as a new handle reads it.
async fn chosen(sessions: &Manager, id: SessionId, expected: Persistence) -> Check {
    equal("the stored choice", &opened(sessions, id).await?.persistence()?, &expected)
}

/// A whole request that writes, and what it tells the client.
async fn writes(
    sessions: &Manager,
    id: SessionId,
    deadline: Timestamp,
    write: impl FnOnce(&Session) -> Result<(), Error>,
) -> Result<(IdUpdate, Persistence), Failure> {
    let session = opened(sessions, id).await?;
    write(&session)?;
    done(sessions, &session).await?;
    Ok((session.id_update(), told(&session, deadline)?))
}

pub(crate) async fn s107_remembered_session_keeps_its_lifetime(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    let guest = begun(&sessions, |session| session.insert("cart", &1)).await?;
    let session = opened(&sessions, guest).await?;
    log_in(&session)?;
    equal("the choice before the commit", &session.persistence()?, &Persistence::Session)?;
    done(&sessions, &session).await?;
    let start = stage.now();
    let end = start.saturating_add(MONTH);
    equal("the first response", &told(&session, end)?, &Persistence::Session)?;
    let mut id = new_id(&session)?;
    expires(&probe, id, end, "a remembered session").await?;

    // Later requests, and another process.
    let (_, other) = fresh(stage).await?;
    for sessions in [&sessions, &other] {
        advance(stage, 3 * DAY);
        chosen(sessions, id, Persistence::Session).await?;
        let (update, persistence) = writes(sessions, id, end, |session| add_to(session, "n")).await?;
        let extends = matches!(update, IdUpdate::Extend { .. });
        ensure(extends && persistence == Persistence::Session, "the id is kept as long as before", update)?;
    }
    // A new id, and a login of the same user: the time begins again.
    for change in [Session::rotate as fn(&Session) -> _, |session| session.login("alice")] {
        advance(stage, DAY);
        let end = after(stage, MONTH);
        let (update, persistence) = writes(&sessions, id, end, change).await?;
        equal("the choice after a new id", &persistence, &Persistence::Session)?;
        let IdUpdate::Set { id: next, .. } = update else {
            return Err(unmet("a new id", format!("{update:?}")));
        };
        id = next;
        chosen(&sessions, id, Persistence::Session).await?;
        expires(&probe, id, end, "under its new id").await?;
    }
    // With an idle timeout of its own, each touch sends the id again.
    let end = after(stage, 7 * DAY);
    writes(&sessions, id, end, |session| session.set_idle_timeout(7 * DAY)).await?;
    advance(stage, DAY);
    let session = opened(&sessions, id).await?;
    came_to(&sessions.finish(&session).await?, &Outcome::Touched, "a read after a day")?;
    equal("the choice after a touch", &told(&session, after(stage, 7 * DAY))?, &Persistence::Session)
}

pub(crate) async fn s108_last_choice_of_persistence_wins(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    // Without a choice, and with one that stores nothing.
    let id = begun(&sessions, |session| session.insert("a", &1)).await?;
    chosen(&sessions, id, Persistence::Configured).await?;
    probe.calls();
    let session = sessions.load(None).await?;
    session.remember(MONTH)?;
    came_to(&sessions.finish(&session).await?, &Outcome::Unchanged, "a choice without values")?;
    called(&probe, &[], "its commit")?;

    // A request that does not know of the choice keeps it. The client of a stored session is sent the id again.
    let late = opened(&sessions, id).await?;
    add_to(&late, "n")?;
    let (update, _) = writes(&sessions, id, after(stage, MONTH), |session| session.remember(MONTH)).await?;
    let expected =
        IdUpdate::Set { id, deadline: Some(after(stage, MONTH)), persistence: Persistence::Session };
    equal("the client's instruction", &update, &expected)?;
    done(&sessions, &late).await?;
    chosen(&sessions, id, Persistence::Session).await?;

    // The opposite choice has the times of a new session, and wins over one that committed before it.
    let late = opened(&sessions, id).await?;
    late.forget_on_close()?;
    writes(&sessions, id, after(stage, MONTH), |session| {
        session.remember(MONTH)?;
        session.insert("b", &1)
    })
    .await?;
    done(&sessions, &late).await?;
    equal("the last choice", &told(&late, after(stage, 2 * HOUR))?, &Persistence::Browser)?;
    chosen(&sessions, id, Persistence::Browser).await?;
    expires(&probe, id, after(stage, 2 * HOUR), "a session that is not remembered").await?;
    finds(&sessions, id, "b", Some(1_u64)).await?;

    // A login as another user makes no use of it, unless it chooses too.
    for remembers in [false, true] {
        let session = sessions.load(None).await?;
        log_in(&session)?;
        done(&sessions, &session).await?;
        let session = opened(&sessions, new_id(&session)?).await?;
        if remembers {
            session.remember(DAY)?;
        }
        session.login("bob")?;
        done(&sessions, &session).await?;
        let (end, expected) = match remembers {
            true => (after(stage, DAY), Persistence::Session),
            false => (after(stage, 2 * HOUR), Persistence::Configured),
        };
        equal("the choice of another user", &told(&session, end)?, &expected)?;
        chosen(&sessions, new_id(&session)?, expected).await?;
    }
    Ok(())
}
