//! One value per session in Redis.

use super::system::{System, with_system};

/// The values of a key-value store with one session each, for `RedisEntries`.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "handover-redis"), allow(dead_code, reason = "the source uses it"))]
pub struct Entries {
    pub(super) system: System,
    pub(super) prefix: String,
    pub(super) lock_suffix: Option<String>,
}

impl Entries {
    /// The keys that have the session's name after `prefix`. The TTL of a key is the end of its session, and `system` may know
    /// an earlier one.
    pub fn new(prefix: impl Into<String>, system: System) -> Self {
        Self { system, prefix: prefix.into(), lock_suffix: None }
    }

    /// A session is locked as long as there is a key of its name and this suffix.
    #[must_use]
    pub fn locked_by(mut self, suffix: impl Into<String>) -> Self {
        self.lock_suffix = Some(suffix.into());
        self
    }

    /// The prefix of the keys, if it is not the usual one.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    with_system!();
}
