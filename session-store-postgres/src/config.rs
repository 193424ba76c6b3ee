//! The options of a store.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use session_core::{
    Clock, Durability, Operation, Result, StoreError, StoreErrorKind, SystemClock, check_options,
};
use tokio_postgres::config::{Host, TargetSessionAttrs};

use crate::schema::Table;
use crate::sslmode::{Certificates, Pem, SslMode, TlsOptions};

/// The server and how the driver uses it. [`PostgresStore::open`](crate::PostgresStore::open) checks the options.
#[derive(Clone)]
#[must_use]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default = "PostgresConfig::unset", deny_unknown_fields))]
pub struct PostgresConfig {
    pub(crate) url: String,
    pub(crate) password: Option<String>,
    pub(crate) sslmode: Option<SslMode>,
    pub(crate) sslrootcert: Option<String>,
    pub(crate) sslcert: Option<String>,
    pub(crate) sslkey: Option<String>,
    #[cfg(feature = "tls")]
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) certificates: Certificates,
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
const LONGEST_TIMEOUT: Duration = Duration::from_secs(3_600);
/// A value of PostgreSQL ends at 1 GB, and text forms in its logs take twice the room.
const LARGEST_RECORD: u64 = 500_000_000;

impl PostgresConfig {
    /// The database at `postgres://user[:password]@host[:port]/database`. The URL takes the options of libpq that
    /// tokio-postgres knows, such as several hosts, and `sslmode`, `sslrootcert`, `sslcert` and `sslkey`. Options of the
    /// driver are methods of this type.
    ///
    /// Another host than this machine needs the feature `tls`, or `?sslmode=disable`, whose connections carry the password
    /// and all sessions in clear text: see [`SslMode`].
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::unset() }
    }

    fn unset() -> Self {
        Self {
            url: String::new(),
            password: None,
            sslmode: None,
            sslrootcert: None,
            sslcert: None,
            sslkey: None,
            #[cfg(feature = "tls")]
            certificates: Certificates::default(),
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
        /// Encryption and the check of the server's certificate. Replaces the URL's. Default: see [`SslMode`].
        sslmode: SslMode => Some(sslmode),
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
        /// is `Timeout`. 10 ms to 1 h. Default: 2 s.
        response_timeout: Duration,
        /// The time limit of connecting to one host of the URL. 10 ms to 1 h. Default: 1 s.
        connect_timeout: Duration,
        /// The largest data of one record, in bytes; more is `TooLarge`. Default: 16 MiB. At most 500,000,000.
        max_record_bytes: u64,
        /// The clock that decides which records are expired. Default: the system clock. The server's clock plays no
        /// part.
        clock: Arc<dyn Clock>,
    }

    /// The authority that signed the server's certificate, as PEM. Replaces the file `sslrootcert` of the URL. Default: the
    /// authorities that the operating system trusts.
    #[cfg(feature = "tls")]
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.certificates.root = Some(Pem::Text(pem.into()));
        self
    }

    /// The certificate of this client and its key, as PEM. Replaces the files `sslcert` and `sslkey` of the URL. Some
    /// servers require one.
    #[cfg(feature = "tls")]
    pub fn client_certificate(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.certificates.client = Some((Pem::Text(certificate.into()), Pem::Text(key.into())));
        self
    }

    /// The SQL that creates the table and its index, for an operator. Run it in one transaction.
    ///
    /// # Errors
    /// `Misconfigured` if the name of the table is not valid.
    pub fn sql(&self) -> Result<String> {
        Ok(Table::new(&self.table)?.sql(0))
    }

    /// The options in tokio-postgres' form, and those of TLS.
    pub(crate) fn connection(&self) -> Result<(tokio_postgres::Config, SslMode, Certificates)> {
        let wrong =
            |text: &str| StoreError::new(StoreErrorKind::Misconfigured, Operation::Open).with_detail(text);
        if !["postgres://", "postgresql://"].iter().any(|scheme| self.url.starts_with(scheme)) {
            return Err(wrong("a URL begins with `postgres://`"));
        }
        let (url, options) = crate::url::split(&self.url)?;
        let mut config: tokio_postgres::Config = url.parse().map_err(|cause: tokio_postgres::Error| {
            // The parser's error repeats the name of an unknown option, which may be a part of a password. It repeats
            // no other part of the URL.
            match crate::error::Cause::new(&cause) {
                cause if cause.to_string().contains("unknown option") => {
                    wrong("unknown option after `?`; in a password write `%3F` for `?` and `%26` for `&`")
                }
                cause => wrong("malformed URL").with_source(cause),
            }
        })?;
        if config.get_hosts().is_empty() {
            return Err(wrong("the URL has no host"));
        }
        if config.get_user().is_none() {
            return Err(wrong("the URL has no user"));
        }
        let (mode, certificates) = self.security(options, is_this_machine(&config))?;
        config.ssl_mode(match mode {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
                tokio_postgres::config::SslMode::Require
            }
        });
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
        Ok((config, mode, certificates))
    }

    /// The mode and the certificates. `options` are those of the URL.
    fn security(&self, mut options: TlsOptions, is_this_machine: bool) -> Result<(SslMode, Certificates)> {
        let over = |option: &mut Option<String>, own: &Option<String>| {
            if own.is_some() {
                option.clone_from(own);
            }
        };
        options.sslmode = self.sslmode.or(options.sslmode);
        over(&mut options.sslrootcert, &self.sslrootcert);
        over(&mut options.sslcert, &self.sslcert);
        over(&mut options.sslkey, &self.sslkey);
        #[cfg(feature = "tls")]
        let passed = self.certificates.clone();
        #[cfg(not(feature = "tls"))]
        let passed = Certificates::default();
        let mode = options.mode(is_this_machine, passed.root.is_some(), passed.client.is_some())?;
        let file = |path: &str| Pem::File(path.to_owned());
        let root = passed.root.or_else(|| options.root_file().map(file));
        let files = options.sslcert.as_deref().zip(options.sslkey.as_deref());
        let client = passed.client.or_else(|| files.map(|(certificate, key)| (file(certificate), file(key))));
        Ok((mode, Certificates { root, client }))
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_options(&[
            ((1..=1_000).contains(&self.connections), "connections is not in 1..=1000"),
            (
                self.response_timeout >= SHORTEST_TIMEOUT && self.connect_timeout >= SHORTEST_TIMEOUT,
                "a timeout is shorter than 10 ms",
            ),
            (
                self.response_timeout <= LONGEST_TIMEOUT && self.connect_timeout <= LONGEST_TIMEOUT,
                "a timeout is longer than an hour",
            ),
            (
                (1..=LARGEST_RECORD).contains(&self.max_record_bytes),
                "max_record_bytes is not in 1..=500000000",
            ),
        ])
    }
}

