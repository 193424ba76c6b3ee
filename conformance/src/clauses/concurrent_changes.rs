//! Level concurrent: many tasks on one handle race for one record. `concurrent_use.rs` has the rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use session_core::{Change, Condition, Driver, DynDriver, Key, Record};

use crate::common::{
    Crowd, absent, conflict, count_in, expiring, holds, increment, number_of, patiently, put, record, rev,
    set, touching,
};
use crate::failure::{Check, ensure, equal, unmet};
use crate::stage::Stage;

pub(crate) async fn c01_compare_and_swap_loses_no_update(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    count_up(stage, vec![driver], 8, stage.amount(40, 400) as u64).await
}

/// `tasks` tasks add `times` each to one counter through `handles`; the sum must be right.
pub(crate) async fn count_up(stage: &Stage, handles: Vec<DynDriver>, tasks: u64, times: u64) -> Check {
    let key = stage.key("counter");
    let mut crowd = Crowd::new();
    for task in 0..tasks {
        let driver = handles[task as usize % handles.len()].clone();
        let (key, mut rng) = (key.clone(), stage.rng(task));
        crowd.add(async move {
            for _ in 0..times {
                increment(&driver, &key, || rng.u64(..)).await?;
            }
            Ok(())
        });
    }
    crowd.join().await?;
    let Some(found) = handles[0].retrieve(&key).await? else {
        return Err(unmet("the counter is there", "no record"));
    };
    equal("the counter after all increments", &count_in(&found)?, &(tasks * times))
}

pub(crate) async fn c02_one_of_many_creators_wins(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    for round in 0..stage.amount(25, 400) {
        let key = stage.key(&format!("created-{round}"));
        let mut crowd = Crowd::new();
        for task in 0..8_u64 {
            let (driver, key) = (driver.clone(), key.clone());
            crowd.add(async move {
                let own = record(round as u64 * 8 + task + 1);
                Ok((own.clone(), patiently(|| driver.store(&key, own.clone(), Condition::Absent)).await?))
            });
        }
        one_winner(crowd.join().await?, &driver, &key).await?;
    }
    Ok(())
}

async fn one_winner(answers: Vec<(Record, Change)>, driver: &DynDriver, key: &Key) -> Check {
    let winners: Vec<&Record> =
        answers.iter().filter(|(_, answer)| answer.is_applied()).map(|(own, _)| own).collect();
    let [winner] = winners[..] else {
        return Err(unmet("one winner", format!("{} winners", winners.len())));
    };
    holds(driver, key, winner, "after the race").await?;
    for (_, answer) in answers.iter().filter(|(_, answer)| !answer.is_applied()) {
        conflict(answer, Some(winner), "losing the race")?;
    }
    Ok(())
}

pub(crate) async fn c03_one_of_many_removers_wins(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    for round in 0..stage.amount(25, 400) {
        let key = stage.key(&format!("removed-{round}"));
        put(&driver, &key, &record(1)).await?;
        let mut crowd = Crowd::new();
        for _ in 0..8 {
            let (driver, key) = (driver.clone(), key.clone());
            crowd.add(async move { patiently(|| driver.remove(&key, Condition::Any)).await });
        }
        let answers = crowd.join().await?;
        let removed = answers.iter().filter(|answer| answer.is_applied()).count();
        equal("the number of eight removers whose answer was `Applied`", &removed, &1)?;
        for answer in answers.iter().filter(|answer| !answer.is_applied()) {
            conflict(answer, None, "coming too late to remove")?;
        }
        absent(&driver, &key, "after the removal").await?;
    }
    Ok(())
}

pub(crate) async fn c04_one_change_per_revision_wins(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    for round in 0..stage.amount(40, 600) {
        let key = stage.key(&format!("raced-{round}"));
        put(&driver, &key, &record(1)).await?;
        let mut crowd = Crowd::new();
        for task in 0..6_u64 {
            let (driver, key) = (driver.clone(), key.clone());
            crowd.add(async move {
                let at = Condition::Revision(rev(1));
                if task % 2 == 0 {
                    patiently(|| driver.remove(&key, at)).await
                } else {
                    patiently(|| driver.store(&key, record(task + 2), at)).await
                }
            });
        }
        let answers = crowd.join().await?;
        let winners = answers.iter().filter(|answer| answer.is_applied()).count();
        equal("how many of six changes at one revision happened", &winners, &1)?;
        let left = driver.retrieve(&key).await?.is_some();
        let stored = answers.iter().skip(1).step_by(2).any(Change::is_applied);
        equal("whether a record is left, as the winner says", &left, &stored)?;
    }
    Ok(())
}

pub(crate) async fn c05_readers_see_whole_records(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let key = stage.key("one");
    put(&driver, &key, &record(7)).await?;
    let reads = stage.amount(400, 8_000);
    let done = Arc::new(AtomicBool::new(false));
    let mut writers = Crowd::new();
    for task in 0..3_u64 {
        let (driver, key, done, mut rng) = (driver.clone(), key.clone(), Arc::clone(&done), stage.rng(task));
        writers.add(async move {
            while !done.load(Ordering::Relaxed) {
                let number = rng.u64(..);
                set(&driver, &key, &record(number)).await?;
                tokio::task::yield_now().await;
            }
            Ok(())
        });
    }
    let mut readers = Crowd::new();
    for _ in 0..3 {
        let (driver, key) = (driver.clone(), key.clone());
        readers.add(async move {
            for _ in 0..reads {
                let found = patiently(|| driver.retrieve(&key)).await?;
                whole(found.as_ref())?;
                tokio::task::yield_now().await;
            }
            Ok(())
        });
    }
    let result = readers.join().await;
    done.store(true, Ordering::Relaxed);
    writers.join().await?;
    result.map(drop)
}

