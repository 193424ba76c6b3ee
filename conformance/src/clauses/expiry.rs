//! Level expiry: deadlines and purge.

use std::time::Duration;

pub(crate) use super::recent::e18_recent_read_omits_expired;
use crate::common::*;

const TICK: Duration = Duration::from_millis(1);

pub(crate) async fn e01_record_expires_at_its_deadline(stage: &Stage) -> Check {
    let (driver, key) = stage.open_one().await?;
    let deadline = stage.soon();
    let stored = expiring(1, deadline);
    put(&driver, &key, &stored).await?;
    stage.set(deadline.saturating_sub(TICK));
    holds(&driver, &key, &stored, "one millisecond before the deadline").await?;
    stage.set(deadline);
    absent(&driver, &key, "at the deadline").await?;
    stage.set(deadline.saturating_add(TICK));
    absent(&driver, &key, "after the deadline").await
}

pub(crate) async fn e02_expired_record_is_none_before_purge(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let deadline = stage.soon();
    let keys = stage.keys("key", 3);
    put_all(&driver, &keys, &expiring(1, deadline)).await?;
    let live = expiring(2, stage.later());
    put(&driver, &stage.key("live"), &live).await?;
    stage.pass(&driver, deadline).await;
    for key in &keys {
        absent(&driver, key, "after its deadline").await?;
    }
    holds(&driver, &stage.key("live"), &live, "a record whose deadline is far away").await
}

pub(crate) async fn e03_absent_holds_over_expired(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let (early, late) = (stage.key("early"), stage.key("late"));
    let deadline = stage.soon();
    let stored = expiring(1, deadline);
    put(&driver, &early, &stored).await?;
    put(&driver, &late, &stored).await?;
    let answer = driver.store(&early, record(2), Condition::Absent).await?;
    conflict(&answer, Some(&stored), "a store when absent, before the deadline")?;
    stage.pass(&driver, deadline).await;
    yes(&driver.store(&late, record(2), Condition::Absent).await?, "a store when absent, after it")?;
    holds(&driver, &late, &record(2), "the new record").await
}

pub(crate) async fn e04_store_never_revives_expired(stage: &Stage) -> Check {
    let (driver, key) = stage.open_one().await?;
    let deadline = stage.soon();
    put(&driver, &key, &expiring(1, deadline)).await?;
    stage.pass(&driver, deadline).await;
    for _ in 0..2 {
        let answer = driver.store(&key, record(2), Condition::Revision(rev(1))).await?;
        conflict(&answer, None, "a store at the revision of an expired record")?;
        absent(&driver, &key, "the expired record").await?;
    }
    // Repeating the write after its record expired does not succeed either: nothing is live.
    let answer = driver.store(&key, expiring(1, stage.later()), Condition::Revision(rev(9))).await?;
    conflict(&answer, None, "a repeated store of a record that has expired")
}

pub(crate) async fn e05_remove_of_expired_removes_nothing(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let deadline = stage.soon();
    let keys = stage.keys("key", 3);
    put_all(&driver, &keys, &expiring(1, deadline)).await?;
    stage.pass(&driver, deadline).await;
    conflict(&driver.remove(&keys[0], Condition::Any).await?, None, "removing an expired record")?;
    let answer = driver.remove(&keys[1], Condition::Revision(rev(1))).await?;
    conflict(&answer, None, "removing an expired record at its revision")?;
    yes(&driver.remove(&keys[2], Condition::Absent).await?, "removing an expired record when absent")
}

pub(crate) async fn e06_touch_never_revives_expired(stage: &Stage) -> Check {
    let (driver, key) = stage.open_one().await?;
    let deadline = stage.soon();
    put(&driver, &key, &expiring(1, deadline)).await?;
    stage.pass(&driver, deadline).await;
    for deadline in [Some(stage.later()), None] {
        let done = driver.touch(&key, touching(1, 2, deadline)).await?;
        equal("a touch of an expired record", &done, &false)?;
        absent(&driver, &key, "the expired record").await?;
    }
    let done = driver.touch(&key, touching(9, 1, Some(stage.later()))).await?;
    equal("a repeated touch of a record that has expired", &done, &false)
}

