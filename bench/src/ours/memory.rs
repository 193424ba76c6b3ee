//! session-store-memory, filled in each run.

use std::error::Error;
use std::sync::Arc;

use session_bench_work::{Args, Runner, Sample, Work, answer, fill, live_bytes, start_counting};
use session_core::TestClock;
use session_store_memory::{MemoryConfig, MemoryStore};

use super::driver::Ours;
use super::purge;

pub(crate) fn sample(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let runner = Runner::new(args)?;
    if args.work == Work::Heap {
        start_counting();
    }
    let before = live_bytes();
    let clock = TestClock::new(purge::BEFORE);
    let store = Ours::<_, 64>::new(match args.work {
        Work::Purge => MemoryStore::open(MemoryConfig::new().clock(Arc::new(clock.clone())))?,
        _ => MemoryStore::new()?,
    });
    fill(&runner, &store, 0..args.records, args.size)?;
    match args.work {
        Work::Heap => {
            #[expect(clippy::cast_precision_loss, reason = "byte counts are far below 2^53")]
            let bytes = (live_bytes() - before) as f64 / args.records as f64;
            Ok(Sample::new().with("bytes", bytes))
        }
        Work::Purge => purge::sample(&runner, args, &clock, &store),
        _ => answer(&runner, args, &store),
    }
}
