//! What the operations cost beside the bare calls: `cargo run --release -p session-store-file --example cost -- DIR`.
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used, reason = "a stopwatch")]

use std::time::Instant;

use session_core::{Condition, Driver, Key, Prefix, Record, Revision};
use session_store_file::{Config, File};

#[tokio::main]
async fn main() {
    let path = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    let directory = tempfile::tempdir_in(path).unwrap();
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
