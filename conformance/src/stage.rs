//! The tools of a check: one driver's storage, its time, and random numbers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use session_core::{Clock, Driver, DynDriver, ExpiryMode, Key, Prefix, SystemClock, TestClock, Timestamp};

use crate::failure::{Failure, unmet};
use crate::harness::{ErasedHarness, ErasedStorage, Kind, Time};
use crate::level::Requirement;
use crate::suite::Place;
use fastrand::Rng;

/// What all checks of one suite share.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) harness: Arc<dyn ErasedHarness>,
    pub(crate) place: Place,
    pub(crate) lacks: Vec<(Requirement, &'static str)>,
    pub(crate) known: Vec<(&'static str, &'static str)>,
    /// Tells a child process which of several harnesses to use.
    pub(crate) tag: String,
    /// The name of the running test, as the test runner knows it.
    pub(crate) test: String,
    pub(crate) full: bool,
    /// How long a handle may take to work again after a failure.
    pub(crate) recovery: Duration,
    pub(crate) seed: u64,
    /// A note of the check for the matrix, such as the evidence that it relies on.
    pub(crate) remark: Arc<Mutex<String>>,
}

/// Fresh storage of one driver, for one check.
pub(crate) struct Stage {
    pub(crate) context: Arc<Context>,
    pub(crate) storage: Box<dyn ErasedStorage>,
    clock: TestClock,
}

/// Where virtual time begins: 15 January 2027, 08:00 UTC.
const BEGINNING: Timestamp = Timestamp::from_millis(1_800_000_000_000);

impl Stage {
    /// Fresh storage of this kind.
    pub(crate) async fn new(context: Arc<Context>, kind: Kind) -> Result<Self, Failure> {
        let storage = context.harness.create(kind).await?;
        Ok(Self { context, storage, clock: TestClock::new(BEGINNING) })
    }

    /// The storage of another process.
    pub(crate) fn attached(context: Arc<Context>, address: &str, now: Timestamp) -> Result<Self, Failure> {
        let storage = context.harness.attach(address)?;
        Ok(Self { context, storage, clock: TestClock::new(now) })
    }

    /// Other fresh storage of the same driver.
    pub(crate) async fn fresh(&self, kind: Kind) -> Result<Self, Failure> {
        Self::new(Arc::clone(&self.context), kind).await
    }

    /// Another handle on the storage.
    pub(crate) async fn open(&self) -> Result<DynDriver, Failure> {
        Ok(self.open_with_clone().await?.0)
    }

    /// The same, and a key.
    pub(crate) async fn open_one(&self) -> Result<(DynDriver, Key), Failure> {
        Ok((self.open().await?, self.key("one")))
    }

    /// Several handles.
    pub(crate) async fn open_many(&self, count: usize) -> Result<Vec<DynDriver>, Failure> {
        let mut handles = Vec::with_capacity(count);
        for _ in 0..count {
            handles.push(self.open().await?);
        }
        Ok(handles)
    }

    /// Another handle, and its clone.
    pub(crate) async fn open_with_clone(&self) -> Result<(DynDriver, DynDriver), Failure> {
        Ok(self.storage.open(Arc::new(self.clock.clone())).await?)
    }

    /// A handle on storage that was closed, or whose process was killed. If it cannot be opened, the driver fails, not
    /// the harness.
    pub(crate) async fn reopen(&self) -> Result<DynDriver, Failure> {
        self.open().await.map_err(|failure| match failure {
            Failure::Harness(text) => unmet("the store opens again", text),
            other => other,
        })
    }

    /// A key of prefix `session`.
    pub(crate) fn key(&self, id: &str) -> Key {
        Key::new(&Prefix::SESSION, id).expect("the ids of the checks are valid")
    }

    /// So many keys whose ids begin with `name`.
    pub(crate) fn keys(&self, name: &str, count: usize) -> Vec<Key> {
        (0..count).map(|number| self.key(&format!("{name}-{number}"))).collect()
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
                tokio::time::sleep(deadline.saturating_since(self.now()) + late + Duration::from_millis(2))
                    .await;
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
