//! Several processes on one file, and processes that are killed.

use std::time::Duration;

use session_conformance::testing::{ChildProcess, amount, child_args, rng, say};
use session_core::{Applied, Condition, Driver, Record, StoreErrorKind};
use session_store_sqlite::SqliteStore;

use crate::{Database, key, record, run};

const TASKS: u64 = 8;

/// A number, and bytes that follow from it: a mixture of two records does not match.
fn pattern(task: u64, n: u64) -> Vec<u8> {
    let mut data = n.to_le_bytes().to_vec();
    let length = (n.wrapping_mul(7919) % 9_000) as usize;
    data.extend((0..length).map(|at| (n.wrapping_mul(31) + task + at as u64) as u8));
    data
}

fn number(record: &Record) -> u64 {
    u64::from_le_bytes(record.data[..8].try_into().unwrap())
}

/// The durable clauses show that acknowledged writes are there; this test, that the file is sound.
#[test]
fn a_killed_writer_leaves_no_torn_record() {
    let test = "processes::a_killed_writer_leaves_no_torn_record";
    if let Some(args) = child_args(test) {
        return run(write_until_the_disk_fails(&SqliteStore::open(args[0].as_str()).unwrap()));
    }
    let file = Database::new();
    let mut rng = rng();
    for round in 0..amount(8, 500) {
        // This process keeps the file open in every other round. Then the log is not recovered after the kill.
        let beside = (round % 2 == 1).then(|| file.open());
        let mut child = ChildProcess::spawn(test, &[file.path().to_str().unwrap()]);
        let _ = child.wait_for("ack ");
        std::thread::sleep(Duration::from_micros(rng.u64(..25_000)));
        drop(child.kill());
        let store = beside.unwrap_or_else(|| file.open());
        for task in 0..TASKS {
            if let Some(found) = run(store.retrieve(&key(task))).unwrap() {
                assert!(found.data == pattern(task, number(&found)), "task {task} in round {round}");
            }
        }
        let check: String = file.raw().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
    }
}

/// A limit on the size of files stands for a disk that fails: every write beyond it fails.
#[test]
fn a_failing_disk_keeps_exactly_the_acknowledged_writes() {
    let test = "processes::a_failing_disk_keeps_exactly_the_acknowledged_writes";
    if let Some(args) = child_args(test) {
        return run(write_until_the_disk_fails(&SqliteStore::open(args[0].as_str()).unwrap()));
    }
    let file = Database::new();
    run(file.open().close()).unwrap();
    let path = file.path();
    // The shell counts blocks of 512 bytes or 1 KiB, so 1 or 2 MB. The signal that comes with the limit is ignored.
    let shell = ["sh", "-c", "trap '' XFSZ; ulimit -f 2000; exec \"$0\" \"$@\""];
    let mut command = ChildProcess::command(test, &[path.to_str().unwrap()], &shell);
    let lines = ChildProcess::start(&mut command).finish();
    // For each task: the last acknowledged write, and later ones of unknown effect.
    let mut allowed = vec![Vec::new(); TASKS as usize];
    let mut acknowledged = [false; TASKS as usize];
    let mut failures = 0;
    for line in &lines {
        let words: Vec<_> = line.split(' ').collect();
        let [word @ ("ack" | "unknown" | "no"), task, n] = words[..] else { continue };
        failures += u32::from(word != "ack");
        let task: usize = task.parse().unwrap();
        if word == "ack" {
            allowed[task].clear();
            acknowledged[task] = true;
        }
        if word != "no" {
            allowed[task].push(n.parse().unwrap());
        }
    }
    assert!(failures > 0 && acknowledged.contains(&true), "{lines:?}");
    let store = file.open();
    for (task, allowed) in allowed.iter().enumerate() {
        let Some(found) = run(store.retrieve(&key(task))).unwrap() else {
            assert!(!acknowledged[task], "task {task} lost everything");
            continue;
        };
        let n = number(&found);
        assert!(allowed.contains(&n), "task {task}: {n} is stored, expected one of {allowed:?}");
        assert!(found.data == pattern(task as u64, n));
    }
    assert!(run(store.store(&key(0), record("again"), Condition::Any)).unwrap().is_applied());
}

/// Each task prints the answer to each write, until 20 have failed.
async fn write_until_the_disk_fails(store: &SqliteStore) {
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let store = store.clone();
        tasks.spawn(async move {
            let mut failures = 0;
            for n in 1.. {
                let word = match store.store(&key(task), record(pattern(task, n)), Condition::Any).await {
                    Ok(stored) => {
                        assert!(stored.is_applied());
                        "ack"
                    }
                    Err(error) => {
                        let kind = error.kind();
                        assert!(matches!(kind, StoreErrorKind::Backend | StoreErrorKind::Full), "{error:?}");
                        failures += 1;
                        if error.applied() == Applied::No { "no" } else { "unknown" }
                    }
                };
                say(&format!("{word} {task} {n}"));
                if failures == 20 {
                    break;
                }
            }
            // Reads still work.
            store.retrieve(&key(task)).await.unwrap();
        });
    }
    tasks.join_all().await;
}