/// Fails unless the record is there and its data and revision belong together.
fn whole(found: Option<&Record>) -> Check {
    let Some(found) = found else {
        return Err(unmet("a record that is replaced is there all the time", "no record"));
    };
    let number = number_of(&found.data);
    ensure(
        number.is_some_and(|number| found.revision == rev(number)),
        "data and revision of one store",
        || format!("data of {number:?} in {found:?}"),
    )
}

pub(crate) async fn c06_readers_see_none_or_whole(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let key = stage.key("one");
    let rounds = stage.amount(300, 6_000);
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = Crowd::new();
    for _ in 0..3 {
        let (driver, key, done) = (driver.clone(), key.clone(), Arc::clone(&done));
        readers.add(async move {
            while !done.load(Ordering::Relaxed) {
                if let Some(found) = patiently(|| driver.retrieve(&key)).await? {
                    whole(Some(&found))?;
                }
                tokio::task::yield_now().await;
            }
            Ok(())
        });
    }
    let mut rng = stage.rng(1);
    let mut result = Ok(());
    for _ in 0..rounds {
        let own = record(rng.u64(..));
        result = async {
            set(&driver, &key, &own).await?;
            tokio::task::yield_now().await;
            patiently(|| driver.remove(&key, Condition::Any)).await.map(drop)
        }
        .await;
        if result.is_err() {
            break;
        }
    }
    done.store(true, Ordering::Relaxed);
    readers.join().await?;
    result
}

pub(crate) async fn c07_touch_never_reverts_a_store(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let later = stage.later();
    for round in 0..stage.amount(60, 1_000) {
        let key = stage.key(&format!("touched-{round}"));
        put(&driver, &key, &record(1)).await?;
        let mut crowd = Crowd::new();
        for task in 0..6_u64 {
            let (driver, key) = (driver.clone(), key.clone());
            crowd.add(async move {
                let at = Condition::Revision(rev(1));
                if task == 3 {
                    return Ok(patiently(|| driver.store(&key, record(2), at)).await?.is_applied());
                }
                patiently(|| driver.touch(&key, touching(1, task + 10, Some(later)))).await
            });
        }
        let answers = crowd.join().await?;
        let winners = answers.iter().filter(|done| **done).count();
        equal("how many of a store and five touches at one revision happened", &winners, &1)?;
        let Some(found) = driver.retrieve(&key).await? else {
            return Err(unmet("the record is there", "no record"));
        };
        let expected = if answers[3] { 2 } else { 1 };
        equal("whose data is there", &number_of(&found.data), &Some(expected))?;
    }
    Ok(())
}

pub(crate) async fn c08_touch_never_revives_a_removed_record(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let later = stage.later();
    for round in 0..stage.amount(60, 1_000) {
        let key = stage.key(&format!("ended-{round}"));
        put(&driver, &key, &record(1)).await?;
        let mut crowd = Crowd::new();
        for task in 0..5_u64 {
            let (driver, key) = (driver.clone(), key.clone());
            crowd.add(async move {
                if task == 2 {
                    return Ok(patiently(|| driver.remove(&key, Condition::Any)).await?.is_applied());
                }
                patiently(|| driver.touch(&key, touching(1, task + 10, Some(later)))).await
            });
        }
        let answers = crowd.join().await?;
        equal("whether the removal found the record", &answers[2], &true)?;
        absent(&driver, &key, "after a removal among touches").await?;
    }
    Ok(())
}

pub(crate) async fn c09_purge_rechecks_before_removal(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    for round in 0..stage.amount(12, 150) {
        let deadline = stage.soon();
        let keys: Vec<Key> = (0..30).map(|number| stage.key(&format!("again-{number}"))).collect();
        for key in &keys {
            put(&driver, key, &expiring(1, deadline)).await?;
        }
        stage.set(deadline);
        let mut purgers = Crowd::new();
        for _ in 0..2 {
            let driver = driver.clone();
            purgers.add(async move {
                while patiently(|| driver.purge(8)).await?.more {}
                Ok(())
            });
        }
        let mut writers = Crowd::new();
        for key in keys.clone() {
            let driver = driver.clone();
            writers.add(async move {
                let fresh = record(round as u64 + 10);
                set(&driver, &key, &fresh).await
            });
        }
        writers.join().await?;
        purgers.join().await?;
        for key in &keys {
            holds(&driver, key, &record(round as u64 + 10), "a record stored while a purge ran").await?;
        }
    }
    Ok(())
}

pub(crate) async fn c10_concurrent_purges_count_once(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    for round in 0..stage.amount(6, 60) {
        let deadline = stage.soon();
        for number in 0..80 {
            put(&driver, &stage.key(&format!("old-{round}-{number}")), &expiring(1, deadline)).await?;
        }
        stage.set(deadline);
        let mut crowd = Crowd::new();
        for _ in 0..5 {
            let driver = driver.clone();
            crowd.add(async move {
                let mut total = 0;
                for _ in 0..1_000 {
                    let purged = patiently(|| driver.purge(9)).await?;
                    total += purged.removed;
                    if !purged.more {
                        return Ok(total);
                    }
                    tokio::task::yield_now().await;
                }
                Err(unmet("purging ends", "still more after 1,000 purges"))
            });
        }
        let total: u64 = crowd.join().await?.iter().sum();
        let rest = driver.purge(1_000).await?.removed;
        equal("the sum of five purges, of 80", &(total + rest), &80)?;
    }
    Ok(())
}
