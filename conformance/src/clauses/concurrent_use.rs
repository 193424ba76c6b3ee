//! Level concurrent, continued: histories, dropped calls, closing, and late writers.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::common::*;
use crate::harness::Kind;
use crate::history::{Mix, Op, Player, Recorder};
use crate::linear;
use crate::testing::poll_once;

pub(crate) async fn c11_histories_are_linearizable(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    for round in 0..stage.amount(12, 200) as u64 {
        history(stage, std::slice::from_ref(&driver), round, 50).await?;
    }
    Ok(())
}

/// Lets six tasks do `length` random operations each on three keys through `handles`, and looks for an order that
/// explains all answers.
pub(crate) async fn history(stage: &Stage, handles: &[DynDriver], round: u64, length: usize) -> Check {
    let keys = stage.keys(&format!("history-{round}"), 3);
    let recorder = Arc::new(Recorder::default());
    let horizon = stage.later().as_millis();
    let shared = (handles.to_vec(), keys.clone(), Arc::clone(&recorder));
    let crowd = Crowd::start(6, shared, |task, (handles, keys, recorder)| {
        let rng = stage.rng(round * 64 + task);
        async move {
            let driver = handles[task as usize % handles.len()].clone();
            let mut player = Player::new(driver, keys, recorder, rng, horizon);
            for _ in 0..length {
                player.play(Mix::All).await?;
                if player.rng.u64(..4) == 0 {
                    tokio::task::yield_now().await;
                }
            }
            Ok(())
        }
    });
    crowd.join().await?;
    for (index, key) in keys.iter().enumerate() {
        recorder.perform(&handles[0], index, key, Op::Retrieve).await?;
    }
    linear::check(&[None; 3], &recorder.calls())
}

pub(crate) async fn c12_read_after_write_is_fresh(stage: &Stage) -> Check {
    let (driver, key) = stage.open_one().await?;
    put(&driver, &key, &record(0)).await?;
    let written = Arc::new(AtomicU64::new(0));
    type Shared = (DynDriver, Key, Arc<AtomicU64>);
    let read = |_, _, (driver, key, written): Shared| async move {
        let before = written.load(Ordering::SeqCst);
        let found = patiently(|| driver.retrieve(&key)).await?;
        let number = found.and_then(|found| number_of(&found.data));
        let sees = format!("a read that begins after store {before} sees it or a later one");
        ensure(number >= Some(before), sees, format_args!("store {number:?}"))
    };
    amid(3, (driver.clone(), key.clone(), Arc::clone(&written)), read, async {
        for number in 1..=stage.amount(200, 10_000) as u64 {
            set(&driver, &key, &record(number)).await?;
            written.store(number, Ordering::SeqCst);
            tokio::task::yield_now().await;
        }
        Ok(())
    })
    .await
}

