//! session-store-memory.

use std::error::Error;

use session_bench_work::{Args, Payload, Runner, Sample, Work, live_bytes, start_counting};
use session_core::{Condition, Driver};
use session_store_memory::Memory;

use super::driver;

pub(crate) fn sample(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let runner = Runner::new(args)?;
    if args.work == Work::Heap {
        start_counting();
    }
    let before = live_bytes();
    let store = Memory::new()?;
    runner.block_on(fill(&store, args))?;
    if args.work == Work::Heap {
        #[expect(clippy::cast_precision_loss, reason = "byte counts are far below 2^53")]
        let bytes = (live_bytes() - before) as f64 / args.records as f64;
        return Ok(Sample::new().with("bytes", bytes));
    }
    driver::measure::<_, 64>(&runner, args, &store)
}

async fn fill(store: &Memory, args: &Args) -> Result<(), Box<dyn Error>> {
    let mut payload = Payload::new(args.size);
    for number in 0..args.records {
        let record = driver::record(&mut payload, number);
        if !store.store(&driver::key(number)?, record, Condition::Absent).await?.is_yes() {
            return Err("a key is there twice".into());
        }
    }
    Ok(())
}
