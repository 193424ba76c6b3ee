//! What is particular to the mapped file: its layout and what damages it, its bounds, several processes, and the ways
//! in which processes die.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test stops where something is wrong")]
#![allow(
    clippy::disallowed_methods,
    reason = "other processes are killed and stopped in real time; the environment tells a child what to do"
)]

mod bounds;
mod damage;
mod file;
mod kills;
mod memory;
mod processes;

use std::env;
use std::future::Future;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use session_core::{Condition, Driver, Key, Record, Revision, Timestamp};
use session_store_mmap::{MmapConfig, MmapStore};
use tempfile::TempDir;

/// A directory of one test, with a path for its store.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: TempDir::new().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("sessions.map")
    }

    /// A file of two shards and small extents, so that a test meets growth, compaction and large records.
    fn config(&self) -> MmapConfig {
        MmapConfig::new(self.path()).max_bytes(64 << 20).extent_bytes(16 << 10).shards(2)
    }

    fn open(&self) -> MmapStore {
        MmapStore::open(self.config()).unwrap()
    }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test)
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
    assert!(run(store.store(key, record.clone(), Condition::Any)).unwrap().is_applied());
}

/// How much of it: the short form, or with `SESSION_KIT_FULL` in the environment the full one.
fn rounds(short: u64, full: u64) -> u64 {
    if env::var_os("SESSION_KIT_FULL").is_some() { full } else { short }
}

/// A number, and bytes that all follow from it and from whose it is: a mixture of two records cannot pass.
fn pattern(whose: u64, n: u64) -> Vec<u8> {
    let mut data = n.to_le_bytes().to_vec();
    let length = match n % 97 {
        0 => 50_000,
        _ => n.wrapping_mul(7_919) % 3_000,
    };
    data.extend((0..length).map(|at| (n.wrapping_mul(31) + whose.wrapping_mul(7) + at) as u8));
    data
}

/// The number of a whole record.
fn number(whose: u64, record: &Record) -> u64 {
    let n = u64::from_le_bytes(record.data[..8].try_into().unwrap());
    assert_eq!(record.data, pattern(whose, n), "a record that was never written");
    n
}

/// Runs this test program again, as a child with a task.
fn spawn(place: &Place, task: &str, argument: u64) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    with_task(&mut command, place, task, argument).stdout(Stdio::piped()).spawn().unwrap()
}

/// What tells this test program, which `command` is going to run, to be a child with a task.
fn with_task<'a>(command: &'a mut Command, place: &Place, task: &str, argument: u64) -> &'a mut Command {
    command
        .args(["child_does_what_it_is_told", "--exact", "--nocapture", "--test-threads=1"])
        .env("SESSION_MMAP_TASK", task)
        .env("SESSION_MMAP_PATH", place.path())
        .env("SESSION_MMAP_ARGUMENT", argument.to_string())
}

#[test]
fn child_does_what_it_is_told() {
    let Some(task) = env::var_os("SESSION_MMAP_TASK") else { return };
    let path = env::var_os("SESSION_MMAP_PATH").unwrap();
    let argument: u64 = env::var("SESSION_MMAP_ARGUMENT").unwrap().parse().unwrap();
    let config = MmapConfig::new(path).max_bytes(64 << 20).extent_bytes(16 << 10).shards(2);
    match task.to_str().unwrap() {
        "write" => kills::write_for_ever(&config, argument),
        "wait" => kills::wait_for_the_lock(&config),
        "damage" => damage::work(argument),
        "everything" => memory::everything(
            &config.max_bytes(700 << 10).extent_bytes(4096).max_record_bytes(300_000),
            argument,
        ),
        "quietly" => memory::work_without_a_system_call(config),
        "count" => processes::count(&MmapStore::open(config).unwrap(), argument),
        "limited" => bounds::write_until_the_limit(config),
        other => panic!("{other}"),
    }
}
