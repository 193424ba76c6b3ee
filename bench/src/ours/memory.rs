//! session-store-memory, filled in each run.

use std::error::Error;
use std::sync::Arc;

use session_bench_work::{Args, Runner, Sample, Work, answer, fill, with_heap};
use session_core::TestClock;
use session_store_memory::{MemoryConfig, MemoryStore};

use super::driver::Ours;
use super::{purge, stall};

pub(crate) fn sample(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let runner = Runner::new(args)?;
    let clock = TestClock::new(purge::BEFORE);
    let (store, bytes) = with_heap(args, || {
        let store = Ours::<_, 64>::new(match args.work {
            Work::Purge | Work::Stall => {
                MemoryStore::open(MemoryConfig::new().clock(Arc::new(clock.clone())))?
            }
            _ => MemoryStore::new()?,
        });
        fill(&runner, &store, 0..args.records, args.size)?;
        Ok(store)
    })?;
    match args.work {
        Work::Heap => Ok(Sample::new().with("bytes", bytes)),
        Work::Purge => purge::sample(&runner, args, &clock, &store),
        Work::Stall => stall::sample(&runner, args, &clock, &store),
        _ => answer(&runner, args, &store),
    }
}
