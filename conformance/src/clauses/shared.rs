//! Level shared: many handles and many processes on one store.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use super::concurrent_changes::{self, counted};
use super::concurrent_use;
pub(crate) use super::recent::p14_recent_read_is_as_old_as_claimed;
use crate::child::{Child, calls_in, notes_in};
use crate::common::*;
use crate::harness::Kind;
use crate::history::{Op, Recorder};
use crate::linear;
use crate::role::RoleStage;
use crate::testing::{block_on, forked};

pub(crate) async fn p01_handles_see_changes_at_once(stage: &Stage) -> Check {
    let (one, other) = (stage.open().await?, stage.open().await?);
    let key = stage.key("one");
    absent(&other, &key, "before anything was stored").await?;
    for number in 1..40 {
        let (writer, reader) = if number % 2 == 0 { (&one, &other) } else { (&other, &one) };
        put(writer, &key, &record(number)).await?;
        holds(reader, &key, &record(number), "stored through another handle").await?;
        if number % 5 == 0 {
            yes(&writer.remove(&key, Condition::Any).await?, "a removal")?;
            absent(reader, &key, "removed through another handle").await?;
        }
    }
    Ok(())
}

pub(crate) async fn p02_handles_lose_no_update(stage: &Stage) -> Check {
    let handles = stage.open_many(4).await?;
    concurrent_changes::count_up(stage, handles, 8, stage.amount(25, 250) as u64).await
}

pub(crate) async fn p03_histories_over_handles_are_linearizable(stage: &Stage) -> Check {
    let handles = stage.open_many(3).await?;
    for round in 0..stage.amount(8, 120) as u64 {
        concurrent_use::history(stage, &handles, round, 40).await?;
    }
    Ok(())
}

pub(crate) async fn p04_removed_record_stays_removed_everywhere(stage: &Stage) -> Check {
    let (one, other) = (stage.open().await?, stage.open().await?);
    for round in 0..20 {
        let key = stage.key(&format!("ended-{round}"));
        put(&one, &key, &record(1)).await?;
        holds(&other, &key, &record(1), "seen through the other handle").await?;
        yes(&one.remove(&key, Condition::Any).await?, "a removal")?;
        let answer = other.store(&key, record(2), Condition::Revision(rev(1))).await?;
        conflict(&answer, None, "a store at a revision that another handle has removed")?;
        let done = other.touch(&key, touching(1, 3, Some(stage.later()))).await?;
        equal("a touch of a record that another handle removed", &done, &false)?;
        conflict(&other.remove(&key, Condition::Any).await?, None, "removing it once more")?;
        absent(&one, &key, "after the removal").await?;
    }
    Ok(())
}

pub(crate) async fn p05_cursor_works_on_any_handle(stage: &Stage) -> Check {
    put_all(&stage.open().await?, &stage.keys("key", 50), &record(1)).await?;
    let (mut found, mut pages) = (Vec::new(), Pages::new(8));
    // Each page is read by a handle that has not seen the traversal.
    while let Some(page) = pages.next(&stage.open().await?).await? {
        found.extend(page);
    }
    equal("how many keys all handles together report", &keys_of(&found).len(), &50)?;
    ensure(found.len() <= 100, "about one report per key", format_args!("{} reports", found.len()))
}

pub(crate) async fn p06_processes_share_the_records(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    for round in 0..3 {
        let number = round * 10 + 1;
        put(&driver, &stage.key("one"), &record(number)).await?;
        put(&driver, &stage.key("two"), &record(number)).await?;
        let mut child = stage.started("look", &[]).await?;
        let notes = notes_in(&child.finish().await?);
        equal(
            "what the other process saw: the number in the record that it read, and 1 for a change that was `Applied`",
            &notes,
            &vec![number, 1, 1],
        )?;
        holds(&driver, &stage.key("one"), &record(number + 1), "replaced by the other process").await?;
        absent(&driver, &stage.key("two"), "removed by the other process").await?;
    }
    Ok(())
}

