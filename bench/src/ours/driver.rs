//! The work of a store, over any driver.

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use session_bench_work::{Args, Change, Runner, Sample, Store, Work, answer, stopwatch};
use session_core::{
    Clock, Condition, Driver, Key, Prefix, Record, Revision, SystemClock, TestClock, Timestamp, Touch,
};

use super::{purge, stall};

/// Measures a driver whose store outlives the program. `open` opens the store with the given clock.
pub(crate) fn sample<D, const IN_A_ROW: u64>(
    args: &Args,
    replaces: Replaces,
    open: impl AsyncFn(Arc<dyn Clock>) -> session_core::Result<D>,
) -> Result<Sample, Box<dyn Error>>
where
    D: Driver + Clone,
{
    let runner = Runner::new(args)?;
    let clock = TestClock::new(purge::BEFORE);
    let start = stopwatch();
    let store = Ours::<D, IN_A_ROW>::replacing(
        replaces,
        runner.block_on(open(match args.work {
            Work::Purge | Work::Stall => Arc::new(clock.clone()),
            _ => SystemClock::shared(),
        }))?,
    );
    let sample = match args.work {
        Work::Open => {
            // Includes the first read, so that deferred work counts.
            let mut first = store.clone();
            if !runner.block_on(first.retrieve(&store.key(0))) {
                return Err("the first record is missing".into());
            }
            Sample::new().with("open_us", start.elapsed().as_secs_f64() * 1e6)
        }
        Work::Purge => purge::sample(&runner, args, &clock, &store)?,
        Work::Stall => stall::sample(&runner, args, &clock, &store)?,
        _ => answer(&runner, args, &store)?,
    };
    runner.block_on(store.driver.close())?;
    Ok(sample)
}

/// A driver as a subject. A task does `IN_A_ROW` operations before it lets others run.
#[derive(Clone, Debug)]
pub(crate) struct Ours<D, const IN_A_ROW: u64> {
    pub(crate) driver: D,
    deadline: Timestamp,
    replaces: Replaces,
}

/// What a store hands to the driver, beside the new record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replaces {
    /// The revision.
    Revision,
    /// The record that it replaces, as the session layer does.
    Loaded,
}

impl<D: Driver + Clone, const IN_A_ROW: u64> Ours<D, IN_A_ROW> {
    /// Records expire long after the run.
    pub(crate) fn new(driver: D) -> Self {
        Self::expiring(driver, Timestamp::from_millis(4_000_000_000_000))
    }

    /// As [`new`](Self::new), with another way to store.
    pub(crate) fn replacing(replaces: Replaces, driver: D) -> Self {
        Self { replaces, ..Self::new(driver) }
    }

    /// Records expire at `deadline` or shortly after.
    pub(crate) fn expiring(driver: D, deadline: Timestamp) -> Self {
        Self { driver, deadline, replaces: Replaces::Revision }
    }

    /// Each change moves the deadline a little, like a session's changes.
    fn deadline(&self, revision: u64) -> Option<Timestamp> {
        Some(self.deadline.saturating_add(Duration::from_millis(revision)))
    }

    fn record(&self, number: u64, value: impl Into<Bytes>) -> Record {
        Record::new(value, self.deadline(number), revision(number))
    }

    async fn put(&self, key: &Key, change: Change<'_>, when: Condition) -> bool {
        let record = self.record(change.to, change.value.as_bytes().to_vec());
        self.driver.store(key, record, when).await.is_ok_and(|stored| stored.is_applied())
    }
}

impl<D: Driver + Clone, const IN_A_ROW: u64> Store for Ours<D, IN_A_ROW> {
    type Key = Key;

    const BEFORE_YIELD: u64 = IN_A_ROW;

    /// As long as the key of a session.
    fn key(&self, record: usize) -> Key {
        Key::new(&Prefix::SESSION, &session_bench_work::text_id(record)).expect("43 characters are an id")
    }

    /// As the session layer loads the session of a request.
    async fn retrieve(&mut self, key: &Key) -> bool {
        black_box(self.driver.retrieve_recent(key).await).is_ok_and(|record| record.is_some())
    }

    async fn store(&mut self, key: &Key, change: Change<'_>) -> bool {
        if self.replaces == Replaces::Revision {
            return self.put(key, change, Condition::Revision(revision(change.from))).await;
        }
        let mut old = change.value.as_bytes().to_vec();
        old.splice(..16, format!("{:016x}", change.from).into_bytes());
        let record = self.record(change.to, change.value.as_bytes().to_vec());
        let answer = self.driver.store_over(key, record, &self.record(change.from, old)).await;
        answer.is_ok_and(|stored| stored.is_applied())
    }

    async fn create(&mut self, key: &Key, change: Change<'_>) -> bool {
        self.put(key, change, Condition::Absent).await
    }

    async fn remove(&mut self, key: &Key, removed: u64) -> bool {
        let answer = self.driver.remove(key, Condition::Revision(revision(removed))).await;
        answer.is_ok_and(|stored| stored.is_applied())
    }

    async fn touch(&mut self, key: &Key, from: u64, to: u64) -> bool {
        self.driver
            .touch(key, Touch { from: revision(from), to: revision(to), deadline: self.deadline(to) })
            .await
            .unwrap_or(false)
    }

    async fn revision(&mut self, key: &Key) -> Option<u64> {
        let record = self.driver.retrieve(key).await.ok()??;
        Some(u64::from_be_bytes(record.revision.to_bytes()))
    }
}

fn revision(number: u64) -> Revision {
    Revision::from_bytes(number.to_be_bytes())
}
