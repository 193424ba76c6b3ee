//! session-store-sqlite, with its defaults.

use std::error::Error;

use session_bench_work::{Args, Durability, Payload, Runner, Sample, Work};
use session_core::{Condition, Driver};
use session_store_sqlite::{Config, Durability as Survives, Sqlite};

use super::driver;

pub(crate) fn sample(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let runner = Runner::new(args)?;
    if args.work == Work::Prepare {
        std::fs::create_dir_all(&args.dir)?;
    }
    let durability = match args.durability {
        Durability::Process => Survives::Process,
        Durability::Power => Survives::Power,
    };
    runner
        .block_on(async {
            let store = Sqlite::open(Config::new(args.dir.join("ours.db")).durability(durability))?;
            if args.work == Work::Prepare {
                fill(&store, args).await?;
            }
            Ok::<_, Box<dyn Error>>(store)
        })
        .and_then(|store| {
            let sample = match args.work {
                Work::Prepare => Sample::new(),
                _ => driver::measure::<_, 1>(&runner, args, &store)?,
            };
            runner.block_on(store.close())?;
            Ok(sample)
        })
}

async fn fill(store: &Sqlite, args: &Args) -> Result<(), Box<dyn Error>> {
    let mut payload = Payload::new(args.size);
    for number in 0..args.records {
        let record = driver::record(&mut payload, number);
        if !store.store(&driver::key(number)?, record, Condition::Absent).await?.is_yes() {
            return Err("a key is there twice".into());
        }
    }
    Ok(())
}