pub(crate) async fn e07_touched_record_lives_until_new_deadline(stage: &Stage) -> Check {
    let (driver, key) = stage.open_one().await?;
    let first = stage.soon();
    put(&driver, &key, &expiring(1, first)).await?;
    let second = first.saturating_add(Duration::from_secs(1));
    equal("a touch", &driver.touch(&key, touching(1, 2, Some(second))).await?, &true)?;
    stage.set(first);
    let touched = Record { revision: rev(2), ..expiring(1, second) };
    holds(&driver, &key, &touched, "at the old deadline").await?;
    stage.set(second.saturating_sub(TICK));
    holds(&driver, &key, &touched, "one millisecond before the new deadline").await?;
    stage.set(second);
    absent(&driver, &key, "at the new deadline").await
}

pub(crate) async fn e08_store_past_deadline_removes(stage: &Stage) -> Check {
    let (driver, key) = stage.open_one().await?;
    let past = stage.now();
    yes(&driver.store(&key, expiring(1, past), Condition::Any).await?, "a late store on nothing")?;
    absent(&driver, &key, "a record that was stored too late").await?;
    for (what, when) in [("any", Condition::Any), ("at its revision", Condition::Revision(rev(2)))] {
        put(&driver, &key, &record(2)).await?;
        let answer = driver.store(&key, expiring(3, past), when).await?;
        yes(&answer, &format!("a late store over a live record, {what}"))?;
        absent(&driver, &key, "the record that a late store replaced").await?;
        let answer = driver.remove(&key, Condition::Any).await?;
        conflict(&answer, None, "removing the record that a late store removed")?;
    }
    put(&driver, &key, &record(2)).await?;
    for (what, when) in [("when absent", Condition::Absent), ("elsewhere", Condition::Revision(rev(7)))] {
        let answer = driver.store(&key, expiring(3, past), when).await?;
        conflict(&answer, Some(&record(2)), &format!("a late store whose condition fails, {what}"))?;
        holds(&driver, &key, &record(2), "the live record").await?;
    }
    Ok(())
}

pub(crate) async fn e09_touch_to_the_past_ends_the_record(stage: &Stage) -> Check {
    let (driver, key) = stage.open_one().await?;
    put(&driver, &key, &record(1)).await?;
    equal("a touch to now", &driver.touch(&key, touching(1, 2, Some(stage.now()))).await?, &true)?;
    absent(&driver, &key, "a record touched to now").await?;
    equal("the next touch", &driver.touch(&key, touching(2, 3, None)).await?, &false)?;
    yes(&driver.store(&key, record(4), Condition::Absent).await?, "a store when absent")
}

pub(crate) async fn e10_no_deadline_never_expires(stage: &Stage) -> Check {
    let (driver, key) = stage.open_one().await?;
    put(&driver, &key, &record(1)).await?;
    let century = Duration::from_secs(100 * 366 * 24 * 3_600);
    for _ in 0..3 {
        stage.set(stage.now().saturating_add(century));
        holds(&driver, &key, &record(1), "a record without a deadline, a century on").await?;
    }
    stage.set(Timestamp::from_millis(i64::MAX as u64 - 1));
    holds(&driver, &key, &record(1), "a record without a deadline, at the end of time").await
}

pub(crate) async fn e11_deadline_of_1970_is_past(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    for millis in [0, 1] {
        let key = stage.key(&format!("zero-{millis}"));
        put(&driver, &key, &record(1)).await?;
        let answer = driver.store(&key, expiring(2, Timestamp::from_millis(millis)), Condition::Any).await?;
        yes(&answer, "a store with a deadline of 1970")?;
        absent(&driver, &key, "a record that expired in 1970").await?;
        put(&driver, &key, &record(1)).await?;
        let done = driver.touch(&key, touching(1, 2, Some(Timestamp::from_millis(millis)))).await?;
        equal("a touch to 1970", &done, &true)?;
        absent(&driver, &key, "a record touched to 1970").await?;
    }
    Ok(())
}

