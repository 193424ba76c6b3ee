//! Level durable: data that survives the process.

use std::time::Duration;

use crate::child::calls_in;
use crate::common::*;
use crate::harness::missing;
use crate::history::{Answer, Mix, Op, Rec, Recorder};
use crate::linear;

/// The number of keys in a crash clause.
pub(crate) const KEYS: usize = 4;

pub(crate) async fn d01_stores_survive_close(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let large = Record::new(sized(9, 200_000), Some(stage.later()), rev(9));
    put(&driver, &stage.key("replaced"), &record(3)).await?;
    let dated = expiring(2, stage.later());
    let stored = [("plain", record(1)), ("dated", dated), ("large", large), ("replaced", record(4))];
    for (key, record) in &stored {
        put(&driver, &stage.key(key), record).await?;
    }
    driver.close().await?;
    drop(driver);
    let driver = stage.reopen().await?;
    for (key, record) in &stored {
        holds(&driver, &stage.key(key), record, "after reopening").await?;
    }
    Ok(())
}

pub(crate) async fn d02_removals_and_touches_survive_close(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    // Read once, and far enough away for a driver that follows the system's clock.
    let later = stage.later();
    let kept = expiring(1, later.saturating_sub(Duration::from_secs(3_600)));
    for key in ["removed", "touched", "kept"] {
        put(&driver, &stage.key(key), &kept).await?;
    }
    yes(&driver.remove(&stage.key("removed"), Condition::Any).await?, "a removal")?;
    let done = driver.touch(&stage.key("touched"), touching(1, 2, Some(later))).await?;
    equal("a touch", &done, &true)?;
    driver.close().await?;
    drop(driver);
    let driver = stage.reopen().await?;
    absent(&driver, &stage.key("removed"), "after reopening").await?;
    let touched = Record { revision: rev(2), expires: Some(later), ..kept.clone() };
    holds(&driver, &stage.key("touched"), &touched, "after reopening").await?;
    holds(&driver, &stage.key("kept"), &kept, "after reopening").await
}

pub(crate) async fn d03_stores_survive_kill(stage: &Stage) -> Check {
    crash(stage, Mix::Stores).await
}

pub(crate) async fn d04_removals_survive_kill(stage: &Stage) -> Check {
    crash(stage, Mix::Removals).await
}

pub(crate) async fn d05_touches_survive_kill(stage: &Stage) -> Check {
    crash(stage, Mix::Touches).await
}

pub(crate) async fn d06_chain_continues_after_kill(stage: &Stage) -> Check {
    crash(stage, Mix::Chain).await
}

/// Lets a child process work until it is killed at a random moment, opens the store again and reads it: the answers
/// that the child had got and what is there now must have an explanation, where a call in progress may or may not
/// have happened. Repeats this on the same storage.
async fn crash(stage: &Stage, mix: Mix) -> Check {
    let mut rng = stage.rng(0xdead);
    let mut initial: [Option<Rec>; KEYS] = [None; KEYS];
    let mix_text = serde_json::to_string(&mix).expect("a word is JSON");
    for kill in 0..stage.amount(15, 200) as u64 {
        let mut child = stage.started("work", &[mix_text.clone(), (kill + 1).to_string()]).await?;
        child.answered(2).await?;
        nap(Duration::from_micros(rng.u64(..15_000))).await;
        let mut calls = calls_in(&child.kill()?);
        stage.storage.settle().await?;

        let driver = stage.reopen().await?;
        let (recorder, mut found) = (Recorder::default(), [None; KEYS]);
        for (index, key) in stage.keys("history", KEYS).iter().enumerate() {
            match recorder.perform(&driver, index, key, Op::Retrieve).await? {
                Answer::Found(rec) => found[index] = rec,
                other => {
                    return Err(unmet(
                        "a retrieve after the kill answers with a record or none",
                        format!("{other:?}"),
                    ));
                }
            }
        }
        calls.extend(recorder.calls());
        linear::check(&initial, &calls)?;
        initial = found;
    }
    Ok(())
}

