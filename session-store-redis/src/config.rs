//! The options of a store.

use std::sync::Arc;
use std::time::Duration;

use session_core::{Clock, Operation, Result, StoreError, StoreErrorKind, SystemClock};

/// The server or cluster and how the driver talks to it. [`RedisStore::open`](crate::RedisStore::open) checks the
/// options.
#[derive(Clone)]
#[must_use]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default = "RedisConfig::unset", deny_unknown_fields))]
pub struct RedisConfig {
    pub(crate) urls: Vec<String>,
    pub(crate) cluster: bool,
    pub(crate) namespace: String,
    pub(crate) password: Option<String>,
    #[cfg_attr(feature = "serde", serde(deserialize_with = "session_core::deserialize_duration"))]
    pub(crate) response_timeout: Duration,
    #[cfg_attr(feature = "serde", serde(deserialize_with = "session_core::deserialize_duration"))]
    pub(crate) connect_timeout: Duration,
    pub(crate) max_record_bytes: u64,
    pub(crate) native_compare: bool,
    #[cfg(feature = "tls")]
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) tls: Tls,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) clock: Arc<dyn Clock>,
}

const SHORTEST_TIMEOUT: Duration = Duration::from_millis(10);
/// Redis strings end at 512 MiB.
const LARGEST_RECORD: u64 = 536_000_000;

impl RedisConfig {
    /// One server: `redis://[user:password@]host[:port][/database]`, `redis+unix:///path`, or `rediss://…` with feature
    /// `tls`. User and password are percent-encoded. `?protocol=resp3` chooses the newer protocol; other options are
    /// methods of this type and not parts of the URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self { urls: vec![url.into()], ..Self::unset() }
    }

    /// A cluster. Names some of its nodes; the driver finds the others.
    #[cfg(feature = "cluster")]
    pub fn cluster(urls: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { urls: urls.into_iter().map(Into::into).collect(), cluster: true, ..Self::unset() }
    }

    fn unset() -> Self {
        Self {
            urls: Vec::new(),
            cluster: false,
            namespace: "session-kit:".into(),
            password: None,
            response_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(1),
            max_record_bytes: 16 << 20,
            native_compare: true,
            #[cfg(feature = "tls")]
            tls: Tls::default(),
            clock: SystemClock::shared(),
        }
    }

    session_core::setters! {
        /// The text before every key, so that several applications can share a database. Default: `session-kit:`. At
        /// most 255 bytes.
        namespace: impl Into<String> => namespace.into(),
        /// The password of the user in the URL, or of the default user. Replaces the URL's, and needs no
        /// percent-encoding. [`RedisStore::change_password`](crate::RedisStore::change_password) changes it later.
        password: impl Into<String> => Some(password.into()),
        /// The time limit of one operation, including the wait for a connection and for redirections. A command
        /// without an answer by then is `Timeout`; a command that could not be sent is `Unavailable`. At least 10 ms.
        /// Default: 2 s.
        response_timeout: Duration,
        /// The time limit of one attempt to connect, including TLS and the password; three times as much for a
        /// cluster. At least 10 ms. Default: 1 s.
        ///
        /// For a cluster it must be shorter than [`response_timeout`](Self::response_timeout), because operations
        /// wait while the driver tries a node that does not answer.
        connect_timeout: Duration,
        /// The largest data of one record, in bytes; more is `TooLarge`. Default: 16 MiB. At most 536,000,000.
        max_record_bytes: u64,
        /// Whether to compare without a script where the server can (`SET` with `IFEQ`). The driver asks the server at
        /// each connection. `false` uses scripts on all servers, for tests and comparisons. Default: `true`.
        native_compare: bool,
        /// The clock by which the driver judges deadlines. Default: the system clock.
        clock: Arc<dyn Clock>,
    }

    /// The authority that signed the servers' certificates, as PEM. Default: the authorities that the operating system
    /// trusts.
    #[cfg(feature = "tls")]
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls.root = Some(pem.into());
        self
    }

    /// The certificate of this client and its key, as PEM. Some servers require one.
    #[cfg(feature = "tls")]
    pub fn client_certificate(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.tls.client = Some((certificate.into(), key.into()));
        self
    }

    /// The certificates in the redis crate's form.
    #[cfg(feature = "tls")]
    pub(crate) fn certificates(&self) -> redis::TlsCertificates {
        let client = self.tls.client.clone();
        redis::TlsCertificates {
            client_tls: client
                .map(|(client_cert, client_key)| redis::ClientTlsConfig { client_cert, client_key }),
            root_cert: self.tls.root.clone(),
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        let wrong = if self.urls.is_empty() {
            "no URL"
        } else if self.cluster && !cfg!(feature = "cluster") {
            "a cluster needs the feature cluster"
        } else if self.namespace.len() > 255 {
            "namespace is longer than 255 bytes"
        } else if self.response_timeout < SHORTEST_TIMEOUT || self.connect_timeout < SHORTEST_TIMEOUT {
            "a timeout is shorter than 10 ms"
        } else if self.cluster && self.connect_timeout >= self.response_timeout {
            "connect_timeout is not shorter than response_timeout, as a cluster needs it"
        } else if !(1..=LARGEST_RECORD).contains(&self.max_record_bytes) {
            "max_record_bytes is not between 1 and 536,000,000"
        } else {
            return Ok(());
        };
        Err(StoreError::new(StoreErrorKind::Misconfigured, Operation::Open).with_detail(wrong))
    }
}

#[cfg(feature = "tls")]
#[derive(Clone, Default)]
pub(crate) struct Tls {
    root: Option<Vec<u8>>,
    client: Option<(Vec<u8>, Vec<u8>)>,
}

session_core::from_path!(RedisConfig: &str, String);

impl std::fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the URLs, the password and the certificates, which may hold a private key.
        f.debug_struct("RedisConfig")
            .field("cluster", &self.cluster)
            .field("namespace", &self.namespace)
            .field("response_timeout", &self.response_timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "serde"))]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_with_units_and_defaults() {
        let read = |text| serde_json::from_str::<RedisConfig>(text);
        let config = read(r#"{"urls": ["redis://h"], "response_timeout": "250ms"}"#).unwrap();
        assert_eq!(config.response_timeout, Duration::from_millis(250));
        assert_eq!((config.connect_timeout, &*config.namespace), (Duration::from_secs(1), "session-kit:"));
        assert!(read(r#"{"urls": [], "time": "1s"}"#).is_err());
        assert!(read("{}").unwrap().check().is_err(), "no URL");
    }
}
