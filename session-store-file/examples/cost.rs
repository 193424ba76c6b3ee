//! What the operations cost beside the bare calls: `cargo run --release -p session-store-file --example cost -- DIR`.
//! With a number after the directory: how traversal and purge go over so many records.
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used, reason = "a stopwatch")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use session_core::{
    Clock as _, Condition, Cursor, Driver, Key, Prefix, Record, Revision, SystemClock, TestClock,
};
use session_store_file::{Config, File};

#[tokio::main]
async fn main() {
    let path = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    let directory = tempfile::tempdir_in(path).unwrap();
    if let Some(count) = std::env::args().nth(2) {
        return many(directory.path(), count.parse().unwrap()).await;
    }
    let store = File::open(Config::new(directory.path().join("store")).create_directory(true)).unwrap();
    let bare = directory.path().join("bare");
    std::fs::create_dir(&bare).unwrap();
    let keys: Vec<Key> =
        (0..2_000).map(|n| Key::new(&Prefix::SESSION, &format!("key-{n:040}")).unwrap()).collect();
    let revision = |n: u64| Revision::from_bytes(n.to_le_bytes());
    let record = |n: u64| Record::new(vec![7; 1024], None, revision(n));
    let time = |what: &str, began: Instant, count: usize| {
        let each = began.elapsed().as_nanos() as f64 / count as f64;
        println!("{what:32} {:9.2} us {:9.0} /s", each / 1e3, 1e9 / each);
    };
    for round in 0..3 {
        let began = Instant::now();
        for key in &keys {
            let when = if round == 0 { Condition::Absent } else { Condition::Any };
            let answer = store.store(key, record(1), when).await.unwrap();
            assert!(answer.is_yes());
        }
        time(if round == 0 { "store, new" } else { "store, any" }, began, keys.len());
        let began = Instant::now();
        for key in &keys {
            assert!(store.store(key, record(2), Condition::Revision(revision(1))).await.unwrap().is_yes());
        }
        time("store, at a revision", began, keys.len());
        let began = Instant::now();
        for key in &keys {
            assert!(store.touch(key, revision(2), revision(1), None).await.unwrap());
        }
        time("touch", began, keys.len());
        let began = Instant::now();
        for _ in 0..10 {
            for key in &keys {
                assert!(store.retrieve(key).await.unwrap().is_some());
            }
        }
        time("retrieve", began, 10 * keys.len());
        let missing = Key::parse("session:missing").unwrap();
        let began = Instant::now();
        for _ in 0..keys.len() {
            assert!(store.retrieve(&missing).await.unwrap().is_none());
        }
        time("retrieve, missing", began, keys.len());
        let paths: Vec<_> = (0..2_000).map(|n| bare.join(format!("key-{n:040}"))).collect();
        let began = Instant::now();
        for path in paths.iter().take(500) {
            let new = path.with_extension("new");
            std::fs::write(&new, [7; 1024]).unwrap();
            std::fs::rename(new, path).unwrap();
        }
        time("bare write and rename", began, 500);
        for path in &paths {
            std::fs::write(path, [7; 1024]).unwrap();
        }
        let began = Instant::now();
        for _ in 0..10 {
            for path in &paths {
                assert_eq!(std::fs::read(path).unwrap().len(), 1024);
            }
        }
        time("bare read", began, 10 * paths.len());
    }
}

async fn many(path: &std::path::Path, count: u64) {
    let clock = TestClock::new(SystemClock.now());
    let config = Config::new(path.join("store")).create_directory(true).clock(Arc::new(clock.clone()));
    let store = File::open(config).unwrap();
    let deadline = clock.now().saturating_add(Duration::from_secs(10));
    let stopwatch = Stopwatch::begin();
    for n in 0..count {
        let key = Key::new(&Prefix::SESSION, &format!("key-{n:040}")).unwrap();
        let expires = (n % 2 == 0).then_some(deadline);
        let record = Record::new(vec![7; 1024], expires, Revision::from_bytes(n.to_le_bytes()));
        assert!(store.store(&key, record, Condition::Absent).await.unwrap().is_yes());
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
    for (what, advance) in [("purge, nothing to do", 0), ("purge, half of them", 10)] {
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
