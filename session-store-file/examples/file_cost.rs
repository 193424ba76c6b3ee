//! Measures the operations next to the bare system calls: `cargo run --release -p session-store-file --example file_cost -- DIR`.
//! With a number after the directory it measures traversal and purge over that many records.
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used, reason = "a stopwatch")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use session_core::{
    Clock as _, Condition, Cursor, Driver, Key, Prefix, Record, Revision, SystemClock, TestClock, Touch,
};
use session_store_file::{Durability, FileConfig, FileStore};

#[tokio::main]
async fn main() {
    let path = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    let directory = tempfile::tempdir_in(path).unwrap();
    if let Some(count) = std::env::args().nth(2) {
        return many(directory.path(), count.parse().unwrap()).await;
    }
    for (durability, count) in [(Durability::Process, 2_000), (Durability::Power, 200)] {
        println!("{durability:?}, medians of {ROUNDS} rounds over {count} records of 1 KiB, one task");
        let path = directory.path().join(format!("{durability:?}"));
        std::fs::create_dir(&path).unwrap();
        beside_bare_calls(&path, durability, count).await;
    }
}

const ROUNDS: usize = 5;

async fn beside_bare_calls(path: &Path, durability: Durability, count: usize) {
    let config = FileConfig::new(path.join("store")).create_directory(true).durability(durability);
    let store = FileStore::open(config).unwrap();
    let bare = path.join("bare");
    std::fs::create_dir(&bare).unwrap();
    let paths: Vec<_> = (0..count).map(|n| bare.join(format!("key-{n:040}"))).collect();
    let keys: Vec<Key> =
        (0..count).map(|n| Key::new(&Prefix::SESSION, &format!("key-{n:040}")).unwrap()).collect();
    let missing = Key::parse("session:missing").unwrap();
    let revision = |n: u64| Revision::from_bytes(n.to_le_bytes());
    let record = |n: u64| Record::new(vec![n as u8; 1024], None, revision(n));
    let mut table = Table::default();
    for _ in 0..ROUNDS {
        let began = Began::now();
        for key in &keys {
            assert!(store.store(key, record(1), Condition::Absent).await.unwrap().is_applied());
        }
        table.note("store, new", began, count);
        let began = Began::now();
        for key in &keys {
            assert!(
                store.store(key, record(2), Condition::Revision(revision(1))).await.unwrap().is_applied()
            );
        }
        table.note("store, at a revision", began, count);
        let began = Began::now();
        for key in &keys {
            assert!(
                store.touch(key, Touch { from: revision(2), to: revision(3), deadline: None }).await.unwrap()
            );
        }
        table.note("touch", began, count);
        let began = Began::now();
        for _ in 0..10 {
            for key in &keys {
                assert!(store.retrieve(key).await.unwrap().is_some());
            }
        }
        table.note("retrieve", began, 10 * count);
        let began = Began::now();
        for _ in 0..count {
            assert!(store.retrieve(&missing).await.unwrap().is_none());
        }
        table.note("retrieve of a missing record", began, count);
        let began = Began::now();
        for key in &keys {
            assert!(store.remove(key, Condition::Revision(revision(3))).await.unwrap().is_applied());
        }
        table.note("remove", began, count);

        for path in &paths {
            std::fs::write(path, [7; 1024]).unwrap();
        }
        let some = &paths[..count.min(500)];
        let began = Began::now();
        for path in some {
            let new = path.with_extension("new");
            std::fs::write(&new, [7; 1024]).unwrap();
            std::fs::rename(new, path).unwrap();
        }
        table.note("bare write and rename over a file", began, some.len());
        let began = Began::now();
        for _ in 0..10 {
            for path in &paths {
                assert_eq!(std::fs::read(path).unwrap().len(), 1024);
            }
        }
        table.note("bare read", began, 10 * count);
    }
    table.print();
}

