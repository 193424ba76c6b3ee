//! Clauses about `retrieve_recent`, of several levels.

use std::time::Duration;

use session_core::forward;

use super::concurrent_use;
use crate::common::*;
use crate::level::Requirement;

/// Fails unless a recent read shows what `retrieve` shows, also when it is repeated.
async fn agrees(driver: &DynDriver, key: &Key, when: &str) -> Check {
    let found = driver.retrieve(key).await?;
    for _ in 0..2 {
        match (&found, driver.retrieve_recent(key).await?) {
            (Some(expected), Some(found)) => same(&found, expected, &format!("a recent read {when}"))?,
            (None, None) => {}
            (expected, found) => {
                return Err(unmet(format!("a recent read {when}: {expected:?}"), format!("{found:?}")));
            }
        }
    }
    Ok(())
}

/// Reads, so that a cache has the record.
async fn warm(driver: &DynDriver, key: &Key) -> Check {
    driver.retrieve_recent(key).await?;
    driver.retrieve_recent(key).await?;
    Ok(())
}

pub(crate) async fn b38_recent_read_sees_own_changes(stage: &Stage) -> Check {
    let (driver, clone) = stage.open_with_clone().await?;
    let key = stage.key("one");
    agrees(&driver, &key, "before anything was stored").await?;
    absent(&clone, &key, "a recent read creates no record").await?;
    for number in 1..10 {
        warm(&driver, &key).await?;
        put(&clone, &key, &record(number)).await?;
        agrees(&driver, &key, "after a store through a clone").await?;
        agrees(&clone, &key, "after its own store").await?;
        yes(&driver.remove(&key, Condition::Any).await?, "a removal")?;
        agrees(&clone, &key, "after a removal through a clone").await?;
        agrees(&driver, &key, "after its own removal").await?;
    }
    if stage.lacks(Requirement::Conditional) {
        return Ok(());
    }
    put(&driver, &key, &record(1)).await?;
    let at = |number| Condition::Revision(rev(number));
    for (record, condition) in [
        (record(2), at(1)),
        // Conflicts.
        (record(3), at(1)),
        (record(3), Condition::Absent),
        // The live revision with other data, deadlines or none: each is `Applied`, and some of them change nothing.
        (Record { data: payload(7), ..record(2) }, at(1)),
        (Record { data: payload(8), ..expiring(2, stage.later()) }, Condition::Absent),
        (Record { data: payload(9), ..expiring(2, stage.later()) }, at(2)),
        (Record { data: payload(10), ..record(2) }, Condition::Any),
        (record(4), at(2)),
    ] {
        warm(&driver, &key).await?;
        // Applied or a conflict: other clauses say which.
        let _ = driver.store(&key, record, condition).await?;
        agrees(&driver, &key, &format!("after a store with {condition:?}")).await?;
    }
    for touch in [
        touching(4, 5, Some(stage.later())),
        touching(4, 5, Some(stage.soon())),
        touching(5, 5, Some(stage.soon())),
        touching(1, 6, None),
        touching(5, 6, None),
    ] {
        warm(&driver, &key).await?;
        driver.touch(&key, touch).await?;
        agrees(&driver, &key, &format!("after {touch:?}")).await?;
    }
    for condition in [at(1), Condition::Absent, at(6)] {
        warm(&driver, &key).await?;
        // As above.
        let _ = driver.remove(&key, condition).await?;
        agrees(&driver, &key, &format!("after a removal with {condition:?}")).await?;
    }
    put(&driver, &key, &record(1)).await?;
    warm(&driver, &key).await?;
    driver.close().await?;
    fails(driver.retrieve_recent(&key).await, StoreErrorKind::Closed, "a recent read after close")
}

pub(crate) async fn e18_recent_read_omits_expired(stage: &Stage) -> Check {
    let (driver, key) = stage.open_one().await?;
    let deadline = stage.soon();
    put(&driver, &key, &expiring(1, deadline)).await?;
    warm(&driver, &key).await?;
    stage.pass(&driver, deadline).await;
    match driver.retrieve_recent(&key).await? {
        None => Ok(()),
        Some(found) => Err(unmet("a recent read of an expired record: no record", format!("{found:?}"))),
    }
}

/// A handle whose reads are recent ones.
#[derive(Clone)]
struct Recent(DynDriver);

impl Driver for Recent {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        self.0.retrieve_recent(key).await
    }
    forward!(0: store store_over remove traverse touch purge flush close capabilities clock);
}

pub(crate) async fn c20_recent_reads_are_linearizable(stage: &Stage) -> Check {
    let (driver, clone) = stage.open_with_clone().await?;
    let handles =
        [DynDriver::new(Recent(driver.clone())), driver.clone(), DynDriver::new(Recent(clone.clone()))];
    for round in 0..stage.amount(8, 120) as u64 {
        concurrent_use::history(stage, &handles, round, 40).await?;
    }
    let key = stage.key("ends");
    let read = |_, _, (driver, key): (DynDriver, Key)| async move {
        patiently(|| driver.retrieve_recent(&key)).await.map(drop)
    };
    amid(3, (clone, key.clone()), read, async {
        for number in 1..=stage.amount(100, 3_000) as u64 {
            set(&driver, &key, &record(number)).await?;
            let found = patiently(|| driver.retrieve_recent(&key)).await?;
            let number_found = found.and_then(|found| number_of(&found.data));
            equal("the record that a recent read finds after a store", &number_found, &Some(number))?;
            let _ = patiently(|| driver.remove(&key, Condition::Any)).await?;
            for _ in 0..2 {
                let found = patiently(|| driver.retrieve_recent(&key)).await?;
                ensure(found.is_none(), "a recent read never finds what this handle has removed", &found)?;
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    })
    .await
}

/// How long the changes of P14 may be waited for, in all.
const WAIT: Duration = Duration::from_secs(3);

pub(crate) async fn p14_recent_read_is_as_old_as_claimed(stage: &Stage) -> Check {
    let (one, other) = (stage.open().await?, stage.open().await?);
    let staleness = other.capabilities().staleness;
    let rounds = WAIT.as_millis().checked_div(staleness.as_millis()).unwrap_or(40).clamp(2, 40) as u64;
    let key = stage.key("one");
    for number in 1..=rounds {
        put(&one, &key, &record(number)).await?;
        warm(&other, &key).await?;
        let expected = match number % 3 {
            0 => {
                yes(&one.remove(&key, Condition::Any).await?, "a removal")?;
                None
            }
            _ => {
                put(&one, &key, &record(number + 1_000)).await?;
                Some(number + 1_000)
            }
        };
        let changed = tokio::time::Instant::now();
        loop {
            let age = changed.elapsed();
            let found = other.retrieve_recent(&key).await?;
            if found.as_ref().map(|found| number_of(&found.data)) == expected.map(Some) {
                break;
            }
            let sees = format!(
                "a recent read that begins {age:?} after a change through another handle sees it, as the driver claims a \
                 staleness of {staleness:?}"
            );
            ensure(age <= staleness, sees, &found)?;
            nap(staleness / 50).await;
        }
    }
    Ok(())
}
