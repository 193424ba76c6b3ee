//! The options of a store.

use std::sync::Arc;
use std::time::Duration;

use session_core::{Clock, SystemClock};

/// Where the server is and how it is talked to. [`Redis::connect`](crate::Redis::connect) checks the options.
#[derive(Clone)]
#[must_use]
pub struct Config {
    pub(crate) urls: Vec<String>,
    pub(crate) cluster: bool,
    pub(crate) namespace: String,
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) max_value: u64,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Config {
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
            connect_timeout: Duration::from_secs(2),
            max_value: 16 << 20,
            clock: SystemClock::shared(),
        }
    }

    /// What stands before every key, so that applications can share a database. Default: `session-kit:`. At most 255
    /// bytes.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// How long an operation may take, reconnecting and redirections included; then it is `Timeout`. At least 10 ms.
    /// Default: 2 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long one attempt to connect may take. At least 10 ms. Default: 2 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The largest data of one record, in bytes; more is `TooLarge`. Default: 16 MiB; at most 512 MB, as Redis.
    pub fn max_value(mut self, bytes: u64) -> Self {
        self.max_value = bytes;
        self
    }

    /// The clock that decides what has expired, by the records' own deadlines. Default: the wall clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URLs may hold a password.
        f.debug_struct("Config")
            .field("cluster", &self.cluster)
            .field("namespace", &self.namespace)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
