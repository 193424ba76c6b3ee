//! Level durable: what survives the process.

use std::time::Duration;

use session_core::{Condition, Driver, Key, Prefix, Record};

use crate::child::calls_in;
use crate::common::{absent, expiring, holds, nap, put, record, rev, sized, walk, yes};
use crate::failure::{Check, ensure, equal, unmet};
use crate::history::{Answer, Mix, Op, Rec, Recorder};
use crate::linear;
use crate::stage::Stage;

/// Over how many keys the operations of a crash clause are spread.
pub(crate) const KEYS: usize = 4;

pub(crate) async fn d01_what_was_stored_is_there_after_close_and_reopen(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let large = Record::new(sized(9, 200_000), Some(stage.later()), rev(9));
    put(&driver, &stage.key("plain"), &record(1)).await?;
    put(&driver, &stage.key("deadline"), &expiring(2, stage.later())).await?;
    put(&driver, &stage.key("large"), &large).await?;
    put(&driver, &stage.key("replaced"), &record(3)).await?;
    put(&driver, &stage.key("replaced"), &record(4)).await?;
    driver.close().await?;
    drop(driver);
    let driver = stage.reopen().await?;
    holds(&driver, &stage.key("plain"), &record(1), "after reopening").await?;
    holds(&driver, &stage.key("deadline"), &expiring(2, stage.later()), "after reopening").await?;
    holds(&driver, &stage.key("large"), &large, "after reopening").await?;
    holds(&driver, &stage.key("replaced"), &record(4), "after reopening").await
}

pub(crate) async fn d02_what_was_removed_or_touched_is_so_after_close_and_reopen(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    for key in ["removed", "touched", "kept"] {
        put(&driver, &stage.key(key), &expiring(1, stage.soon())).await?;
    }
    yes(&driver.remove(&stage.key("removed"), Condition::Any).await?, "a removal")?;
    let done = driver.touch(&stage.key("touched"), rev(1), rev(2), Some(stage.later())).await?;
    equal("a touch", &done, &true)?;
    driver.close().await?;
    drop(driver);
    let driver = stage.reopen().await?;
    absent(&driver, &stage.key("removed"), "after reopening").await?;
    let touched = Record { revision: rev(2), ..expiring(1, stage.later()) };
    holds(&driver, &stage.key("touched"), &touched, "after reopening").await?;
    holds(&driver, &stage.key("kept"), &expiring(1, stage.soon()), "after reopening").await
}

pub(crate) async fn d03_a_killed_process_leaves_every_stored_record_old_or_new(stage: &Stage) -> Check {
    crash(stage, Mix::Stores).await
}

pub(crate) async fn d04_what_a_killed_process_had_removed_does_not_come_back(stage: &Stage) -> Check {
    crash(stage, Mix::Removals).await
}

pub(crate) async fn d05_what_a_killed_process_had_touched_stays_touched(stage: &Stage) -> Check {
    crash(stage, Mix::Touches).await
}

pub(crate) async fn d06_a_chain_of_compare_and_stores_goes_on_after_a_kill(stage: &Stage) -> Check {
    crash(stage, Mix::Chain).await
}

/// Lets a child process work until it is killed at a random moment, opens the store again and reads it: the answers
/// that the child had got and what is there now must have an explanation, in which the calls that were under way may
/// have happened or not. Again and again on the same storage.
async fn crash(stage: &Stage, mix: Mix) -> Check {
    let mut rng = stage.rng(0xdead);
    let mut initial: Vec<Option<Rec>> = vec![None; KEYS];
    let mix_text = serde_json::to_string(&mix).expect("a word is JSON");
    let mut answered = 0;
    let kills = stage.amount(15, 200) as u64;
    for kill in 0..kills {
        let mut child = stage.child("work", &[mix_text.clone(), (kill + 1).to_string()])?;
        child.ready().await?;
        child.go()?;
        nap(Duration::from_micros(3_000 + rng.below(15_000))).await;
        let mut calls = calls_in(&child.kill()?);
        answered += calls.iter().filter(|call| call.end.is_some()).count();

        let driver = stage.reopen().await?;
        let recorder = Recorder::default();
        let mut found = Vec::with_capacity(KEYS);
        for index in 0..KEYS {
            let key = stage.key(&format!("history-{index}"));
            match recorder.perform(&driver, index, &key, Op::Retrieve).await? {
                Answer::Found(rec) => found.push(rec),
                other => return Err(unmet("a record or none, after the kill", format!("{other:?}"))),
            }
        }
        calls.extend(recorder.calls());
        linear::check(&initial, &calls)?;
        initial = found;
    }
    ensure(answered as u64 > kills, "the killed processes got some answers first", || {
        format!("{answered} answers before {kills} kills")
    })
}

pub(crate) async fn d07_a_store_left_by_a_killed_process_is_whole_in_every_operation(stage: &Stage) -> Check {
    let mut rng = stage.rng(0xbeef);
    let mix = serde_json::to_string(&Mix::Removals).expect("a word is JSON");
    for kill in 0..stage.amount(5, 60) as u64 {
        let mut child = stage.child("work", &[mix.clone(), (kill + 1).to_string()])?;
        child.ready().await?;
        child.go()?;
        nap(Duration::from_micros(3_000 + rng.below(12_000))).await;
        child.kill()?;
        let driver = stage.reopen().await?;
        let mut live: Vec<Key> = Vec::new();
        for index in 0..KEYS {
            let key = stage.key(&format!("history-{index}"));
            if driver.retrieve(&key).await?.is_some() {
                live.push(key);
            }
        }
        let mut reported = crate::common::keys_of(&walk(&driver, &Prefix::SESSION, 2).await?);
        reported.sort();
        equal("the keys that a traversal reports after the kill", &reported.len(), &live.len())?;
        equal("what clear removes", &driver.clear(&Prefix::SESSION).await?, &(live.len() as u64))?;
        for key in &live {
            let answer = driver.store(key, record(kill + 1), Condition::Absent).await?;
            yes(&answer, "a store when absent, after everything was cleared")?;
            holds(&driver, key, &record(kill + 1), "a record stored after the kill").await?;
        }
    }
    Ok(())
}

pub(crate) async fn d08_an_acknowledged_write_survives_power_loss(stage: &Stage) -> Check {
    let evidence = stage.context.harness.power_evidence().unwrap_or_default();
    ensure(
        !evidence.trim().is_empty(),
        "evidence that a write is on stable storage before its answer",
        || "the harness names none".into(),
    )?;
    let driver = stage.open().await?;
    put(&driver, &stage.key("one"), &record(1)).await?;
    driver.flush().await?;
    holds(&driver, &stage.key("one"), &record(1), "after flush").await
}
