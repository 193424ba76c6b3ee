//! Several processes on one file, and processes that are killed.
//!
//! The test program runs itself again as a child, with what it is to do in the environment. `SESSION_KIT_FULL=1` runs
//! the long form: more rounds of everything.

use std::env;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use session_core::{Applied, Change, Condition, Driver, Record, StoreErrorKind};
use session_store_sqlite::{Durability, SqliteConfig, SqliteStore};

use crate::{Place, key, record, run};

const TASKS: u64 = 8;

fn rounds(short: u64, full: u64) -> u64 {
    if env::var_os("SESSION_KIT_FULL").is_some() { full } else { short }
}

fn spawn(place: &Place, task: &str, rounds: u64) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["processes::child_does_what_it_is_told", "--exact", "--nocapture"])
        .env("SESSION_SQLITE_TASK", task)
        .env("SESSION_SQLITE_PATH", place.path())
        .env("SESSION_SQLITE_ROUNDS", rounds.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn child_does_what_it_is_told() {
    let Some(task) = env::var_os("SESSION_SQLITE_TASK") else { return };
    let path = env::var_os("SESSION_SQLITE_PATH").unwrap();
    let rounds: u64 = env::var("SESSION_SQLITE_ROUNDS").unwrap().parse().unwrap();
    let config = SqliteConfig::new(path).busy_timeout(Duration::from_secs(60));
    match task.to_str().unwrap() {
        "count" => run(count(&SqliteStore::open(config).unwrap(), rounds)),
        "limited" => run(write_until_the_disk_fails(&SqliteStore::open(config).unwrap())),
        "write" => run(write_for_ever(&SqliteStore::open(config).unwrap())),
        "write-power" => {
            run(write_for_ever(&SqliteStore::open(config.durability(Durability::Power)).unwrap()))
        }
        other => panic!("{other}"),
    }
}

/// Each task adds to one counter that all share.
async fn count(store: &SqliteStore, rounds: u64) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let store = store.clone();
        tasks.spawn(async move {
            let key = key("counter");
            for _ in 0..rounds {
                let mut seen = store.retrieve(&key).await.unwrap();
                loop {
                    let number = seen.as_ref().map_or(0, number);
                    let when =
                        seen.as_ref().map_or(Condition::Absent, |seen| Condition::Revision(seen.revision));
                    match store.store(&key, record((number + 1).to_le_bytes()), when).await.unwrap() {
                        Change::Applied => break,
                        Change::Conflict(live) => seen = live,
                    }
                }
            }
        });
    }
    tasks.join_all().await;
}

/// Each task replaces its record by the next, larger or smaller one, and says so when it is acknowledged.
async fn write_for_ever(store: &SqliteStore) {
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let store = store.clone();
        tasks.spawn(async move {
            let key = key(&task.to_string());
            let mut seen = store.retrieve(&key).await.unwrap();
            loop {
                let n = seen.as_ref().map_or(0, number) + 1;
                let when = seen.as_ref().map_or(Condition::Absent, |seen| Condition::Revision(seen.revision));
                let next = record(pattern(task, n));
                assert!(store.store(&key, next.clone(), when).await.unwrap().is_applied());
                // One write call, so that a line is there or not.
                std::io::stdout().lock().write_all(format!("\nack {task} {n}\n").as_bytes()).unwrap();
                seen = Some(next);
            }
        });
    }
    tasks.join_all().await;
}

/// A number, and bytes that all follow from it: a mixture of two records cannot pass.
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
fn two_processes_at_once_lose_no_compare_and_store() {
    let place = Place::new();
    let each = rounds(150, 3_000);
    let mut children: Vec<_> = (0..2).map(|_| spawn(&place, "count", each)).collect();
    let store = SqliteStore::open(place.config().busy_timeout(Duration::from_secs(60))).unwrap();
    run(count(&store, each / 2));
    for child in &mut children {
        assert!(child.wait().unwrap().success(), "an error that was no conflict");
    }
    let counted = run(store.retrieve(&key("counter"))).unwrap().unwrap();
    assert_eq!(number(&counted), 2 * 4 * each + 4 * (each / 2));
}

#[test]
fn a_killed_writer_has_lost_nothing_that_it_acknowledged() {
    kill_and_look("write", rounds(200, 1_000));
}

#[test]
fn a_killed_writer_with_power_durability_has_lost_nothing_either() {
    kill_and_look("write-power", rounds(10, 200));
}