pub(crate) async fn c13_traversal_survives_concurrent_changes(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let stable = stage.keys("stable", 80);
    put_all(&driver, &stable, &record(1)).await?;
    let changes = Arc::new(AtomicU64::new(0));
    let names: Vec<Vec<Key>> = (0..3).map(|task| stage.keys(&format!("s{task}"), 60)).collect();
    let seed = stage.rng(0).u64(..);
    type Shared = (DynDriver, Vec<Vec<Key>>, Arc<AtomicU64>);
    let change = move |task, turn, (driver, names, changes): Shared| async move {
        let mut rng = fastrand::Rng::with_seed(seed ^ (turn << 2 | task));
        let key = &names[task as usize][rng.usize(..60)];
        if rng.bool() {
            set(&driver, key, &record(1)).await?;
        } else {
            // Another task may have removed it first.
            let _ = patiently(|| driver.remove(key, Condition::Any)).await?;
        }
        changes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    amid(3, (driver.clone(), names, Arc::clone(&changes)), change, async {
        for _ in 0..stage.amount(8, 100) {
            walk_among_changes(&driver, &stable, &changes).await?;
        }
        Ok(())
    })
    .await
}

async fn walk_among_changes(driver: &DynDriver, stable: &[Key], changes: &AtomicU64) -> Check {
    let mut found = HashSet::new();
    let mut from = Cursor::start();
    for _ in 0..10_000 {
        let before = changes.load(Ordering::Relaxed);
        let page = patiently(|| driver.traverse(&Prefix::SESSION, from.clone(), 11)).await?;
        found.extend(page.entries.into_iter().map(|entry| entry.key));
        let Some(next) = page.next else {
            let missing: Vec<&Key> = stable.iter().filter(|key| !found.contains(*key)).collect();
            let all = "a traversal reports every key that stays stored";
            return ensure(missing.is_empty(), all, format_args!("it left out {:?}", shown(missing)));
        };
        from = next;
        // Waits for a change between two pages, also on a busy machine. The crowd reports failed writers later.
        for _ in 0..2_000 {
            if changes.load(Ordering::Relaxed) > before {
                break;
            }
            nap(Duration::from_millis(1)).await;
        }
    }
    Err(unmet("the traversal ends", "still more after 10,000 pages"))
}

pub(crate) async fn c14_dropped_calls_hold_nothing_up(stage: &Stage) -> Check {
    let (driver, key) = stage.open_one().await?;
    for round in 0..stage.amount(15, 150) as u64 {
        let crowd: Crowd<()> = Crowd::start(8, (driver.clone(), key.clone()), |task, (driver, key)| {
            let mut rng = stage.rng(round * 8 + task);
            async move {
                loop {
                    let number = rng.u64(..);
                    // Overload, also an error, is no concern here: calls after these ones must succeed.
                    let _ = driver.store(&key, record(number), Condition::Any).await;
                    let _ = driver.touch(&key, touching(number, number ^ 1, None)).await;
                    let _ = driver.remove(&key, Condition::Revision(rev(number ^ 1))).await;
                    tokio::task::yield_now().await;
                }
            }
        });
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_micros(stage.rng(round).u64(..1_500))).await;
        crowd.abort().await?;
        let calls = async {
            put(&driver, &key, &record(1)).await?;
            holds(&driver, &key, &record(1), "a record stored after calls were dropped").await
        };
        let answered = tokio::time::timeout(Duration::from_secs(10), calls).await;
        answered.map_err(|_| unmet("a call after dropped ones is answered", "no answer for 10 s"))??;
    }
    for round in 0..stage.amount(10, 100) {
        dropped_comes_first_or_never(&driver, &key, 1 + round % 4).await?;
    }
    Ok(())
}

/// Drops a store after a few polls. It must take effect before the next change of the key, or not at all.
async fn dropped_comes_first_or_never(driver: &DynDriver, key: &Key, polls: usize) -> Check {
    let mut call = Box::pin(driver.store(key, record(1), Condition::Any));
    for _ in 0..polls {
        if poll_once(call.as_mut()).is_some() {
            break;
        }
        tokio::task::yield_now().await;
    }
    drop(call);
    // The dropped store took effect, or it did not.
    let _ = patiently(|| driver.remove(key, Condition::Any)).await?;
    absent(driver, key, "after a removal that follows a dropped store").await?;
    nap(Duration::from_millis(5)).await;
    absent(driver, key, "some time after a removal that follows a dropped store").await
}

pub(crate) async fn c15_keys_do_not_conflict(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let crowd = Crowd::start(12, (driver, stage.keys("own", 12)), |task, (driver, keys)| async move {
        let mut when = Condition::Absent;
        for number in 0..40 {
            let own = record(task * 1_000 + number);
            let answer = patiently(|| driver.store(&keys[task as usize], own.clone(), when)).await?;
            ensure(answer.is_applied(), "no conflict on a key with one writer", &answer)?;
            when = Condition::Revision(own.revision);
            tokio::task::yield_now().await;
        }
        Ok(())
    });
    crowd.join().await.map(drop)
}