pub(crate) async fn d07_store_works_after_kill(stage: &Stage) -> Check {
    let mut rng = stage.rng(0xbeef);
    let mix = serde_json::to_string(&Mix::Removals).expect("a word is JSON");
    for kill in 0..stage.amount(5, 200) as u64 {
        let child = stage.started("work", &[mix.clone(), (kill + 1).to_string()]).await?;
        nap(Duration::from_micros(3_000 + rng.u64(..12_000))).await;
        child.kill()?;
        stage.storage.settle().await?;
        let driver = stage.reopen().await?;
        let mut live: Vec<Key> = Vec::new();
        for key in stage.keys("history", KEYS) {
            if driver.retrieve(&key).await?.is_some() {
                live.push(key);
            }
        }
        let reported = keys_of(&walk(&driver, &Prefix::SESSION, 2).await?);
        equal("the keys that a traversal reports after the kill", &reported.len(), &live.len())?;
        equal("the number that clear removes", &driver.clear(&Prefix::SESSION).await?, &(live.len() as u64))?;
        for key in &live {
            let answer = driver.store(key, record(kill + 1), Condition::Absent).await?;
            yes(&answer, "a store when absent, after everything was cleared")?;
            holds(&driver, key, &record(kill + 1), "a record stored after the kill").await?;
        }
    }
    Ok(())
}

pub(crate) async fn d08_writes_survive_power_loss(stage: &Stage) -> Check {
    let evidence = stage.context.harness.power_evidence().filter(|text| !text.trim().is_empty());
    let evidence = evidence.ok_or_else(|| missing("power_evidence", "PowerLoss"))?;
    let driver = stage.open().await?;
    put(&driver, &stage.key("one"), &record(1)).await?;
    driver.flush().await?;
    holds(&driver, &stage.key("one"), &record(1), "after flush").await?;
    let shared = driver.capabilities().shared;
    // The engine may let one process at a time open the store.
    driver.close().await?;
    drop(driver);
    let traced = if shared == session_core::Shared::Network {
        "not traced, because the server syncs in a process of its own".to_owned()
    } else {
        match stage.child("acknowledge", &[], STRACE) {
            Ok(mut child) => {
                child.begin().await?;
                child.finish().await?;
                let answers = synced_answers(&child.read("trace")?)?;
                format!("traced here: a sync before each of {answers} answers")
            }
            // A tracer is optional. The matrix shows whether one was used.
            Err(_) => "not traced here, because strace cannot be run".to_owned(),
        }
    };
    let driver = stage.reopen().await?;
    holds(&driver, &stage.key("one"), &record(1), "after reopening").await?;
    stage.remark(format!("claimed: {evidence}; {traced}"));
    Ok(())
}

const STRACE: &[&str] = &[
    "strace",
    "-fqq",
    "-s80",
    "-etrace=write,fsync,fdatasync,sync_file_range,msync,syncfs",
    "-o{dir}/trace",
];

/// How many answers there were in a trace of the role `acknowledge`, which notes an even number before each change
/// and the odd one after it once its answer has come. Each must have a sync before it.
fn synced_answers(trace: &str) -> Result<u64, Failure> {
    let mut answers = 0;
    let mut synced = false;
    for line in trace.lines() {
        let note = line
            .split_once("{\\\"Note\\\":")
            .map(|(_, rest)| rest.bytes().take_while(u8::is_ascii_digit).last().map_or(0, |digit| digit % 2));
        let sync = ["fsync", "fdatasync", "msync", "syncfs"].iter().any(|call| line.contains(call));
        match note {
            Some(0) => synced = false,
            Some(_) => {
                answers += 1;
                let actual = format_args!("no sync before answer {answers}");
                ensure(synced, "a sync between the begin and the answer of each change", actual)?;
            }
            None => synced |= sync && line.trim_end().ends_with("= 0"),
        }
    }
    ensure(answers > 0, "the trace of system calls shows answers", "none")?;
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_shows_a_sync_before_each_answer() {
        let begin = r#"7 write(5, "{\"Note\":10}\n", 12) = 12"#;
        let sync = "8 fdatasync(4 <unfinished ...>\n8 <... fdatasync resumed>) = 0";
        let end = r#"7 write(5, "{\"Note\":11}\n", 12) = 12"#;
        assert_eq!(synced_answers(&[begin, sync, end].join("\n")).unwrap(), 1);
        assert!(synced_answers(&[begin, end].join("\n")).is_err());
        assert!(synced_answers(&[begin, sync, end, begin, end].join("\n")).is_err());
        assert!(
            synced_answers(&[begin, "8 fsync(4) = -1 EIO (Input/output error)", end].join("\n")).is_err()
        );
        assert!(synced_answers("").is_err());
    }
}
