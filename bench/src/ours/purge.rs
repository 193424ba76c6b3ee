//! The cost of removing expired records among live ones.

use std::error::Error;

use session_bench_work::{Args, Runner, Sample, fill};
use session_core::{Driver, TestClock, Timestamp};

use super::driver::Ours;

/// A time when all records are live.
pub(crate) const BEFORE: Timestamp = Timestamp::from_millis(3_000_000_000_000);
/// A time when some records have expired; the others stay live.
pub(crate) const DEADLINE: Timestamp = Timestamp::from_millis(3_100_000_000_000);
pub(crate) const AFTER: Timestamp = Timestamp::from_millis(3_200_000_000_000);
/// The number of records that expire.
pub(crate) const EXPIRING: usize = 10_000;
/// The limit of one purge call, the same as in the session layer's sweep.
const BATCH: usize = 500;

/// Adds records, lets them expire, and purges them on a runtime with one worker, beside a heartbeat.
pub(crate) fn sample<D: Driver + Clone, const IN_A_ROW: u64>(
    runner: &Runner,
    args: &Args,
    clock: &TestClock,
    store: &Ours<D, IN_A_ROW>,
) -> Result<Sample, Box<dyn Error>> {
    let expiring = Ours::<D, IN_A_ROW>::expiring(store.driver.clone(), DEADLINE);
    fill(runner, &expiring, args.records..args.records + EXPIRING, args.size)?;
    clock.set(AFTER);
    let (removed, took, gap_ms) = Runner::with_workers(args, 1)?.watch(all(store.driver.clone()))?;
    let removed = removed?;
    if removed != EXPIRING as u64 {
        return Err(format!("{removed} of {EXPIRING} expired records were removed").into());
    }
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let (removed, held) = (removed as f64, (args.records + EXPIRING) as f64);
    Ok(Sample::new()
        .with("removed_ns", took.as_secs_f64() * 1e9 / removed)
        .with("scanned_ns", took.as_secs_f64() * 1e9 / held)
        .with("gap_ms", gap_ms))
}

/// Purges until nothing is left, like the sweep of the session layer.
pub(crate) async fn all<D: Driver>(driver: D) -> session_core::Result<u64> {
    let mut removed = 0;
    loop {
        let purged = driver.purge(BATCH).await?;
        removed += purged.removed;
        if !purged.more {
            return Ok(removed);
        }
        tokio::task::yield_now().await;
    }
}
