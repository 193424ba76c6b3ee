//! The settings of the server that the driver's statements need, and how its own connections begin with them.
//!
//! Each statement looks at the settings and sets those that differ, for itself only. So it is right on every connection,
//! also behind a proxy that gives each transaction another one. Setting costs the server a tenth of a store, so the
//! driver's own connections ask for the settings when they are opened. A proxy may ignore or refuse that.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool_postgres::Client;
use session_core::Durability;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Config, Error};

use crate::error::Failure;
use crate::schema::within;

/// The settings with which statements usually run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// `lock_timeout`, as the server writes it.
    pub(crate) lock_timeout: String,
}

/// The state of the server when the store is opened.
pub(crate) struct Look {
    pub(crate) is_standby: bool,
    pub(crate) fsync: bool,
    pub(crate) settings: Settings,
    /// The options that a connection needs to begin with the settings. Empty if it does so anyway.
    pub(crate) options: String,
}

impl Look {
    /// Looks at the server over a connection without such options.
    pub(crate) async fn at(
        client: &Client,
        durability: Durability,
        limit: Duration,
    ) -> Result<Self, Failure> {
        let millis = lock_millis(limit);
        let wait = limit.max(Duration::from_secs(1));
        let sql = format!(
            "SELECT pg_is_in_recovery(), current_setting('fsync')::boolean, current_setting('synchronous_commit'), \
             current_setting('lock_timeout'), CASE WHEN {} THEN current_setting('lock_timeout') \
             ELSE set_config('lock_timeout', '{millis}', true) END",
            is_short(millis)
        );
        let row = within(wait, client.query_typed_one(&sql, &[])).await?;
        let unexpected = |_| Failure::Unexpected;
        let text = |at| row.try_get::<_, String>(at).map_err(unexpected);
        let (commit, lock, usual) = (text(2)?, text(3)?, text(4)?);
        let mut options = String::new();
        if lock != usual {
            options.push_str(&format!(" -c lock_timeout={millis}"));
        }
        match durability {
            Durability::Process if commit != "off" => options.push_str(" -c synchronous_commit=off"),
            Durability::Power if commit == "off" => options.push_str(" -c synchronous_commit=on"),
            _ => {}
        }
        // A part of each statement. The server writes a number and a unit.
        let is_plain = usual.bytes().all(|byte| byte.is_ascii_alphanumeric());
        Ok(Self {
            is_standby: row.try_get(0).map_err(unexpected)?,
            fsync: row.try_get(1).map_err(unexpected)?,
            settings: Settings { lock_timeout: if is_plain { usual } else { String::new() } },
            options,
        })
    }
}

/// The options with which new connections begin.
#[derive(Debug, Default)]
pub(crate) struct Startup {
    options: OnceLock<String>,
    /// A proxy in front of the server takes no options.
    refused: AtomicBool,
}

impl Startup {
    /// Later connections begin with these options.
    pub(crate) fn set(&self, options: String) {
        // An error means that they are set already.
        drop(self.options.set(options));
    }

    /// A configuration with the options after its own, or `None` if it needs none.
    pub(crate) fn apply(&self, config: &Config) -> Option<Config> {
        let options = self.options.get().filter(|options| !options.is_empty())?;
        if self.refused.load(Ordering::Relaxed) {
            return None;
        }
        let mut config = config.clone();
        let all = [config.get_options().unwrap_or_default(), options].concat();
        config.options(all);
        Some(config)
    }

    /// Whether an attempt with the options failed because of them. Later connections do without, because every statement
    /// sets what it needs.
    pub(crate) fn is_refused(&self, cause: &Error) -> bool {
        let refusals = [
            SqlState::PROTOCOL_VIOLATION,
            SqlState::FEATURE_NOT_SUPPORTED,
            SqlState::UNDEFINED_OBJECT,
            SqlState::INVALID_PARAMETER_VALUE,
        ];
        let refused = cause.code().is_some_and(|code| refusals.contains(code));
        if refused {
            self.refused.store(true, Ordering::Relaxed);
        }
        refused
    }
}

/// The longest wait of a statement for a lock, in milliseconds. The caller learns the reason before its own time is up.
pub(crate) fn lock_millis(limit: Duration) -> u128 {
    (limit / 4 * 3).as_millis()
}

/// A condition on `lock_timeout`: it is a limit, and no longer than this.
pub(crate) fn is_short(millis: u128) -> String {
    format!("current_setting('lock_timeout')::interval BETWEEN '1 ms' AND '{millis} ms'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_follow_those_of_the_url() {
        let startup = Startup::default();
        let mut config = Config::new();
        config.options("-c work_mem=1MB");
        assert!(startup.apply(&config).is_none(), "nothing is known yet");
        startup.set(" -c lock_timeout=1500".to_owned());
        let with_options = startup.apply(&config).unwrap();
        assert_eq!(with_options.get_options(), Some("-c work_mem=1MB -c lock_timeout=1500"));
        let none = Startup::default();
        none.set(String::new());
        assert!(none.apply(&config).is_none());
    }
}