fn kill_and_look(task: &str, rounds: u64) {
    let place = Place::new();
    // This process keeps the file open in every other round: then the log is not recovered but simply goes on.
    let mut acknowledged = [0; TASKS as usize];
    for round in 0..rounds {
        let beside = (round % 2 == 1).then(|| place.open());
        let mut child = spawn(&place, task, 0);
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        let mut take = |line: &str| {
            if let Some((task, n)) =
                line.strip_prefix("ack ").and_then(|rest| rest.trim_end().split_once(' '))
            {
                acknowledged[task.parse::<usize>().unwrap()] = n.parse().unwrap();
            }
        };
        // After its first word, and then some.
        while !line.starts_with("ack ") {
            line.clear();
            assert!(lines.read_line(&mut line).unwrap() > 0, "the child ended by itself");
        }
        take(&line);
        std::thread::sleep(Duration::from_micros(RandomState::new().hash_one(round) % 25_000));
        child.kill().unwrap();
        child.wait().unwrap();
        while {
            line.clear();
            lines.read_line(&mut line).unwrap() > 0
        } {
            if line.ends_with('\n') {
                take(&line);
            }
        }
        let store = beside.unwrap_or_else(|| place.open());
        for (task, acknowledged) in acknowledged.iter_mut().enumerate() {
            let Some(found) = run(store.retrieve(&key(&task.to_string()))).unwrap() else {
                assert_eq!(*acknowledged, 0, "task {task} has lost everything in round {round}");
                continue;
            };
            let n = number(&found);
            assert!(
                (*acknowledged..=*acknowledged + 1).contains(&n),
                "{acknowledged} was said, {n} is there"
            );
            assert!(found.data == pattern(task as u64, n), "task {task} is torn in round {round}");
            // Who has seen it once must see it in all rounds to come.
            *acknowledged = n;
        }
        let check: String = place.raw().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
    }
}

/// What a task has written and been told, line by line, until the disk has failed each.
async fn write_until_the_disk_fails(store: &SqliteStore) {
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let store = store.clone();
        tasks.spawn(async move {
            let (key, mut failures) = (key(&task.to_string()), 0);
            for n in 1.. {
                let next = record(pattern(task, n));
                let word = match store.store(&key, next, Condition::Any).await {
                    Ok(stored) => {
                        assert!(stored.is_applied());
                        "ack"
                    }
                    Err(error) => {
                        assert!(
                            matches!(error.kind(), StoreErrorKind::Backend | StoreErrorKind::Full),
                            "{error:?}"
                        );
                        failures += 1;
                        if error.applied() == Applied::No { "no" } else { "unknown" }
                    }
                };
                std::io::stdout().lock().write_all(format!("\n{word} {task} {n}\n").as_bytes()).unwrap();
                if failures == 20 {
                    break;
                }
            }
            // Reads go on.
            store.retrieve(&key).await.unwrap();
        });
    }
    tasks.join_all().await;
}

/// A limit on the size of files stands for a disk that refuses to be written: each write beyond it fails.
#[test]
fn a_disk_that_fails_loses_nothing_that_was_acknowledged_and_keeps_nothing_that_was_refused() {
    let place = Place::new();
    run(place.open().close()).unwrap();
    let program = env::current_exe().unwrap();
    // Blocks of 512 bytes or 1 KiB, by the shell: 1 or 2 MB. The signal that goes with the limit is ignored.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 2000; exec \"$0\" \"$@\""])
        .arg(program)
        .args(["processes::child_does_what_it_is_told", "--exact", "--nocapture"])
        .env("SESSION_SQLITE_TASK", "limited")
        .env("SESSION_SQLITE_PATH", place.path())
        .env("SESSION_SQLITE_ROUNDS", "0")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said} {}", String::from_utf8_lossy(&output.stderr));
    // For each task: the last acknowledged, and those after it of which nothing is known.
    let mut allowed = vec![Vec::new(); TASKS as usize];
    for line in said.lines() {
        let words: Vec<_> = line.split(' ').collect();
        if let [word @ ("ack" | "unknown"), task, n] = words[..] {
            let allowed: &mut Vec<u64> = &mut allowed[task.parse::<usize>().unwrap()];
            if word == "ack" {
                allowed.clear();
            }
            allowed.push(n.parse().unwrap());
        }
    }
    assert!(said.contains("\nack ") && (said.contains("\nno ") || said.contains("\nunknown ")), "{said}");
    let store = place.open();
    for (task, allowed) in allowed.iter().enumerate() {
        let Some(found) = run(store.retrieve(&key(&task.to_string()))).unwrap() else {
            assert!(
                !allowed.iter().any(|n| said.contains(&format!("ack {task} {n}\n"))),
                "task {task} lost all"
            );
            continue;
        };
        let n = number(&found);
        assert!(allowed.contains(&n), "task {task}: {n} is there, of {allowed:?}");
        assert!(found.data == pattern(task as u64, n));
    }
    assert!(run(store.store(&key("0"), record("again"), Condition::Any)).unwrap().is_applied());
}