/// The times of each kind of call in each round: wall-clock nanoseconds, and processor time of this thread, which is
/// steadier on a busy machine.
#[derive(Default)]
struct Table(Vec<(&'static str, Vec<f64>, Vec<f64>)>);

struct Began(Instant, Duration);

impl Began {
    fn now() -> Self {
        Self(Instant::now(), processor_time())
    }
}

fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

impl Table {
    fn note(&mut self, what: &'static str, began: Began, count: usize) {
        let each = |time: Duration| time.as_nanos() as f64 / count as f64;
        let (wall, cpu) = (each(began.0.elapsed()), each(processor_time() - began.1));
        match self.0.iter_mut().find(|(name, ..)| *name == what) {
            Some((_, walls, cpus)) => {
                walls.push(wall);
                cpus.push(cpu);
            }
            None => self.0.push((what, vec![wall], vec![cpu])),
        }
    }

    fn medians(&self, what: &str) -> (f64, f64) {
        let (_, walls, cpus) = self.0.iter().find(|(name, ..)| *name == what).unwrap();
        let median = |rounds: &[f64]| {
            let mut rounds = rounds.to_vec();
            rounds.sort_by(f64::total_cmp);
            rounds[rounds.len() / 2]
        };
        (median(walls), median(cpus))
    }

    fn print(&self) {
        println!("  {:40} {:>12} {:>12}", "", "clock, us", "thread, us");
        for (what, ..) in &self.0 {
            let (wall, cpu) = self.medians(what);
            println!("  {what:40} {:12.2} {:12.2}", wall / 1e3, cpu / 1e3);
        }
        for (what, faster, slower) in [
            ("retrieve, of the speed of a bare read", "retrieve", "bare read"),
            (
                "store, times as fast as the bare one",
                "store, at a revision",
                "bare write and rename over a file",
            ),
            ("touch, times as fast as a store", "touch", "store, at a revision"),
        ] {
            let (faster, slower) = (self.medians(faster), self.medians(slower));
            println!("  {what:40} {:12.2} {:12.2}", slower.0 / faster.0, slower.1 / faster.1);
        }
    }
}

async fn many(path: &Path, count: u64) {
    let clock = TestClock::new(SystemClock.now());
    let config = FileConfig::new(path.join("store")).create_directory(true).clock(Arc::new(clock.clone()));
    let store = FileStore::open(config).unwrap();
    let deadline = clock.now().saturating_add(Duration::from_secs(10));
    let stopwatch = Stopwatch::begin();
    for n in 0..count {
        let key = Key::new(&Prefix::SESSION, &format!("key-{n:040}")).unwrap();
        let expires = (n % 100 == 0).then_some(deadline);
        let record = Record::new(vec![7; 1024], expires, Revision::from_bytes(n.to_le_bytes()));
        assert!(store.store(&key, record, Condition::Absent).await.unwrap().is_applied());
    }
    stopwatch.end("fill", count);
    let stopwatch = Stopwatch::begin();
    let (mut seen, mut from, mut longest) = (0, Cursor::start(), Duration::ZERO);
    loop {
        let began = Instant::now();
        let page = store.traverse(&Prefix::SESSION, from, 256).await.unwrap();
        longest = longest.max(began.elapsed());
        seen += page.entries.len() as u64;
        let Some(next) = page.next else { break };
        from = next;
    }
    assert_eq!(seen, count);
    stopwatch.end("traverse", count);
    println!("longest page {longest:?}");
    for (what, advance) in [("purge, nothing to do", 0), ("purge, one in a hundred", 10)] {
        clock.advance(Duration::from_secs(advance));
        let stopwatch = Stopwatch::begin();
        let (mut removed, mut longest) = (0, Duration::ZERO);
        loop {
            let began = Instant::now();
            let purged = store.purge(1_000).await.unwrap();
            longest = longest.max(began.elapsed());
            removed += purged.removed;
            if !purged.more {
                break;
            }
        }
        stopwatch.end(what, count);
        println!("removed {removed}, longest call {longest:?}");
    }
}

struct Stopwatch(Instant);

impl Stopwatch {
    fn begin() -> Self {
        Self(Instant::now())
    }

    fn end(self, what: &str, count: u64) {
        let took = self.0.elapsed();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
        println!("{what}: {took:?}, {:?} each; {peak}", took / count as u32);
    }
}
