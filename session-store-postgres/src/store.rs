//! The driver.

use std::fmt;
use std::sync::Arc;

use deadpool_postgres::Pool;
use session_core::{
    Capabilities, Change, ChangeRequest, Clock, Condition, Cursor, Driver, Durability, ExpiryMode, Key, Page,
    Prefix, Purged, Record, Result, RollsBack, Shared, Survives, Touch,
};

use crate::config::PostgresConfig;
use crate::open::Inner;

/// A session store in a table of PostgreSQL. Clones are handles on the same connections.
#[derive(Clone)]
pub struct PostgresStore(Arc<Inner>);

impl PostgresStore {
    /// Connects, within a tokio runtime, and creates or migrates the table. The driver replaces lost connections later.
    ///
    /// # Errors
    /// `Misconfigured` for an option out of range, a malformed URL, a wrong password, a missing database or right, a
    /// table of another program or of a newer version; `Unavailable` and `Timeout` if the server cannot be reached or is
    /// a standby.
    pub async fn open(config: impl Into<PostgresConfig>) -> Result<Self> {
        Ok(Self(Arc::new(Inner::open(config.into()).await?)))
    }

    /// Uses the connections of a pool that the application has. `url`, `password`, `connections`, `connect_timeout`
    /// and the options of TLS play no part.
    ///
    /// The pool must lead to the primary. Its connections must be outside of a transaction. [`close`](Driver::close)
    /// leaves the pool open. deadpool runs a new connection in the runtime of the call that needs it, and the connection
    /// ends with that runtime.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn with_pool(pool: Pool, config: PostgresConfig) -> Result<Self> {
        Ok(Self(Arc::new(Inner::over(pool, None, config).await?)))
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("config", &self.0.config)
            .field("closed", &self.0.link.gate.is_closed())
            .finish_non_exhaustive()
    }
}

impl Driver for PostgresStore {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        self.0.retrieve(key).await
    }

    async fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        self.0.change(key, &ChangeRequest::Store { record, condition }).await
    }

    async fn remove(&self, key: &Key, condition: Condition) -> Result<Change> {
        self.0.change(key, &ChangeRequest::Remove { condition }).await
    }

    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        self.0.traverse(prefix, &from, limit).await
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        Ok(self.0.change(key, &ChangeRequest::Touch(touch)).await?.is_applied())
    }

    async fn purge(&self, limit: usize) -> Result<Purged> {
        self.0.purge(limit).await
    }

    async fn flush(&self) -> Result<()> {
        self.0.flush().await
    }

    async fn close(&self) -> Result<()> {
        self.0.close().await
    }

    fn capabilities(&self) -> Capabilities {
        let survives = match self.0.config.durability {
            Durability::Process => Survives::Kill,
            Durability::Power => Survives::PowerLoss,
        };
        Capabilities::none()
            .conditional(true)
            .survives(survives)
            .rolls_back(RollsBack::Failover)
            .shared(Shared::Network)
            .expiry(ExpiryMode::Caller)
            .max_record_bytes(Some(self.0.config.max_record_bytes))
            .exactly_once(true)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.0.config.clock)
    }
}
