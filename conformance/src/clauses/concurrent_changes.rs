//! Level concurrent: many tasks on one handle race for one record. `concurrent_use.rs` has the rest.

use crate::common::*;

pub(crate) async fn c01_compare_and_swap_loses_no_update(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    count_up(stage, vec![driver], 8, stage.amount(40, 400) as u64).await
}

pub(crate) async fn c19_store_over_loses_no_update(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    // Beside callers of `store`.
    let by = |task| if task % 4 == 0 { By::Store } else { By::StoreOver };
    count_up_by(by, stage, vec![driver], 8, stage.amount(40, 400) as u64).await
}

/// `tasks` tasks add `times` each to one counter through `handles`; the sum must be right.
pub(crate) async fn count_up(stage: &Stage, handles: Vec<DynDriver>, tasks: u64, times: u64) -> Check {
    count_up_by(|_| By::Store, stage, handles, tasks, times).await
}

async fn count_up_by(
    by: impl Fn(u64) -> By,
    stage: &Stage,
    handles: Vec<DynDriver>,
    tasks: u64,
    times: u64,
) -> Check {
    let key = stage.key("counter");
    let shared = (key.clone(), handles.clone());
    let crowd = Crowd::start(tasks, shared, |task, (key, handles)| {
        let (by, mut rng) = (by(task), stage.rng(task));
        async move {
            for _ in 0..times {
                let handle = &handles[task as usize % handles.len()];
                increment_by(by, handle, &key, || rng.u64(..)).await?;
            }
            Ok(())
        }
    });
    crowd.join().await?;
    let counted = counted(&handles[0], &key).await?;
    equal("the counter after all increments", &counted, &(tasks * times))
}

/// The number in the counter under `key`.
pub(crate) async fn counted(driver: &DynDriver, key: &Key) -> Result<u64, Failure> {
    let found = driver.retrieve(key).await?;
    count_in(&found.ok_or_else(|| unmet("the counter is stored after the increments", "no record"))?)
}

pub(crate) async fn c02_one_of_many_creators_wins(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    for round in 0..stage.amount(25, 400) as u64 {
        let key = stage.key(&format!("created-{round}"));
        let crowd = Crowd::start(8, (driver.clone(), key.clone()), |task, (driver, key)| async move {
            let own = record(round * 8 + task + 1);
            Ok((own.clone(), patiently(|| driver.store(&key, own.clone(), Condition::Absent)).await?))
        });
        let answers: Vec<(Record, Change)> = crowd.join().await?;
        let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|(_, answer)| answer.is_applied());
        let [(winner, _)] = won[..] else {
            return Err(unmet(
                "one of eight stores when absent is `Applied`",
                format!("{} of them are", won.len()),
            ));
        };
        holds(&driver, &key, winner, "after the race").await?;
        for (_, answer) in lost {
            conflict(answer, Some(winner), "losing the race")?;
        }
    }
    Ok(())
}

pub(crate) async fn c03_one_of_many_removers_wins(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    for round in 0..stage.amount(25, 400) {
        let key = stage.key(&format!("removed-{round}"));
        put(&driver, &key, &record(1)).await?;
        let crowd = Crowd::start(8, (driver.clone(), key.clone()), |_, (driver, key)| async move {
            patiently(|| driver.remove(&key, Condition::Any)).await
        });
        let (won, lost): (Vec<_>, Vec<_>) = crowd.join().await?.into_iter().partition(Change::is_applied);
        equal("the number of eight removers whose answer was `Applied`", &won.len(), &1)?;
        for answer in lost {
            conflict(&answer, None, "coming too late to remove")?;
        }
        absent(&driver, &key, "after the removal").await?;
    }
    Ok(())
}

pub(crate) async fn c04_one_change_per_revision_wins(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let at = Condition::Revision(rev(1));
    for round in 0..stage.amount(40, 600) {
        let key = stage.key(&format!("raced-{round}"));
        put(&driver, &key, &record(1)).await?;
        let crowd = Crowd::start(6, (driver.clone(), key.clone()), |task, (driver, key)| async move {
            match task % 2 {
                0 => patiently(|| driver.remove(&key, at)).await,
                _ => patiently(|| driver.store(&key, record(task + 2), at)).await,
            }
        });
        let answers = crowd.join().await?;
        let winners = answers.iter().filter(|answer| answer.is_applied()).count();
        equal("how many of six changes at one revision happened", &winners, &1)?;
        let left = driver.retrieve(&key).await?.is_some();
        let stored = answers.iter().skip(1).step_by(2).any(Change::is_applied);
        equal(
            "whether a record is left: true if a store was applied, false if a removal was",
            &left,
            &stored,
        )?;
    }
    Ok(())
}