pub(crate) async fn c16_handle_works_in_any_runtime(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let mut threads = Vec::new();
    for number in 0..4_u64 {
        let (driver, key) = (driver.clone(), stage.key(&format!("thread-{number}")));
        threads.push(std::thread::spawn(move || -> Check {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime =
                runtime.map_err(|cause| Failure::Harness(format!("cannot build a runtime: {cause}")))?;
            runtime.block_on(async {
                for turn in 0..10 {
                    let own = record(number * 100 + turn);
                    set(&driver, &key, &own).await?;
                    holds(&driver, &key, &own, "on a thread with a runtime of its own").await?;
                }
                Ok(())
            })
        }));
    }
    let joined = tokio::task::spawn_blocking(move || {
        threads.into_iter().map(std::thread::JoinHandle::join).collect::<Vec<_>>()
    });
    for result in joined.await.map_err(|cause| unmet("no panic on another thread", cause))? {
        result.map_err(|_| unmet("no panic on another thread", "a panic"))??;
    }
    for number in 0..4_u64 {
        let key = stage.key(&format!("thread-{number}"));
        holds(&driver, &key, &record(number * 100 + 9), "after those runtimes are gone").await?;
    }
    Ok(())
}

pub(crate) async fn c17_close_lets_running_calls_finish(stage: &Stage) -> Check {
    for round in 0..stage.amount(6, 60) as u64 {
        let fresh = stage.fresh(Kind::Plain).await?;
        let driver = fresh.open().await?;
        let shared = (driver.clone(), stage.keys("key", 6));
        let crowd = Crowd::start(6, shared, |task, (driver, keys)| async move {
            let key = &keys[task as usize];
            for number in 0..100_000 {
                let stored = driver.store(key, record(number), Condition::Any).await.map(drop);
                let read = driver.retrieve(key).await.map(drop);
                for answer in [stored, read] {
                    match answer {
                        Err(error) if error.kind() == StoreErrorKind::Closed => return Ok(()),
                        Err(error) if !error.is_retryable() => return Err(error.into()),
                        _ => {}
                    }
                }
                tokio::task::yield_now().await;
            }
            Err(unmet("a call after close is Closed", "100,000 more calls and none was"))
        });
        tokio::time::sleep(Duration::from_micros(200 + stage.rng(round).u64(..3_000))).await;
        driver.close().await?;
        crowd.join().await?;
    }
    Ok(())
}

pub(crate) async fn c18_store_at_old_revision_never_succeeds(stage: &Stage) -> Check {
    let (driver, key) = stage.open_one().await?;
    put(&driver, &key, &record(0)).await?;
    let newest = Arc::new(AtomicU64::new(0));
    type Shared = (DynDriver, Key, Arc<AtomicU64>);
    let store_late = |task, _, (driver, key, newest): Shared| async move {
        let Some(before) = newest.load(Ordering::SeqCst).checked_sub(1) else { return Ok(()) };
        let stale = Record::new(payload(1 << 40), None, rev(u64::MAX - task));
        let at = Condition::Revision(rev(before));
        let answer = patiently(|| driver.store(&key, stale.clone(), at)).await?;
        ensure(!answer.is_applied(), "a store at an old revision conflicts", &answer)
    };
    amid(3, (driver.clone(), key.clone(), Arc::clone(&newest)), store_late, async {
        for number in 1..=stage.amount(150, 5_000) as u64 {
            let at = Condition::Revision(rev(number - 1));
            let answer = patiently(|| driver.store(&key, record(number), at)).await?;
            ensure(answer.is_applied(), "the only chain of stores continues", &answer)?;
            newest.store(number, Ordering::SeqCst);
            tokio::task::yield_now().await;
        }
        Ok(())
    })
    .await
}
