//! The options of a store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use session_core::{
    Clock, Durability, Operation, Result, StoreError, StoreErrorKind, SystemClock, check_options,
};
use tokio_postgres::config::TargetSessionAttrs;

use crate::schema::Table;

/// The server and how the driver uses it. [`PostgresStore::open`](crate::PostgresStore::open) checks the options.
#[derive(Clone)]
#[must_use]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default = "PostgresConfig::unset", deny_unknown_fields))]
pub struct PostgresConfig {
    pub(crate) url: String,
    pub(crate) password: Option<String>,
    pub(crate) table: String,
    pub(crate) create_table: bool,
    pub(crate) durability: Durability,
    pub(crate) prepare: bool,
    pub(crate) connections: usize,
    #[cfg_attr(feature = "serde", serde(deserialize_with = "session_core::deserialize_duration"))]
    pub(crate) response_timeout: Duration,
    #[cfg_attr(feature = "serde", serde(deserialize_with = "session_core::deserialize_duration"))]
    pub(crate) connect_timeout: Duration,
    pub(crate) max_record_bytes: u64,
    #[cfg_attr(feature = "serde", serde(skip, default = "SystemClock::shared"))]
    pub(crate) clock: Arc<dyn Clock>,
}

const SHORTEST_TIMEOUT: Duration = Duration::from_millis(10);
/// A value of PostgreSQL ends at 1 GB, and text forms in its logs take twice the room.
const LARGEST_RECORD: u64 = 500_000_000;

impl PostgresConfig {
    /// The database at `postgres://user[:password]@host[:port]/database`. The URL takes the options of libpq that
    /// tokio-postgres knows, such as `sslmode` and several hosts. Options of the driver are methods of this type.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::unset() }
    }

    fn unset() -> Self {
        Self {
            url: String::new(),
            password: None,
            table: "sessions".into(),
            create_table: true,
            durability: Durability::Power,
            prepare: false,
            connections: 16,
            response_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(1),
            max_record_bytes: 16 << 20,
            clock: SystemClock::shared(),
        }
    }

    session_core::setters! {
        /// The password of the URL's user. Replaces the URL's, and needs no percent-encoding.
        password: impl Into<String> => Some(password.into()),
        /// The table, as `name` or `schema.name`. Upper and lower case differ. Default: `sessions`, in the first schema
        /// of the role's `search_path`.
        table: impl Into<String> => table.into(),
        /// Creates a missing table and migrates an old one at `open`. Without it, an operator runs
        /// [`sql`](Self::sql). Default: yes.
        create_table: bool,
        /// Whether acknowledged writes survive a crash of the server. Default: [`Durability::Power`], as PostgreSQL's
        /// own default. Under [`Durability::Process`] a change does not wait for the disk (`synchronous_commit = off`),
        /// and a crash of the server or its host undoes the changes of the last moment: at most three times the
        /// server's `wal_writer_delay`, so 0.6 s by default.
        durability: Durability,
        /// Prepares each statement once per connection, which saves the server the planning. Only for direct
        /// connections, and for proxies that keep the prepared statements of their clients apart, such as PgBouncer 1.21
        /// and newer with `max_prepared_statements`. Default: no.
        prepare: bool,
        /// Most connections to the server, 1 to 1,000. They are opened when they are needed. Default: 16.
        connections: usize,
        /// The time limit of one operation, including the wait for a connection. A statement without an answer by then
        /// is `Timeout`. At least 10 ms. Default: 2 s.
        response_timeout: Duration,
        /// The time limit of connecting to one host of the URL. At least 10 ms. Default: 1 s.
        connect_timeout: Duration,
        /// The largest data of one record, in bytes; more is `TooLarge`. Default: 16 MiB. At most 500,000,000.
        max_record_bytes: u64,
        /// The clock that decides which records are expired. Default: the system clock. The server's clock plays no
        /// part.
        clock: Arc<dyn Clock>,
    }

    /// The SQL that creates the table and its index, for an operator. Run it in one transaction.
    ///
    /// # Errors
    /// `Misconfigured` if the name of the table is not valid.
    pub fn sql(&self) -> Result<String> {
        Ok(Table::new(&self.table)?.sql(0))
    }

    /// The options in tokio-postgres' form.
    pub(crate) fn connection(&self) -> Result<tokio_postgres::Config> {
        let wrong =
            |text: &str| StoreError::new(StoreErrorKind::Misconfigured, Operation::Open).with_detail(text);
        if !["postgres://", "postgresql://"].iter().any(|scheme| self.url.starts_with(scheme)) {
            return Err(wrong("a URL begins with `postgres://`"));
        }
        // The parser's error repeats no part of the URL except the name of an option.
        let mut config: tokio_postgres::Config =
            self.url.parse().map_err(|cause: tokio_postgres::Error| {
                wrong("malformed URL").with_source(crate::error::Cause::new(&cause))
            })?;
        if config.get_hosts().is_empty() {
            return Err(wrong("the URL has no host"));
        }
        if config.get_user().is_none() {
            return Err(wrong("the URL has no user"));
        }
        if let Some(password) = &self.password {
            config.password(password);
        }
        if config.get_application_name().is_none() {
            config.application_name("session-kit");
        }
        // A standby accepts no change, and its reads may be old.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.connect_timeout(self.connect_timeout);
        // Ends connections to a host that went away without a word.
        config.keepalives_idle(Duration::from_secs(30)).tcp_user_timeout(Duration::from_secs(30));
        Ok(config)
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_options(&[
            ((1..=1_000).contains(&self.connections), "connections is not in 1..=1000"),
            (
                self.response_timeout >= SHORTEST_TIMEOUT && self.connect_timeout >= SHORTEST_TIMEOUT,
                "a timeout is shorter than 10 ms",
            ),
            (
                (1..=LARGEST_RECORD).contains(&self.max_record_bytes),
                "max_record_bytes is not in 1..=500000000",
            ),
        ])
    }
}

