//! Measures the driver beside the redis crate alone: the same work, in turn, on a temporary server.
//!
//! `cargo run --release -p session-store-redis --example cost`

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use session_core::{Condition, Driver, Key, Record, Revision, Touch};
use session_store_redis::RedisStore;
use xtask_redis::{Options, Server};

const ROUND: Duration = Duration::from_millis(400);
const ROUNDS: usize = 7;
const KEYS: u64 = 10_000;
const SIZE: usize = 1_024;

type Error = Box<dyn std::error::Error>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "the program prints its measurements")]
async fn main() -> Result<(), Error> {
    let server = Server::start(Options::new())?;
    let store = RedisStore::open(server.url()).await?;
    let plain = redis::Client::open(server.url())?.get_multiplexed_async_connection().await?;
    for number in 0..KEYS {
        assert!(store.store(&key(number), record(), Condition::Any).await?.is_applied());
    }
    let revisions: Arc<[AtomicU64]> = (0..KEYS).map(|_| AtomicU64::new(1)).collect();
    println!("operations per second, medians of {ROUNDS} rounds; in brackets the ratio within a round");
    for tasks in [1, 8, 64] {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let mut round = Vec::new();
            for (name, _) in WORK {
                round.push(rate(name, tasks, &store, &plain, &revisions).await?);
            }
            rounds.push(round);
        }
        for (at, (name, beside)) in WORK.into_iter().enumerate() {
            let beside = WORK.iter().position(|(other, _)| *other == beside).unwrap_or(at);
            let rate = median(rounds.iter().map(|round| round[at]).collect());
            let ratio = median(rounds.iter().map(|round| round[at] / round[beside]).collect());
            println!("{tasks:>2} tasks {name:>18} {rate:>9.0}  ({ratio:.2} of {})", WORK[beside].0);
        }
    }
    Ok(())
}

/// Each piece of work, and the one that it is compared with.
const WORK: [(&str, &str); 6] = [
    ("GET", "GET"),
    ("retrieve", "GET"),
    ("SET", "SET"),
    ("store Any", "SET"),
    ("store at revision", "SET"),
    ("touch", "store at revision"),
];

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn key(number: u64) -> Key {
    Key::parse(&format!("user:{number}")).expect("it is one")
}

fn record() -> Record {
    Record::new(vec![7; SIZE], None, revision(1))
}

fn revision(number: u64) -> Revision {
    Revision::from_bytes(number.to_be_bytes())
}

#[expect(clippy::disallowed_methods, reason = "a stopwatch")]
async fn rate(
    name: &str,
    tasks: u64,
    store: &RedisStore,
    plain: &MultiplexedConnection,
    revisions: &Arc<[AtomicU64]>,
) -> Result<f64, Error> {
    let begin = Instant::now();
    let running: Vec<_> = (0..tasks)
        .map(|task| {
            let (name, store, mut plain) = (name.to_owned(), store.clone(), plain.clone());
            let revisions = Arc::clone(revisions);
            tokio::spawn(async move {
                let (mut done, mut number) = (0_u64, task * 7_919);
                let data = bytes::Bytes::from(vec![7; SIZE]);
                while begin.elapsed() < ROUND {
                    number = (number + 1) % (KEYS / tasks);
                    let place = number * tasks + task;
                    let key = key(place);
                    // Each task has its own keys, so tasks never conflict.
                    let last = revisions[place as usize].load(Ordering::Relaxed);
                    let next = Record::new(data.clone(), None, revision(last + 1));
                    match &*name {
                        "GET" => {
                            let name = format!("session-kit:user:{place}");
                            let value: Vec<u8> = redis::cmd("GET").arg(name).query_async(&mut plain).await?;
                            assert!(value.len() > SIZE);
                        }
                        "SET" => {
                            let name = format!("plain:user:{place}");
                            let () =
                                redis::cmd("SET").arg(name).arg(&data[..]).query_async(&mut plain).await?;
                        }
                        "retrieve" => assert!(store.retrieve(&key).await?.is_some()),
                        "touch" => assert!(
                            store
                                .touch(
                                    &key,
                                    Touch { from: revision(last), to: next.revision, deadline: None }
                                )
                                .await?
                        ),
                        "store Any" => assert!(store.store(&key, next, Condition::Any).await?.is_applied()),
                        _ => {
                            let when = Condition::Revision(revision(last));
                            assert!(store.store(&key, next, when).await?.is_applied());
                        }
                    }
                    if !matches!(&*name, "GET" | "SET" | "retrieve") {
                        revisions[place as usize].store(last + 1, Ordering::Relaxed);
                    }
                    done += 1;
                }
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(done)
            })
        })
        .collect();
    let mut done: u64 = 0;
    for task in running {
        done += task.await?.map_err(|error| error.to_string())?;
    }
    Ok(done as f64 / begin.elapsed().as_secs_f64())
}
