//! The mapped file: layout and damage, bounds, several processes, crashes.
#![allow(clippy::unwrap_used, missing_docs, reason = "a failed test stops")]
#![allow(clippy::disallowed_methods, reason = "other processes are killed and stopped in real time")]

mod bounds;
mod damage;
mod file;
mod kills;
mod memory;
mod processes;

use std::path::Path;
use std::process::Command;

use session_conformance::testing::{ChildProcess, FreshPath, block_on, child_args};
use session_core::{Condition, Driver, Key, Record, Revision, Timestamp};
use session_store_mmap::{MmapConfig, MmapStore};

fn fresh() -> FreshPath {
    FreshPath::new("sessions.map").unwrap()
}

/// A file of two shards and small extents, so that a test meets growth, compaction and large records.
fn config(path: impl AsRef<Path>) -> MmapConfig {
    MmapConfig::new(path.as_ref()).max_bytes(64 << 20).extent_bytes(16 << 10).shards(2)
}

fn open(path: impl AsRef<Path>) -> MmapStore {
    MmapStore::open(config(path)).unwrap()
}

fn key(id: &str) -> Key {
    Key::parse(&format!("test:{id}")).unwrap()
}

fn session(number: u64) -> Key {
    Key::parse(&format!("session:{number:0>43}")).unwrap()
}

fn record(data: impl Into<Vec<u8>>) -> Record {
    Record::new(data.into(), None, Revision::random().unwrap())
}

fn at(millis: u64) -> Option<Timestamp> {
    Some(Timestamp::from_millis(millis))
}

fn put(store: &MmapStore, key: &Key, record: &Record) {
    assert!(block_on(store.store(key, record.clone(), Condition::Any)).unwrap().is_applied());
}

fn get(store: &MmapStore, key: &Key) -> Option<Record> {
    block_on(store.retrieve(key)).unwrap()
}

fn remove(store: &MmapStore, key: &Key) {
    assert!(block_on(store.remove(key, Condition::Any)).unwrap().is_applied());
}

/// A number, and bytes that follow from it and its owner: a mixture of two records does not pass.
fn pattern(owner: u64, n: u64) -> Vec<u8> {
    let mut data = n.to_le_bytes().to_vec();
    let length = match n % 97 {
        0 => 50_000,
        _ => n.wrapping_mul(7_919) % 3_000,
    };
    data.extend((0..length).map(|at| (n.wrapping_mul(31) + owner.wrapping_mul(7) + at) as u8));
    data
}

/// The number of a whole record.
fn number(owner: u64, record: &Record) -> u64 {
    let n = u64::from_le_bytes(record.data[..8].try_into().unwrap());
    assert_eq!(record.data, pattern(owner, n), "a record that was never written");
    n
}

const CHILD: &str = "child";

/// Starts a child process with a task.
fn spawn(path: &FreshPath, task: &str, argument: u64) -> ChildProcess {
    ChildProcess::start(&mut command(path, task, argument, &[]))
}

fn command(path: &FreshPath, task: &str, argument: u64, wrapper: &[&str]) -> Command {
    let (path, argument) = (path.path().to_str().unwrap(), argument.to_string());
    ChildProcess::command(CHILD, &[task, path, &argument], wrapper)
}

/// Does the task of a child process; shows nothing by itself.
#[test]
fn child() {
    let Some(args) = child_args(CHILD) else { return };
    let (task, argument) = (args[0].as_str(), args[2].parse().unwrap());
    let config = config(&args[1]);
    match task {
        "write" => kills::write_until_killed(&config, argument),
        "wait" => kills::wait_for_the_lock(&config),
        "everything" => memory::do_everything(
            &config.max_bytes(700 << 10).extent_bytes(4096).max_record_bytes(300_000),
            argument,
        ),
        "system calls" => memory::work_between_marks(config),
        "limited" => bounds::write_until_the_limit(config),
        other => panic!("{other}"),
    }
}
