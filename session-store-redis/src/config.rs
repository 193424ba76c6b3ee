//! The options of a store.

use std::sync::Arc;
use std::time::Duration;

use session_core::{Clock, SystemClock};

/// Where the server is and how it is talked to. [`Redis::connect`](crate::Redis::connect) checks the options.
#[derive(Clone)]
#[must_use]
pub struct RedisConfig {
    pub(crate) urls: Vec<String>,
    pub(crate) cluster: bool,
    pub(crate) namespace: String,
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) max_record_bytes: u64,
    #[cfg(feature = "tls")]
    pub(crate) tls: Tls,
    pub(crate) clock: Arc<dyn Clock>,
}

impl RedisConfig {
    /// A single server, as a URL of the redis crate: `redis://[user:password@]host[:port][/database]`, `rediss://` with feature
    /// `tls`, `redis+unix:///path`.
    pub fn new(url: impl Into<String>) -> Self {
        Self::with(vec![url.into()], false)
    }

    /// A cluster, of which any nodes are named; the others are found.
    #[cfg(feature = "cluster")]
    pub fn cluster(urls: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::with(urls.into_iter().map(Into::into).collect(), true)
    }

    fn with(urls: Vec<String>, cluster: bool) -> Self {
        Self {
            urls,
            cluster,
            namespace: "session-kit:".into(),
            timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(1),
            max_record_bytes: 16 << 20,
            #[cfg(feature = "tls")]
            tls: Tls::default(),
            clock: SystemClock::shared(),
        }
    }

    /// What stands before every key, so that applications can share a database. Default: `session-kit:`. At most 255
    /// bytes.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// How long an operation may take, waiting for a connection and for redirections included. What was not answered
    /// by then is `Timeout`; what could not even be sent is `Unavailable`. So while the server is away, calls wait this
    /// long for it. At least 10 ms. Default: 2 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long one attempt to connect may take, TLS and password included; to a cluster, up to three times as long.
    /// At least 10 ms; for a cluster less than [`timeout`](Self::timeout), for its operations wait while a node that
    /// does not answer is tried. A single server's goes on when a call waits no longer. Default: 1 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The largest data of one record, in bytes; more is `TooLarge`. Default: 16 MiB; at most 512 MB, as Redis.
    pub fn max_record_bytes(mut self, bytes: u64) -> Self {
        self.max_record_bytes = bytes;
        self
    }

    /// The authority that signed the servers' certificates, as PEM, in place of those that the operating system trusts.
    #[cfg(feature = "tls")]
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls.root = Some(pem.into());
        self
    }

    /// The certificate by which this client proves who it is, and its key, as PEM.
    #[cfg(feature = "tls")]
    pub fn client_certificate(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.tls.client = Some((certificate.into(), key.into()));
        self
    }

    /// As the crate takes them.
    #[cfg(feature = "tls")]
    pub(crate) fn certificates(&self) -> redis::TlsCertificates {
        let client = self.tls.client.clone();
        redis::TlsCertificates {
            client_tls: client
                .map(|(client_cert, client_key)| redis::ClientTlsConfig { client_cert, client_key }),
            root_cert: self.tls.root.clone(),
        }
    }

    /// The clock that decides what has expired, by the records' own deadlines. Default: the wall clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

#[cfg(feature = "tls")]
#[derive(Clone, Default)]
pub(crate) struct Tls {
    root: Option<Vec<u8>>,
    client: Option<(Vec<u8>, Vec<u8>)>,
}

impl std::fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URLs may hold a password, the rest a key.
        f.debug_struct("RedisConfig")
            .field("cluster", &self.cluster)
            .field("namespace", &self.namespace)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