pub(crate) async fn c05_readers_see_whole_records(stage: &Stage) -> Check {
    let (driver, key) = stage.open_one().await?;
    put(&driver, &key, &record(7)).await?;
    let reads = stage.amount(400, 8_000);
    let shared = (driver, key);
    let write = |task, turn, (driver, key): (DynDriver, Key)| async move {
        set(&driver, &key, &record(turn * 3 + task)).await
    };
    let readers = |_, (driver, key): (DynDriver, Key)| async move {
        for _ in 0..reads {
            let found = patiently(|| driver.retrieve(&key)).await?;
            whole(
                &found
                    .ok_or_else(|| unmet("a record that is replaced is there all the time", "no record"))?,
            )?;
            tokio::task::yield_now().await;
        }
        Ok(())
    };
    let work = async { Crowd::start(3, shared.clone(), readers).join().await.map(drop) };
    amid(3, shared.clone(), write, work).await
}

/// Fails unless the record's data and revision belong together.
pub(crate) fn whole(found: &Record) -> Check {
    let number = number_of(&found.data);
    let right = number.map(rev) == Some(found.revision);
    let actual = format_args!("the data of store {number:?} in {found:?}");
    ensure(right, "data and revision come from one store", actual)
}

pub(crate) async fn c06_readers_see_none_or_whole(stage: &Stage) -> Check {
    let (driver, key) = stage.open_one().await?;
    let read = |_, _, (driver, key): (DynDriver, Key)| async move {
        let found = patiently(|| driver.retrieve(&key)).await?;
        found.as_ref().map_or(Ok(()), whole)
    };
    let mut rng = stage.rng(1);
    amid(3, (driver.clone(), key.clone()), read, async {
        for _ in 0..stage.amount(300, 6_000) {
            set(&driver, &key, &record(rng.u64(..))).await?;
            tokio::task::yield_now().await;
            // A retried removal may find that the first try took effect.
            let _ = patiently(|| driver.remove(&key, Condition::Any)).await?;
        }
        Ok(())
    })
    .await
}

pub(crate) async fn c07_touch_never_reverts_a_store(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let (later, at) = (stage.later(), Condition::Revision(rev(1)));
    for round in 0..stage.amount(60, 1_000) {
        let key = stage.key(&format!("touched-{round}"));
        put(&driver, &key, &record(1)).await?;
        let crowd = Crowd::start(6, (driver.clone(), key.clone()), |task, (driver, key)| async move {
            match task {
                3 => Ok(patiently(|| driver.store(&key, record(2), at)).await?.is_applied()),
                _ => patiently(|| driver.touch(&key, touching(1, task + 10, Some(later)))).await,
            }
        });
        let answers = crowd.join().await?;
        let winners = answers.iter().filter(|done| **done).count();
        equal("how many of a store and five touches at one revision happened", &winners, &1)?;
        let Some(found) = driver.retrieve(&key).await? else {
            return Err(unmet("the record is stored after a store and touches", "no record"));
        };
        let expected = if answers[3] { 2 } else { 1 };
        equal(
            "the number in the data: 2 if the store was applied, 1 if a touch was",
            &number_of(&found.data),
            &Some(expected),
        )?;
    }
    Ok(())
}

pub(crate) async fn c08_touch_never_revives_a_removed_record(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let later = stage.later();
    for round in 0..stage.amount(60, 1_000) {
        let key = stage.key(&format!("ended-{round}"));
        put(&driver, &key, &record(1)).await?;
        let crowd = Crowd::start(5, (driver.clone(), key.clone()), |task, (driver, key)| async move {
            match task {
                2 => Ok(patiently(|| driver.remove(&key, Condition::Any)).await?.is_applied()),
                _ => patiently(|| driver.touch(&key, touching(1, task + 10, Some(later)))).await,
            }
        });
        equal("whether the removal was `Applied`", &crowd.join().await?[2], &true)?;
        absent(&driver, &key, "after a removal among touches").await?;
    }
    Ok(())
}

pub(crate) async fn c09_purge_rechecks_before_removal(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    for round in 0..stage.amount(12, 150) as u64 {
        let deadline = stage.soon();
        let keys = stage.keys("again", 30);
        put_all(&driver, &keys, &expiring(1, deadline)).await?;
        stage.set(deadline);
        let purgers = Crowd::start(2, driver.clone(), |_, driver| async move { purge_all(&driver, 8).await });
        let writers = Crowd::start(30, (driver.clone(), keys.clone()), |task, (driver, keys)| async move {
            set(&driver, &keys[task as usize], &record(round + 10)).await
        });
        writers.join().await?;
        purgers.join().await?;
        hold_all(&driver, &keys, &record(round + 10), "a record stored while a purge ran").await?;
    }
    Ok(())
}

pub(crate) async fn c10_concurrent_purges_count_once(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    for round in 0..stage.amount(6, 60) {
        let deadline = stage.soon();
        put_all(&driver, &stage.keys(&format!("old-{round}"), 80), &expiring(1, deadline)).await?;
        stage.set(deadline);
        let crowd = Crowd::start(5, driver.clone(), |_, driver| async move { purge_all(&driver, 9).await });
        let total: u64 = crowd.join().await?.iter().sum();
        let rest = driver.purge(1_000).await?.removed;
        equal("the sum of five purges, of 80", &(total + rest), &80)?;
    }
    Ok(())
}
