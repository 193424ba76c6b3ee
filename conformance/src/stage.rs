//! The tools of a check: one driver's storage, its time, and random numbers.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use session_core::{Clock, Driver, DynDriver, ExpiryMode, Key, Prefix, SystemClock, TestClock, Timestamp};

use crate::child::Child;
use crate::common::nap;
use crate::context::Context;
use crate::failure::{Check, Failure, unmet};
use crate::harness::{AnyStorage, FileRange, Time};
use crate::level::Requirement;
use fastrand::Rng;

/// Fresh storage of one driver, for one check.
pub(crate) struct Stage {
    pub(crate) context: Arc<Context>,
    storage: AnyStorage,
    clock: TestClock,
}

/// Where virtual time begins: 15 January 2027, 08:00 UTC.
const BEGINNING: Timestamp = Timestamp::from_millis(1_800_000_000_000);

impl Stage {
    /// Fresh storage.
    pub(crate) async fn new(context: Arc<Context>) -> Result<Self, Failure> {
        let storage = context.harness.create().await?;
        Ok(Self { context, storage, clock: TestClock::new(BEGINNING) })
    }

    /// Fresh storage whose backend can be stopped.
    pub(crate) async fn alone(context: Arc<Context>) -> Result<Self, Failure> {
        let storage = context.harness.create_isolated().await?;
        Ok(Self { context, storage, clock: TestClock::new(BEGINNING) })
    }

    /// Fresh storage with little room.
    pub(crate) async fn small(context: Arc<Context>) -> Result<Self, Failure> {
        let storage = context.harness.create_bounded().await?;
        Ok(Self { context, storage, clock: TestClock::new(BEGINNING) })
    }

    /// The storage of another process.
    pub(crate) fn attached(context: Arc<Context>, address: &str, now: Timestamp) -> Result<Self, Failure> {
        let storage = context.harness.attach(address)?;
        Ok(Self { context, storage, clock: TestClock::new(now) })
    }

    /// Another handle on the storage.
    pub(crate) async fn open(&self) -> Result<DynDriver, Failure> {
        Ok(self.open_with_clone().await?.0)
    }

    /// Another handle, and its clone.
    pub(crate) async fn open_with_clone(&self) -> Result<(DynDriver, DynDriver), Failure> {
        Ok(self.context.harness.open(&self.storage, Arc::new(self.clock.clone())).await?)
    }

    /// A handle on storage that was closed, or whose process was killed. If it cannot be opened, the driver fails, not
    /// the harness.
    pub(crate) async fn reopen(&self) -> Result<DynDriver, Failure> {
        self.open().await.map_err(|failure| match failure {
            Failure::Harness(text) => unmet("the store opens again", text),
            other => other,
        })
    }

    /// Starts a child process that plays `role` on this storage.
    pub(crate) fn child(&self, role: &str, args: &[String]) -> Result<Child, Failure> {
        self.wrapped_child(role, args, &[])
    }

    /// The same, run by another program.
    pub(crate) fn wrapped_child(
        &self,
        role: &str,
        args: &[String],
        wrapper: &[&str],
    ) -> Result<Child, Failure> {
        let address = self
            .context
            .harness
            .address(&self.storage)
            .ok_or_else(|| Failure::Harness("the harness has no address(): write address() and attach(), or declare that the driver lacks `Kill` and `Processes`".into()))?;
        Child::spawn(&self.context, role, &address, self.now(), args, wrapper)
    }

    /// Damages the record of `key` from outside.
    pub(crate) async fn damage(&self, key: &Key) -> Check {
        Ok(self.context.harness.damage(&self.storage, key).await?)
    }

    /// The bytes of the record of `key`.
    pub(crate) async fn record_bytes(&self, key: &Key) -> Result<FileRange, Failure> {
        Ok(self.context.harness.record_bytes(&self.storage, key).await?)
    }