/// Starts `count` children in `role` at once; the last argument of each is its number.
async fn start(stage: &Stage, role: &str, count: u64, args: &[String]) -> Result<Vec<Child>, Failure> {
    let mut children = Vec::new();
    for number in 0..count {
        let own: Vec<String> = args.iter().cloned().chain([(number + 1).to_string()]).collect();
        children.push(stage.child(role, &own, &[])?);
    }
    for child in &mut children {
        child.ready().await?;
    }
    for child in &children {
        child.go()?;
    }
    Ok(children)
}

pub(crate) async fn p07_processes_lose_no_update(stage: &Stage) -> Check {
    for &crowd in stage.crowds() {
        let fresh = stage.fresh(Kind::Plain).await?;
        let driver = fresh.open().await?;
        let times = stage.amount(30, 500) as u64;
        // One of the processes is this one.
        let children = start(&fresh, "count", crowd - 1, &[times.to_string()]).await?;
        let mut rng = stage.rng(0);
        for _ in 0..times {
            increment(&driver, &fresh.key("counter"), || rng.u64(..)).await?;
        }
        for mut child in children {
            let notes = notes_in(&child.finish().await?);
            equal("the acknowledged increments of a process", &(notes.len() as u64), &times)?;
        }
        let counted = counted(&driver, &fresh.key("counter")).await?;
        equal(&format!("the counter after {crowd} processes"), &counted, &(crowd * times))?;
    }
    Ok(())
}

pub(crate) async fn p08_histories_over_processes_are_linearizable(stage: &Stage) -> Check {
    for _ in 0..stage.amount(1, 6) {
        for &crowd in stage.crowds() {
            let fresh = stage.fresh(Kind::Plain).await?;
            let driver = fresh.open().await?;
            let length = (120 / crowd).to_string();
            let children = start(&fresh, "history", crowd, &[length]).await?;
            let mut calls = Vec::new();
            for mut child in children {
                calls.extend(calls_in(&child.finish().await?));
            }
            let recorder = Recorder::default();
            for (index, key) in fresh.keys("history", 3).iter().enumerate() {
                recorder.perform(&driver, index, key, Op::Retrieve).await?;
            }
            calls.extend(recorder.calls());
            linear::check(&[None; 3], &calls)?;
        }
    }
    Ok(())
}

pub(crate) async fn p09_killed_process_blocks_nothing(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let key = stage.key("counter");
    let mut rng = stage.rng(9);
    let mut told = 0;
    let kills = stage.amount(6, 200) as u64;
    // A third process, which waits for the same locks and lives.
    let bystander = stage.started("count", &["0".into(), (kills + 1).to_string()]).await?;
    for kill in 0..kills {
        let child = stage.started("count", &["0".into(), (kill + 1).to_string()]).await?;
        nap(Duration::from_micros(2_000 + rng.u64(..15_000))).await;
        told += notes_in(&child.kill()?).len() as u64;
        let own = increment(&driver, &key, || rng.u64(..));
        let answered = tokio::time::timeout(Duration::from_secs(10), own).await;
        answered.map_err(|_| unmet("a change after the kill is answered", "no answer for 10 s"))??;
        told += 1;
        let counted = counted(&driver, &key).await?;
        ensure(counted >= told, format!("{told} increments at least, after kill {kill}"), counted)?;
    }
    told += notes_in(&bystander.kill()?).len() as u64;
    let counted = counted(&driver, &key).await?;
    // Increments in progress at a kill may have happened.
    let right = (told..=told + kills + 1).contains(&counted);
    ensure(right, format!("{told} increments, and up to one more per kill"), counted)
}

pub(crate) async fn p10_one_creating_process_wins(stage: &Stage) -> Check {
    for &crowd in stage.crowds() {
        let fresh = stage.fresh(Kind::Plain).await?;
        let driver = fresh.open().await?;
        let total = stage.amount(60, 1_000) as u64;
        let children = start(&fresh, "create", crowd, &[total.to_string()]).await?;
        let mut won = Vec::new();
        for mut child in children {
            won.extend(notes_in(&child.finish().await?));
        }
        let distinct: HashSet<u64> = won.iter().copied().collect();
        equal("how many records were created", &distinct.len(), &(total as usize))?;
        equal("the number of `Applied` answers", &won.len(), &(total as usize))?;
        let found = driver.retrieve(&fresh.key("created-0")).await?;
        ensure(found.is_some(), "the first created record is stored", "no record")?;
    }
    Ok(())
}

