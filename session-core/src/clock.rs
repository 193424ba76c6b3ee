//! The only place where the workspace reads time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

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

    /// The moment `by` later, in whole milliseconds, or the last one there is.
    #[must_use]
    pub fn saturating_add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The moment `by` earlier, in whole milliseconds, or the epoch.
    #[must_use]
    pub fn saturating_sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not after.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This moment in the standard library's type, or `None` where that cannot hold it.
    #[must_use]
    pub fn to_system_time(self) -> Option<SystemTime> {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(self.0))
    }
}

/// Whether something with this deadline is still live at `now`: the one rule for records and single values.
///
/// Expired means `now >= deadline`; what has no deadline never expires.
#[inline]
#[must_use]
pub fn is_live(deadline: Option<Timestamp>, now: Timestamp) -> bool {
    deadline.is_none_or(|deadline| now < deadline)
}

/// Where a driver, and the sessions on top of it, read the time.
///
/// # For driver authors
/// Take an `Arc<dyn Clock>` in your options, [`SystemClock`] by default, and hand it out from
/// [`Driver::clock`](crate::Driver::clock). Ask it once per operation.
///
/// # For applications
/// Hosts that share a store must keep their clocks within 5 s of each other (NTP does).
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present moment. It MUST NOT block.
    fn now(&self) -> Timestamp;
}

/// The wall clock of the machine, as exact as its timer tick: on Linux it may be up to 10 ms behind (commonly 4 ms).
///
/// That much is nothing to a deadline, and reading the exact clock would cost a store in memory more than finding the
/// record: it waits until the processor has done everything before.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl SystemClock {
    /// This clock in the form in which drivers keep it.
    #[must_use]
    pub fn shared() -> Arc<dyn Clock> {
        Arc::new(Self)
    }
}

impl Clock for SystemClock {
    #[cfg(target_os = "linux")]
    fn now(&self) -> Timestamp {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        // A machine set to before 1970 reads as the epoch: everything is then live, nothing is lost.
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let millis = u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000;
        Timestamp(seconds.saturating_mul(1_000).saturating_add(millis))
    }

    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::disallowed_methods, reason = "this is the place that all others go through")]
    fn now(&self) -> Timestamp {
        use std::time::{SystemTime, UNIX_EPOCH};

        // A machine set to before 1970 reads as the epoch: everything is then live, nothing is lost.
        Timestamp::EPOCH
            .saturating_add(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO))
    }
}

/// A clock that stands still until it is moved. Clones show the same time.
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

    /// Sets the clock, backwards too.
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
    #[expect(clippy::disallowed_methods, reason = "the exact clock is what the other one is held against")]
    fn the_wall_clock_is_the_wall_clock() {
        let exact = || {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
            u64::try_from(now.as_millis()).unwrap()
        };
        let (before, now, after) = (exact(), SystemClock.now().as_millis(), exact());
        assert!((before.saturating_sub(10)..=after).contains(&now), "{before} {now} {after}");
    }

    #[test]
    fn a_test_clock_moves_only_when_told_and_clones_agree() {
        let clock = TestClock::new(Timestamp::from_millis(5));
        let other = clock.clone();
        clock.advance(Duration::from_millis(7));
        assert_eq!(other.now().as_millis(), 12);
        other.set(Timestamp::EPOCH);
        assert_eq!(clock.now(), Timestamp::EPOCH);
    }
}
