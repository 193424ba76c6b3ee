//! Time: the only place where the workspace reads it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A moment: milliseconds since the Unix epoch, UTC, without leap seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The earliest moment, 1 January 1970.
    pub const EPOCH: Self = Self(0);

    /// The moment `millis` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The moment `by` later, in whole milliseconds, or the latest timestamp.
    #[must_use]
    pub fn saturating_add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The moment `by` earlier, in whole milliseconds, or the epoch.
    #[must_use]
    pub fn saturating_sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The time since `earlier`, or zero if `earlier` is later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Whether a record or a value with this deadline is live at `now`. Expired means `now >= deadline`; no deadline never
/// expires.
#[inline]
#[must_use]
pub fn is_live(deadline: Option<Timestamp>, now: Timestamp) -> bool {
    deadline.is_none_or(|deadline| now < deadline)
}

/// The source of time for a driver and for the sessions that use it.
///
/// # For driver authors
/// Take an `Arc<dyn Clock>` in your options, by default [`SystemClock`], and return it from
/// [`Driver::clock`](crate::Driver::clock). Read it once per operation.
///
/// # For applications
/// The clocks of hosts that share a store must differ by at most 5 s. NTP achieves this.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The current time. MUST NOT block.
    fn now(&self) -> Timestamp;
}

/// The system's wall clock. On Linux it is read at the precision of the timer tick: up to 10 ms late, commonly 4 ms.
///
/// Session deadlines do not need more. Reading the exact clock stalls the processor's pipeline and would cost more than
/// a lookup in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl SystemClock {
    /// This clock as drivers store it.
    #[must_use]
    pub fn shared() -> Arc<dyn Clock> {
        Arc::new(Self)
    }
}

impl Clock for SystemClock {
    #[cfg(target_os = "linux")]
    fn now(&self) -> Timestamp {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        // A clock before 1970 reads as the epoch, so every record is live and none is lost.
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let millis = u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000;
        Timestamp(seconds.saturating_mul(1_000).saturating_add(millis))
    }

    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::disallowed_methods, reason = "the workspace's only reader of the system clock")]
    fn now(&self) -> Timestamp {
        use std::time::{SystemTime, UNIX_EPOCH};

        // A clock before 1970 reads as the epoch, so every record is live and none is lost.
        Timestamp::EPOCH
            .saturating_add(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO))
    }
}

/// A clock for tests that changes only on request. Clones share the time.
#[derive(Clone, Debug)]
pub struct TestClock(Arc<AtomicU64>);

impl TestClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self(Arc::new(AtomicU64::new(now.as_millis())))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.0.fetch_add(by, Ordering::SeqCst);
    }

    /// Sets the clock, forward or back.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_millis(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn expired_means_now_at_or_after_the_deadline() {
        let deadline = Timestamp::from_millis(1_000);
        assert!(is_live(Some(deadline), Timestamp::from_millis(999)));
        assert!(!is_live(Some(deadline), deadline));
        assert!(!is_live(Some(deadline), Timestamp::from_millis(1_001)));
        assert!(is_live(None, Timestamp::from_millis(u64::MAX)));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test compares with the exact clock")]
    fn system_clock_is_within_a_tick_of_the_exact_clock() {
        let exact = || {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
            u64::try_from(now.as_millis()).unwrap()
        };
        let (before, now, after) = (exact(), SystemClock.now().as_millis(), exact());
        assert!((before.saturating_sub(10)..=after).contains(&now), "{before} {now} {after}");
    }

    #[test]
    fn test_clock_changes_on_request_in_all_clones() {
        let clock = TestClock::new(Timestamp::from_millis(5));
        let other = clock.clone();
        clock.advance(Duration::from_millis(7));
        assert_eq!(other.now().as_millis(), 12);
        other.set(Timestamp::EPOCH);
        assert_eq!(clock.now(), Timestamp::EPOCH);
    }
}