pub(crate) async fn p11_purges_of_processes_count_once(stage: &Stage) -> Check {
    for &crowd in stage.crowds() {
        let fresh = stage.fresh(Kind::Plain).await?;
        let driver = fresh.open().await?;
        let deadline = fresh.soon();
        put_all(&driver, &fresh.keys("old", 120), &expiring(1, deadline)).await?;
        put(&driver, &fresh.key("live"), &record(1)).await?;
        fresh.set(deadline);
        let children = start(&fresh, "purge", crowd, &[]).await?;
        let mut total = 0;
        for mut child in children {
            total += notes_in(&child.finish().await?).iter().sum::<u64>();
        }
        total += driver.purge(1_000).await?.removed;
        equal(&format!("the sum of {crowd} purges"), &total, &120)?;
        holds(&driver, &fresh.key("live"), &record(1), "a live record").await?;
    }
    Ok(())
}

pub(crate) async fn p12_processes_read_whole_records(stage: &Stage) -> Check {
    for &crowd in stage.crowds() {
        let fresh = stage.fresh(Kind::Plain).await?;
        let driver = fresh.open().await?;
        put(&driver, &fresh.key("whole"), &record(7)).await?;
        let reading = crowd.div_ceil(4);
        let writes = stage.amount(300, 6_000) as u64 / crowd;
        let writers = start(&fresh, "write-whole", crowd - reading, &[writes.to_string()]).await?;
        let readers = start(&fresh, "read-whole", reading, &[(writes * 2).to_string()]).await?;
        for mut child in readers.into_iter().chain(writers) {
            child.finish().await?;
        }
    }
    Ok(())
}

pub(crate) async fn p13_forked_child_harms_nothing(stage: &Stage) -> Check {
    stage.started("fork", &[]).await?.finish().await?;
    let driver = stage.reopen().await?;
    hold_all(&driver, &stage.keys("parent", FORK_KEYS), &record(1), "stored before and after forks").await?;
    set(&driver, &stage.key("later"), &record(9)).await
}

const FORK_KEYS: usize = 40;

/// Forks children that use the inherited handle and open the storage, and stores records in between.
pub(crate) async fn fork(role: &RoleStage) -> Check {
    let driver = role.stage.open().await?;
    let keys = role.stage.keys("parent", FORK_KEYS);
    role.ready().await;
    for (round, some) in keys.chunks(FORK_KEYS / 4).enumerate() {
        put_all(&driver, some, &record(1)).await?;
        // A thread outside of this runtime, because the child needs one of its own.
        let child = || {
            forked(|| {
                block_on(child_of_fork(role, &driver, round)).map_or_else(shown_failure, |()| String::new())
            })
        };
        let failure = std::thread::scope(|scope| scope.spawn(child).join());
        let failure =
            failure.map_err(|_| unmet("a forked child gets an answer to each call", "a call hangs"))?;
        ensure(failure.is_empty(), "a forked child gets right answers or typed errors", failure)?;
        hold_all(&driver, &keys[..some.len() * (round + 1)], &record(1), "after a forked child").await?;
    }
    close_beside_a_child(role, &driver).await
}

const STAYS: &str = "the child had the storage open";