    /// Starts an outage for the open handles.
    pub(crate) async fn start_outage(&self) -> Check {
        Ok(self.context.harness.start_outage(&self.storage).await?)
    }

    /// Ends the outage.
    pub(crate) async fn end_outage(&self) -> Check {
        Ok(self.context.harness.end_outage(&self.storage).await?)
    }

    /// Frees space in bounded storage, if its driver needs that.
    pub(crate) async fn free_space(&self) -> Result<bool, Failure> {
        Ok(self.context.harness.free_space(&self.storage).await?)
    }

    /// Takes the right to use the storage away.
    pub(crate) async fn revoke_access(&self) -> Check {
        Ok(self.context.harness.revoke_access(&self.storage).await?)
    }

    /// Gives the right back.
    pub(crate) async fn restore_access(&self) -> Check {
        Ok(self.context.harness.restore_access(&self.storage).await?)
    }

    /// A key of prefix `session`.
    pub(crate) fn key(&self, id: &str) -> Key {
        Key::new(&Prefix::SESSION, id).expect("the ids of the checks are valid")
    }

    /// The driver's current time.
    pub(crate) fn now(&self) -> Timestamp {
        match self.context.harness.time() {
            Time::Virtual => self.clock.now(),
            Time::Real => SystemClock.now(),
        }
    }

    /// A deadline that [`pass`](Self::pass) reaches soon.
    pub(crate) fn soon(&self) -> Timestamp {
        match self.context.harness.time() {
            Time::Virtual => self.now().saturating_add(Duration::from_secs(3_600)),
            Time::Real => self.now().saturating_add(Duration::from_secs(2)),
        }
    }

    /// A deadline that no check reaches.
    pub(crate) fn later(&self) -> Timestamp {
        self.now().saturating_add(Duration::from_secs(30 * 24 * 3_600))
    }

    /// Reaches `deadline`: moves the clock, or waits until the driver must have noticed it.
    pub(crate) async fn pass(&self, driver: &DynDriver, deadline: Timestamp) {
        match self.context.harness.time() {
            Time::Virtual => self.set(deadline.max(self.now())),
            Time::Real => {
                let late = match driver.capabilities().expiry {
                    ExpiryMode::Engine { granularity } => granularity,
                    _ => Duration::ZERO,
                };
                nap(deadline.saturating_since(self.now()) + late + Duration::from_millis(2)).await;
            }
        }
    }

    /// The clock that the driver follows, if it follows one.
    pub(crate) fn virtual_clock(&self) -> Option<TestClock> {
        matches!(self.context.harness.time(), Time::Virtual).then(|| self.clock.clone())
    }

    /// Sets the virtual clock. Only for clauses that need `VirtualTime`.
    pub(crate) fn set(&self, now: Timestamp) {
        self.clock.set(now);
    }

    /// Notes the evidence of a pass, for the matrix.
    pub(crate) fn remark(&self, text: String) {
        *self.context.remark.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }

    /// Random numbers from the seed of this run, different for each `stream`.
    pub(crate) fn rng(&self, stream: u64) -> Rng {
        Rng::with_seed(self.context.seed.wrapping_add(stream.wrapping_mul(0xA076_1D64_78BD_642F)))
    }

    /// The numbers of processes to try: few and many; in a full run every number from two to eight.
    pub(crate) fn crowds(&self) -> &'static [u64] {
        if self.context.full { &[2, 3, 4, 5, 6, 7, 8] } else { &[2, 8] }
    }

    /// How long a handle may take to work again after a failure.
    pub(crate) fn recovery(&self) -> Duration {
        self.context.recovery
    }

    /// Whether the driver lacks `need`.
    pub(crate) fn lacks(&self, need: Requirement) -> bool {
        self.context.lacks.iter().any(|(lacked, _)| *lacked == need)
    }

    /// `normal`, or `full` in a full run.
    pub(crate) fn amount(&self, normal: usize, full: usize) -> usize {
        if self.context.full { full } else { normal }
    }
}
