//! Level concurrent, continued: histories, dropped calls, closing, and late writers.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use session_core::{Condition, Cursor, Driver, DynDriver, Key, Prefix, Record, StoreErrorKind};

use crate::common::{
    Crowd, absent, holds, nap, number_of, patiently, payload, put, record, rev, set, shown, touching,
};
use crate::failure::{Check, Failure, ensure, unmet};
use crate::history::{Mix, Op, Rec, Recorder, pick, seen_after};
use crate::linear;
use crate::stage::Stage;
use crate::testing::poll_once;

pub(crate) async fn c11_histories_are_linearizable(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    for round in 0..stage.amount(12, 200) as u64 {
        history(stage, std::slice::from_ref(&driver), round, 6, 50).await?;
    }
    Ok(())
}

/// Lets `tasks` tasks do `length` random operations each on three keys through `handles`, and looks for an order that
/// explains all answers.
pub(crate) async fn history(
    stage: &Stage,
    handles: &[DynDriver],
    round: u64,
    tasks: u64,
    length: usize,
) -> Check {
    let keys: Vec<Key> = (0..3).map(|number| stage.key(&format!("history-{round}-{number}"))).collect();
    let recorder = Arc::new(Recorder::default());
    let horizon = stage.later().as_millis();
    let mut crowd = Crowd::new();
    for task in 0..tasks {
        let driver = handles[task as usize % handles.len()].clone();
        let (keys, recorder, mut rng) = (keys.clone(), Arc::clone(&recorder), stage.rng(round * 64 + task));
        crowd.add(async move {
            let mut seen: [Option<Rec>; 3] = [None; 3];
            for _ in 0..length {
                let index = rng.u64(..3) as usize;
                let op = pick(Mix::All, &mut rng, seen[index], horizon);
                let answer = recorder.perform(&driver, index, &keys[index], op).await?;
                seen[index] = seen_after(seen[index], op, answer);
                if rng.u64(..4) == 0 {
                    tokio::task::yield_now().await;
                }
            }
            Ok(())
        });
    }
    crowd.join().await?;
    for (index, key) in keys.iter().enumerate() {
        recorder.perform(&handles[0], index, key, Op::Retrieve).await?;
    }
    linear::check(&[None; 3], &recorder.calls())
}

pub(crate) async fn c12_read_after_write_is_fresh(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let key = stage.key("one");
    put(&driver, &key, &record(0)).await?;
    let written = Arc::new(AtomicU64::new(0));
    let total = stage.amount(200, 10_000) as u64;
    let mut crowd = Crowd::new();
    {
        let (driver, key, written) = (driver.clone(), key.clone(), Arc::clone(&written));
        crowd.add(async move {
            for number in 1..=total {
                set(&driver, &key, &record(number)).await?;
                written.store(number, Ordering::SeqCst);
                tokio::task::yield_now().await;
            }
            Ok(())
        });
    }
    for _ in 0..3 {
        let (driver, key, written) = (driver.clone(), key.clone(), Arc::clone(&written));
        crowd.add(async move {
            loop {
                let before = written.load(Ordering::SeqCst);
                let found = patiently(|| driver.retrieve(&key)).await?;
                let number = found.and_then(|found| number_of(&found.data));
                ensure(number >= Some(before), format!("store {before} or a later one"), || {
                    format!("{number:?}")
                })?;
                if before == total {
                    return Ok(());
                }
                tokio::task::yield_now().await;
            }
        });
    }
    crowd.join().await.map(drop)
}

