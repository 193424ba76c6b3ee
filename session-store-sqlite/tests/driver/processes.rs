//! Several processes on one file, and processes that are killed.

use std::time::Duration;

use session_conformance::testing::{ChildProcess, amount, child_args, rng, say};
use session_core::{Applied, Change, Condition, Driver, Record, StoreErrorKind};
use session_store_sqlite::{Durability, SqliteConfig, SqliteStore};

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

#[test]
fn a_killed_writer_loses_no_acknowledged_write() {
    let test = "processes::a_killed_writer_loses_no_acknowledged_write";
    kill_and_check(test, Durability::Process, amount(12, 1_000));
}

#[test]
fn a_killed_power_writer_loses_no_acknowledged_write() {
    let test = "processes::a_killed_power_writer_loses_no_acknowledged_write";
    kill_and_check(test, Durability::Power, amount(4, 200));
}

fn kill_and_check(test: &str, durability: Durability, rounds: usize) {
    if let Some(args) = child_args(test) {
        let config = SqliteConfig::new(args[0].as_str()).durability(durability);
        return run(write_forever(&SqliteStore::open(config).unwrap()));
    }
    let file = Database::new();
    let path = file.path();
    let mut rng = rng();
    let mut acknowledged = [0; TASKS as usize];
    for round in 0..rounds {
        // This process keeps the file open in every other round. Then the log is not recovered after the kill.
        let beside = (round % 2 == 1).then(|| file.open());
        let mut child = ChildProcess::spawn(test, &[path.to_str().unwrap()]);
        let first = child.wait_for("ack ");
        std::thread::sleep(Duration::from_micros(rng.u64(..25_000)));
        let lines = child.kill();
        let acks = lines.iter().filter_map(|line| line.strip_prefix("ack "));
        for ack in std::iter::once(first.as_str()).chain(acks) {
            let (task, n) = ack.split_once(' ').unwrap();
            acknowledged[task.parse::<usize>().unwrap()] = n.parse().unwrap();
        }
        let store = beside.unwrap_or_else(|| file.open());
        for (task, acknowledged) in acknowledged.iter_mut().enumerate() {
            let Some(found) = run(store.retrieve(&key(task))).unwrap() else {
                assert_eq!(*acknowledged, 0, "task {task} lost everything in round {round}");
                continue;
            };
            let n = number(&found);
            let expected = *acknowledged..=*acknowledged + 1;
            assert!(expected.contains(&n), "task {task}: {n} is stored, expected {expected:?}");
            assert!(found.data == pattern(task as u64, n), "task {task} is torn in round {round}");
            // A write that was seen once is seen in all later rounds.
            *acknowledged = n;
        }
        let check: String = file.raw().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
    }
}

/// Each task replaces its record by the next, larger or smaller one, and prints what was acknowledged.
async fn write_forever(store: &SqliteStore) {
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let store = store.clone();
        tasks.spawn(async move {
            let mut seen = store.retrieve(&key(task)).await.unwrap();
            loop {
                let n = seen.as_ref().map_or(0, number) + 1;
                let condition = seen.map_or(Condition::Absent, |seen| Condition::Revision(seen.revision));
                let next = record(pattern(task, n));
                let stored = store.store(&key(task), next.clone(), condition).await.unwrap();
                assert_eq!(stored, Change::Applied);
                say(&format!("ack {task} {n}"));
                seen = Some(next);
            }
        });
    }
    tasks.join_all().await;
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