/// The parent closes while a forked child has the storage open. Nothing that either has stored is lost.
async fn close_beside_a_child(role: &RoleStage, driver: &DynDriver) -> Check {
    let trouble = |cause: std::io::Error| Failure::Harness(cause.to_string());
    let directory = tempfile::tempdir().map_err(trouble)?;
    let (open, closed) = (directory.path().join("open"), directory.path().join("closed"));
    let runtime = tokio::runtime::Handle::current();
    let (answer, done) = std::thread::scope(|scope| {
        let child = scope.spawn(|| {
            forked(|| block_on(child_that_stays(role, &open, &closed)).unwrap_or_else(shown_failure))
        });
        let parent = scope.spawn(|| {
            runtime.block_on(async {
                appears(&open).await?;
                driver.close().await?;
                std::fs::write(&closed, "").map_err(trouble)
            })
        });
        (child.join(), parent.join())
    });
    let hangs = || unmet("a forked child and its parent get answers", "a call hangs");
    done.map_err(|_| hangs())??;
    let answer = answer.map_err(|_| hangs())?;
    if answer == STAYS {
        let driver = role.stage.reopen().await?;
        for name in ["stays-before", "stays-after"] {
            holds(&driver, &role.stage.key(name), &record(5), "stored by a child that stayed open").await?;
        }
        return Ok(driver.close().await?);
    }
    ensure(answer.is_empty(), "a forked child that stays open gets right answers or typed errors", answer)
}

/// In a forked child: stores before and after the parent closes. Returns nothing if opening is refused.
async fn child_that_stays(role: &RoleStage, open: &Path, closed: &Path) -> Result<String, Failure> {
    let opened = role.stage.open().await;
    let driver = match opened {
        Ok(driver) => put(&driver, &role.stage.key("stays-before"), &record(5)).await.map(|()| driver),
        Err(failure) => Err(failure),
    };
    std::fs::write(open, "").map_err(|cause| Failure::Harness(cause.to_string()))?;
    let driver = match driver {
        Err(Failure::Harness(text)) if text.contains(&StoreErrorKind::Misconfigured.to_string()) => {
            return Ok(String::new());
        }
        driver => driver?,
    };
    appears(closed).await?;
    holds(&driver, &role.stage.key("stays-before"), &record(5), "after the parent has closed").await?;
    put(&driver, &role.stage.key("stays-after"), &record(5)).await?;
    hold_all(&driver, &role.stage.keys("parent", FORK_KEYS), &record(1), "after the parent has closed")
        .await?;
    driver.close().await?;
    Ok(STAYS.into())
}

async fn appears(mark: &Path) -> Check {
    for _ in 0..30_000 {
        if mark.exists() {
            return Ok(());
        }
        nap(Duration::from_millis(1)).await;
    }
    Err(unmet("the other process comes to this point", "nothing within 30 s"))
}

fn shown_failure(failure: Failure) -> String {
    match failure {
        Failure::Unmet { expected, actual } => format!("expected {expected}; got {actual}"),
        Failure::Harness(text) => text,
    }
}

/// In a forked child: each call of the inherited handle ends, and a new handle works or is refused.
async fn child_of_fork(role: &RoleStage, inherited: &DynDriver, round: usize) -> Check {
    let stage = &role.stage;
    let (key, own) = (stage.key("parent-0"), stage.key(&format!("child-{round}")));
    if let Ok(found) = in_time(inherited.retrieve(&key)).await? {
        ensure(found == Some(record(1)), "the parent's record", &found)?;
    }
    let _ = in_time(inherited.store(&own, record(2), Condition::Any)).await?;
    let _ = in_time(inherited.touch(&own, touching(2, 3, None))).await?;
    let _ = in_time(inherited.traverse(&Prefix::SESSION, Cursor::start(), 10)).await?;
    let _ = in_time(inherited.remove(&own, Condition::Any)).await?;
    let _ = in_time(inherited.purge(10)).await?;
    let _ = in_time(inherited.flush()).await?;
    let _ = in_time(inherited.close()).await?;
    let driver = match stage.open().await {
        Ok(driver) => driver,
        // The kind is lost in the harness; its text is there.
        Err(Failure::Harness(text)) => {
            let kind = StoreErrorKind::Misconfigured.to_string();
            return ensure(text.contains(&kind), "opening works or is `Misconfigured`", text);
        }
        Err(failure) => return Err(failure),
    };
    in_time(driver.retrieve(&key)).await?.map(drop)?;
    put(&driver, &own, &record(4)).await?;
    holds(&driver, &own, &record(4), "in the forked child").await?;
    Ok(driver.close().await?)
}