/// Stores `expired` records that expire at `deadline`, and `live` of each other kind.
async fn mixed(stage: &Stage, driver: &DynDriver, deadline: Timestamp, expired: usize, live: usize) -> Check {
    put_all(driver, &stage.keys("expired", expired), &expiring(1, deadline)).await?;
    put_all(driver, &stage.keys("later", live), &expiring(2, deadline.saturating_add(TICK))).await?;
    put_all(driver, &stage.keys("never", live), &record(3)).await
}

pub(crate) async fn e12_purge_removes_exactly_the_expired(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let deadline = stage.soon();
    mixed(stage, &driver, deadline, 70, 20).await?;
    stage.set(deadline.saturating_sub(TICK));
    equal(
        "how many records were purged a millisecond before the deadline",
        &purge_all(&driver, 1_000).await?,
        &0,
    )?;
    stage.set(deadline);
    equal("how many records were purged at the deadline", &purge_all(&driver, 1_000).await?, &70)?;
    equal("how many records were purged the second time", &purge_all(&driver, 1_000).await?, &0)
}

pub(crate) async fn e13_purge_respects_its_limit(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let deadline = stage.soon();
    mixed(stage, &driver, deadline, 60, 10).await?;
    stage.set(deadline);
    let first = driver.purge(25).await?;
    ensure(
        first.removed <= 25 && first.more,
        "a purge with limit 25 removes at most 25 of 60 records and answers `more: true`",
        first,
    )?;
    equal("how many records all purges removed", &(first.removed + purge_all(&driver, 7).await?), &60)
}

pub(crate) async fn e14_purge_spares_live_records(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let deadline = stage.soon();
    mixed(stage, &driver, deadline, 15, 15).await?;
    stage.set(deadline);
    purge_all(&driver, 4).await?;
    let later = expiring(2, deadline.saturating_add(TICK));
    hold_all(&driver, &stage.keys("later", 15), &later, "a live record").await?;
    hold_all(&driver, &stage.keys("never", 15), &record(3), "a record without a deadline").await
}

pub(crate) async fn e15_purge_covers_all_prefixes(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let deadline = stage.soon();
    let keys = ["session:a", "user:a", "index:a", "flash:a", "x:a"];
    let keys = keys.map(|key| Key::parse(key).expect("these are valid"));
    put_all(&driver, &keys, &expiring(1, deadline)).await?;
    stage.set(deadline);
    equal("how many records were purged over all prefixes", &purge_all(&driver, 2).await?, &5)
}

pub(crate) async fn e16_purge_of_nothing_ends(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let empty = driver.purge(10).await?;
    ensure(
        empty.removed == 0 && !empty.more,
        "a purge of an empty store removes nothing and answers `more: false`",
        empty,
    )?;
    mixed(stage, &driver, stage.soon(), 30, 30).await?;
    for _ in 0..200 {
        // A driver may check its records in several parts, but must reach the last one.
        let purged = driver.purge(10).await?;
        equal("removed where nothing has expired", &purged.removed, &0)?;
        if !purged.more {
            return Ok(());
        }
    }
    Err(unmet("`more` becomes false within 200 purges", "`more: true` after each of them"))
}

pub(crate) async fn e17_record_stored_again_survives_purge(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let deadline = stage.soon();
    mixed(stage, &driver, deadline, 10, 0).await?;
    stage.set(deadline);
    // Stores one half again before the purge, and the other after it.
    let keys = stage.keys("expired", 10);
    for key in &keys[..5] {
        yes(&driver.store(key, record(5), Condition::Absent).await?, "a store over an expired record")?;
    }
    equal("how many records were purged after half was stored again", &purge_all(&driver, 100).await?, &5)?;
    for key in &keys[5..] {
        yes(&driver.store(key, record(5), Condition::Absent).await?, "a store after the purge")?;
    }
    equal("how many records were purged afterwards", &purge_all(&driver, 100).await?, &0)?;
    hold_all(&driver, &keys, &record(5), "a record that was stored again").await
}
