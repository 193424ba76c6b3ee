//! How often an operation of session-store-redis goes to the server.
//!
//! Counts how often the server reads from its clients while one task runs one operation after another. The statistics
//! of commands cannot be used, because they include the commands that scripts call.

use std::error::Error;

use redis::{Client, Connection};
use session_bench_work::{Args, Change, Payload, Runner, Sample, Store, text_id};
use session_core::{Condition, Driver, Key, Prefix, Record, Revision};
use session_store_redis::{RedisConfig, RedisStore};

use super::driver::Ours;

/// The number of operations of each kind.
const TIMES: u32 = 1_000;

pub(crate) fn sample(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let runner = Runner::new(args)?;
    let driver = runner.block_on(RedisStore::open(RedisConfig::new(&args.url)))?;
    let mut server = Client::open(args.url.as_str())?.get_connection()?;
    let key = Key::new(&Prefix::SESSION, &text_id(args.records))?;
    let mut store = Ours::<_, 1>::new(driver.clone());
    let mut payload = Payload::new(args.size);

    // The first use loads the scripts into the server.
    let mut revision = 0;
    runner.block_on(async {
        let created = store.create(&key, Change { from: 0, to: 0, value: payload.stamped(0) }).await;
        (created && store.touch(&key, 0, 1).await).then_some(()).ok_or("a first use failed")
    })?;
    revision += 1;

    let mut sample = Sample::new();
    for name in NAMES {
        let before = reads(&mut server)?;
        for _ in 0..TIMES {
            let (from, to) = (revision, revision + 1);
            let change = Change { from, to, value: payload.stamped(to) };
            let good = runner.block_on(async {
                match name {
                    "retrieve" => store.retrieve(&key).await,
                    "store" => store.store(&key, change).await,
                    "touch" => store.touch(&key, from, to).await,
                    _ => conflicts(&driver, &key).await,
                }
            });
            if !good {
                return Err(format!("a {name} was not done").into());
            }
            if matches!(name, "store" | "touch") {
                revision = to;
            }
        }
        // Asking for the statistics is one read.
        let trips = reads(&mut server)?.saturating_sub(before + 1);
        sample = sample.with(name, f64::from(u32::try_from(trips)?) / f64::from(TIMES));
    }
    if !runner.block_on(store.remove(&key, revision)) {
        return Err("another client changed the record".into());
    }
    Ok(sample)
}

/// The operations, and a store that conflicts and returns the live record.
pub(crate) const NAMES: [&str; 4] = ["retrieve", "store", "touch", "conflict"];

async fn conflicts(driver: &RedisStore, key: &Key) -> bool {
    let record = Record::new(&b"x"[..], None, Revision::from_bytes(*b"stranger"));
    driver.store(key, record, Condition::Absent).await.is_ok_and(|stored| !stored.is_applied())
}

/// How often the server has read from its clients.
fn reads(server: &mut Connection) -> Result<u64, Box<dyn Error>> {
    let text: String = redis::cmd("INFO").arg("stats").query(server)?;
    let count = text.lines().find_map(|line| line.strip_prefix("total_reads_processed:"));
    Ok(count.ok_or("the server does not count its reads")?.trim().parse()?)
}