session_core::from_path!(PostgresConfig: &str, String);

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the URL, which may have a password.
        f.debug_struct("PostgresConfig")
            .field("table", &self.table)
            .field("durability", &self.durability)
            .field("prepare", &self.prepare)
            .field("connections", &self.connections)
            .field("response_timeout", &self.response_timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_options_are_refused_without_secrets() {
        for (url, said) in [
            ("localhost/app", "begins with `postgres://`"),
            ("postgres://app:hunter2@/app", "no host"),
            ("postgres://host/app", "no user"),
            ("postgres://app:hunter2@host:port/app", "malformed URL"),
            ("postgres://app:hunter2@host/app?table=x", "malformed URL"),
        ] {
            let error = PostgresConfig::new(url).connection().unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{url}");
            assert!(error.to_string().contains(said), "{url}: {error}");
            assert!(!format!("{error:?}").contains("hunter2"), "{url}: {error:?}");
        }
        let fine = || PostgresConfig::new("postgres://app:hunter2@host/app");
        assert!(!format!("{:?}", fine()).contains("hunter2"));
        assert!(fine().check().is_ok() && fine().connection().is_ok());
        for wrong in [
            fine().connections(0),
            fine().connections(1_001),
            fine().max_record_bytes(0),
            fine().max_record_bytes(u64::MAX),
            fine().response_timeout(Duration::ZERO),
            fine().connect_timeout(Duration::ZERO),
        ] {
            assert_eq!(wrong.check().unwrap_err().kind(), StoreErrorKind::Misconfigured);
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn options_are_read_with_units_and_defaults() {
        let read = |text| serde_json::from_str::<PostgresConfig>(text);
        let config =
            read(r#"{"url": "postgres://u@h/d", "response_timeout": "250ms", "prepare": true}"#).unwrap();
        assert_eq!((config.response_timeout, config.prepare), (Duration::from_millis(250), true));
        assert_eq!((config.connect_timeout, &*config.table), (Duration::from_secs(1), "sessions"));
        assert!(read(r#"{"url": "postgres://u@h/d", "time": "1s"}"#).is_err());
        assert!(read("{}").unwrap().connection().is_err(), "no URL");
    }
}
