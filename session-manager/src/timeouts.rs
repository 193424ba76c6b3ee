//! Timeouts from published guidelines, as data.

use std::time::Duration;

use session_core::Driver;

use crate::builder::SessionsBuilder;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// An idle timeout and an absolute lifetime: [`SessionsBuilder::timeouts`] sets both.
///
/// OWASP ASVS 5.0 requires both timeouts (7.3.1, 7.3.2) and names no values: an application documents its own, and why
/// they deviate from NIST SP 800-63B where they do (7.1.1). The constants are upper bounds of published guidelines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// How long a session lives without being used.
    pub idle: Duration,
    /// How long it lives from its creation, last login or rotation; `None` for no limit.
    pub absolute: Option<Duration>,
}

impl Timeouts {
    /// NIST SP 800-63B-4, section 2.1.3, assurance level 1: a login at least every 30 days. It has no bound for idle time,
    /// so both timeouts are 30 days.
    pub const NIST_AAL1: Self = Self::of(30 * 24 * HOUR, 30 * 24 * HOUR);
    /// NIST SP 800-63B-4, section 2.2.3, assurance level 2: at most one hour idle and 24 hours in all.
    pub const NIST_AAL2: Self = Self::of(HOUR, 24 * HOUR);
    /// NIST SP 800-63B-4, section 2.3.3, assurance level 3: at most 15 minutes idle and 12 hours in all.
    pub const NIST_AAL3: Self = Self::of(15 * MINUTE, 12 * HOUR);
    /// OWASP Session Management Cheat Sheet, low risk: at most 30 minutes idle, and 8 hours, a working day, in all.
    pub const OWASP_LOW_RISK: Self = Self::of(30 * MINUTE, 8 * HOUR);
    /// OWASP Session Management Cheat Sheet, high value: at most 5 minutes idle, and 4 hours in all.
    pub const OWASP_HIGH_VALUE: Self = Self::of(5 * MINUTE, 4 * HOUR);

    const fn of(idle: u64, absolute: u64) -> Self {
        Self { idle: Duration::from_secs(idle), absolute: Some(Duration::from_secs(absolute)) }
    }
}

impl<D: Driver> SessionsBuilder<D> {
    /// Sets [`idle_timeout`](Self::idle_timeout) and [`absolute_lifetime`](Self::absolute_lifetime) together.
    ///
    /// ```
    /// # use session_manager::{SessionsBuilder, Timeouts};
    /// # fn strict<D: session_core::Driver>(builder: SessionsBuilder<D>) -> SessionsBuilder<D> {
    /// builder.timeouts(Timeouts::NIST_AAL2)
    /// # }
    /// ```
    pub fn timeouts(self, timeouts: Timeouts) -> Self {
        self.idle_timeout(timeouts.idle).absolute_lifetime(timeouts.absolute)
    }
}
