//! Values for the next request.

use super::common::*;

async fn with_notices(sessions: &Manager) -> Result<SessionId, Failure> {
    begun(sessions, |session| {
        session.flash().set("notice", "saved")?;
        session.flash().set("error", "none")
    })
    .await
}

/// Fails unless a handle sees exactly these flash values. This reads flash.
fn sees(session: &Session, expected: &[&str], when: &str) -> Check {
    let expected: Vec<String> = expected.iter().map(|&key| key.to_owned()).collect();
    equal(&format!("the flash values {when}"), &session.flash().keys()?, &expected)
}

/// Fails unless a handle sees this flash value. This reads flash.
fn shows(session: &Session, key: &str, expected: &str) -> Check {
    let value = session.flash().get::<String>(key)?;
    equal(&format!("the flash value {key:?}"), &value.as_deref(), &Some(expected))
}

pub(crate) async fn s58_flash_lasts_one_request(stage: &Stage) -> Check {
    let (_, sessions) = fresh(stage).await?;
    let id = with_notices(&sessions).await?;
    let second = opened(&sessions, id).await?;
    shows(&second, "notice", "saved")?;
    sees(&second, &["error", "notice"], "in the next request")?;
    equal("whether it is a plain value", &second.contains("notice")?, &false)?;
    came_to(&sessions.finish(&second).await?, &Outcome::Updated, "the request that used it")?;
    sees(&opened(&sessions, id).await?, &[], "in the request after that")
}

pub(crate) async fn s59_flash_waits_for_its_reader(stage: &Stage) -> Check {
    let (_, sessions) = fresh(stage).await?;
    let id = with_notices(&sessions).await?;
    does(&sessions, id, |_| Ok(())).await?;
    does(&sessions, id, |session| session.insert("a", &1)).await?;
    does(&sessions, id, |session| session.clear_values()).await?;
    let new = rotated(&sessions, id).await?;
    let id = new;
    sees(&opened(&sessions, id).await?, &["error", "notice"], "four requests later")
}

pub(crate) async fn s60_kept_flash_lasts_one_more_request(stage: &Stage) -> Check {
    let (_, sessions) = fresh(stage).await?;
    let id = with_notices(&sessions).await?;
    does(&sessions, id, |session| {
        session.flash().get::<String>("error")?;
        session.flash().keep("notice")?;
        session.flash().keep("missing")?;
        session.insert("a", &1)
    })
    .await?;
    let third = opened(&sessions, id).await?;
    sees(&third, &["notice"], "after keeping one")?;
    third.flash().keep_all()?;
    third.flash().set("new", &1)?;
    done(&sessions, &third).await?;
    let fourth = opened(&sessions, id).await?;
    sees(&fourth, &["new", "notice"], "after keeping all")?;
    done(&sessions, &fourth).await?;
    sees(&opened(&sessions, id).await?, &[], "after keeping none")
}

pub(crate) async fn s61_cleared_flash_is_empty(stage: &Stage) -> Check {
    let (_, sessions) = fresh(stage).await?;
    let id = with_notices(&sessions).await?;
    let second = opened(&sessions, id).await?;
    second.flash().set("own", &1)?;
    second.flash().keep("notice")?;
    second.flash().clear()?;
    sees(&second, &[], "right after clearing")?;
    second.insert("a", &1)?;
    done(&sessions, &second).await?;
    sees(&opened(&sessions, id).await?, &[], "in the next request")
}

pub(crate) async fn s62_flash_survives_without_commit(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    let id = with_notices(&sessions).await?;
    let before = stored(&probe, id).await?;
    let failing = opened(&sessions, id).await?;
    shows(&failing, "notice", "saved")?;
    failing.flash().set("error", "another")?;
    drop(failing);
    equal("the record after a request that failed", &raw(&probe, id).await?, &Some(before))?;
    let next = opened(&sessions, id).await?;
    sees(&next, &["error", "notice"], "in the next request")?;
    shows(&next, "error", "none")
}

pub(crate) async fn s63_newer_flash_survives_older_readers(stage: &Stage) -> Check {
    let (_, sessions) = fresh(stage).await?;
    let id = with_notices(&sessions).await?;
    let (one, two) = (opened(&sessions, id).await?, opened(&sessions, id).await?);
    let clearing = opened(&sessions, id).await?;
    for reader in [&one, &two, &clearing] {
        shows(reader, "notice", "saved")?;
    }
    one.flash().set("notice", "newer")?;
    clearing.flash().clear()?;
    done(&sessions, &one).await?;
    // It has seen the older value and consumes that, and only that.
    done(&sessions, &two).await?;
    done(&sessions, &clearing).await?;
    let next = opened(&sessions, id).await?;
    shows(&next, "notice", "newer")?;
    sees(&next, &["notice"], "in the next request")?;
    done(&sessions, &next).await?;
    sees(&opened(&sessions, id).await?, &[], "in the request after that")
}

pub(crate) async fn s64_flash_set_again_lasts_one_more_request(stage: &Stage) -> Check {
    let (_, sessions) = fresh(stage).await?;
    let id = with_notices(&sessions).await?;
    // A form that fails over and over says so each time.
    for round in 0..3_u64 {
        let again = opened(&sessions, id).await?;
        ensure(again.flash().get::<String>("notice").is_ok(), "the value can be read", "no")?;
        again.flash().set("notice", &format!("round {round}"))?;
        done(&sessions, &again).await?;
    }
    let last = opened(&sessions, id).await?;
    shows(&last, "notice", "round 2")?;
    sees(&last, &["notice"], "at the end")
}

pub(crate) async fn s114_flash_that_no_request_has_read_stays(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    let id = with_notices(&sessions).await?;
    // Forms that are sent one after the other, before any page shows their messages.
    does(&sessions, id, |session| session.flash().set("second", "saved too")).await?;
    does(&sessions, id, |session| session.flash().set("notice", "saved again")).await?;
    let before = stored(&probe, id).await?;
    for keep_all in [false, true] {
        let committed = request(&sessions, id, |session| {
            if keep_all { session.flash().keep_all() } else { session.flash().keep("second").map(drop) }
        })
        .await?;
        came_to(&committed, &Outcome::Unchanged, "keeping without reading")?;
    }
    equal("the record", &stored(&probe, id).await?, &before)?;
    let page = opened(&sessions, id).await?;
    shows(&page, "notice", "saved again")?;
    sees(&page, &["error", "notice", "second"], "in the page after them")?;
    done(&sessions, &page).await?;
    sees(&opened(&sessions, id).await?, &[], "in the page after that")?;
    // To clear removes what is there, and only that.
    does(&sessions, id, |session| session.flash().set("one", &1)).await?;
    does(&sessions, id, |session| {
        session.flash().clear()?;
        session.flash().set("two", &2)
    })
    .await?;
    sees(&opened(&sessions, id).await?, &["two"], "after clearing")
}