pub(crate) async fn c13_traversal_survives_concurrent_changes(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let stable: Vec<Key> = (0..80).map(|number| stage.key(&format!("stable-{number}"))).collect();
    for key in &stable {
        put(&driver, key, &record(1)).await?;
    }
    let done = Arc::new(AtomicBool::new(false));
    let changes = Arc::new(AtomicU64::new(0));
    let mut writers = Crowd::new();
    for task in 0..3_u64 {
        let (driver, done, changes) = (driver.clone(), Arc::clone(&done), Arc::clone(&changes));
        let mut rng = stage.rng(task);
        let names: Vec<Key> = (0..60).map(|number| stage.key(&format!("s{task}-{number}"))).collect();
        writers.add(async move {
            while !done.load(Ordering::Relaxed) {
                let key = &names[rng.u64(..60) as usize];
                if rng.u64(..2) == 0 {
                    set(&driver, key, &record(1)).await?;
                } else {
                    let _ = patiently(|| driver.remove(key, Condition::Any)).await?;
                }
                changes.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
            Ok(())
        });
    }
    let mut result = Ok(());
    for _ in 0..stage.amount(8, 100) {
        result = walk_among_changes(&driver, &stable, &changes).await;
        if result.is_err() {
            break;
        }
    }
    done.store(true, Ordering::Relaxed);
    writers.join().await?;
    result
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
            return ensure(missing.is_empty(), "all lasting keys", || format!("missing: {}", shown(missing)));
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
    let driver = stage.open().await?;
    let key = stage.key("counter");
    for round in 0..stage.amount(15, 150) as u64 {
        let mut tasks = Vec::new();
        for task in 0..8_u64 {
            let (driver, key, mut rng) = (driver.clone(), key.clone(), stage.rng(round * 8 + task));
            tasks.push(tokio::spawn(async move {
                loop {
                    let number = rng.u64(..);
                    let _ = driver.store(&key, record(number), Condition::Any).await;
                    let _ = driver.touch(&key, touching(number, number ^ 1, None)).await;
                    let _ = driver.remove(&key, Condition::Revision(rev(number ^ 1))).await;
                    tokio::task::yield_now().await;
                }
            }));
        }
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_micros(stage.rng(round).u64(..1_500))).await;
        for task in &tasks {
            task.abort();
        }
        for task in tasks {
            match task.await {
                Err(cause) if cause.is_panic() => return Err(unmet("no panic", cause)),
                _ => {}
            }
        }
        let calls = async {
            put(&driver, &key, &record(1)).await?;
            holds(&driver, &key, &record(1), "a record stored after calls were dropped").await
        };
        match tokio::time::timeout(Duration::from_secs(10), calls).await {
            Ok(result) => result?,
            Err(_) => return Err(unmet("a call after dropped ones is answered", "no answer for 10 s")),
        }
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
    let _ = patiently(|| driver.remove(key, Condition::Any)).await?;
    absent(driver, key, "after a removal that follows a dropped store").await?;
    nap(Duration::from_millis(5)).await;
    absent(driver, key, "some time after a removal that follows a dropped store").await
}

pub(crate) async fn c15_keys_do_not_conflict(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let mut crowd = Crowd::new();
    for task in 0..12_u64 {
        let (driver, key) = (driver.clone(), stage.key(&format!("own-{task}")));
        crowd.add(async move {
            let mut when = Condition::Absent;
            for number in 0..40 {
                let own = record(task * 1_000 + number);
                let answer = patiently(|| driver.store(&key, own.clone(), when)).await?;
                ensure(answer.is_applied(), "no conflict on a key with one writer", || {
                    format!("{answer:?}")
                })?;
                when = Condition::Revision(own.revision);
                tokio::task::yield_now().await;
            }
            Ok(())
        });
    }
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
    for result in joined.await.map_err(|cause| unmet("no panic", cause))? {
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
        let fresh = Stage::new(Arc::clone(&stage.context)).await?;
        let driver = fresh.open().await?;
        let mut crowd = Crowd::new();
        for task in 0..6_u64 {
            let (driver, key) = (driver.clone(), stage.key(&format!("key-{task}")));
            crowd.add(async move {
                for number in 0..100_000 {
                    let stored = driver.store(&key, record(number), Condition::Any).await.map(drop);
                    let read = driver.retrieve(&key).await.map(drop);
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
        }
        tokio::time::sleep(Duration::from_micros(200 + stage.rng(round).u64(..3_000))).await;
        driver.close().await?;
        crowd.join().await?;
    }
    Ok(())
}

pub(crate) async fn c18_store_at_old_revision_never_succeeds(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let key = stage.key("chain");
    put(&driver, &key, &record(0)).await?;
    let newest = Arc::new(AtomicU64::new(0));
    let total = stage.amount(150, 5_000) as u64;
    let mut crowd = Crowd::new();
    {
        let (driver, key, newest) = (driver.clone(), key.clone(), Arc::clone(&newest));
        crowd.add(async move {
            for number in 1..=total {
                let at = Condition::Revision(rev(number - 1));
                let answer = patiently(|| driver.store(&key, record(number), at)).await?;
                ensure(answer.is_applied(), "the only chain of stores continues", || format!("{answer:?}"))?;
                newest.store(number, Ordering::SeqCst);
                tokio::task::yield_now().await;
            }
            Ok(())
        });
    }
    for task in 0..3_u64 {
        let (driver, key, newest) = (driver.clone(), key.clone(), Arc::clone(&newest));
        crowd.add(async move {
            loop {
                let now = newest.load(Ordering::SeqCst);
                if now > 0 {
                    let at = Condition::Revision(rev(now - 1));
                    let stale = Record::new(payload(1 << 40), None, rev(u64::MAX - task));
                    let answer = patiently(|| driver.store(&key, stale.clone(), at)).await?;
                    ensure(!answer.is_applied(), "a store at an old revision conflicts", || {
                        format!("{answer:?}")
                    })?;
                }
                if now == total {
                    return Ok(());
                }
                tokio::task::yield_now().await;
            }
        });
    }
    crowd.join().await.map(drop)
}