/// Whether no host of the URL is another machine.
fn is_this_machine(config: &tokio_postgres::Config) -> bool {
    // Addresses replace the names, which only a certificate needs.
    if !config.get_hostaddrs().is_empty() {
        return config.get_hostaddrs().iter().all(IpAddr::is_loopback);
    }
    config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    })
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
            ("postgres://app:hunter2@host/app?table=x", "unknown option"),
            ("postgres://app@host/app?password=a&hunter2=b", "unknown option"),
            ("postgres://app:hunter2@host/app?sslmode=prefer", "falls back to clear text"),
            ("postgres://app:hunter2@127.0.0.1,10.0.0.1/app?sslmode=prefer", "falls back to clear text"),
            (
                "postgres://app:hunter2@localhost/app?sslmode=prefer&hostaddr=10.0.0.1",
                "falls back to clear text",
            ),
            ("postgres://app:hunter2@localhost/app?sslmode=hunter2", "`sslmode` takes `disable`"),
            #[cfg(not(feature = "tls"))]
            ("postgres://app:hunter2@host/app", "another host needs TLS, which is the feature `tls`"),
            #[cfg(not(feature = "tls"))]
            (
                "postgres://app:hunter2@localhost/app?sslmode=require",
                "`sslmode=require` needs the feature `tls`",
            ),
            #[cfg(not(feature = "tls"))]
            (
                "postgres://app:hunter2@localhost/app?sslrootcert=ca.pem",
                "certificates need the feature `tls`",
            ),
        ] {
            let error = PostgresConfig::new(url).connection().err().unwrap();
            assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{url}");
            assert!(error.to_string().contains(said), "{url}: {error}");
            assert!(!format!("{error:?}").contains("hunter2"), "{url}: {error:?}");
        }
        for fine in [
            "postgres://app@localhost,127.0.0.2/app",
            "postgres://app@[::1]/app",
            "postgres://app@%2Frun%2Fpostgresql/app",
            "postgres://app@host/app?hostaddr=127.0.0.1",
            "postgres://app@host/app?sslmode=disable",
        ] {
            assert!(PostgresConfig::new(fine).connection().is_ok(), "{fine}");
        }
        let fine = || PostgresConfig::new("postgres://app:hunter2@localhost/app");
        assert!(!format!("{:?}", fine()).contains("hunter2"));
        assert!(fine().check().is_ok() && fine().connection().is_ok());
        for wrong in [
            fine().connections(0),
            fine().connections(1_001),
            fine().max_record_bytes(0),
            fine().max_record_bytes(u64::MAX),
            fine().response_timeout(Duration::ZERO),
            fine().connect_timeout(Duration::ZERO),
            fine().response_timeout(Duration::MAX),
            fine().connect_timeout(Duration::MAX),
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
