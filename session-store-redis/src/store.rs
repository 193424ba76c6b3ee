//! The driver.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use session_core::{
    Capabilities, Change, ChangeRequest, Clock, Condition, Cursor, Driver, ExpiryMode, Key, Operation, Page,
    Prefix, Purged, Record, Result, RollsBack, Shared, Survives, Touch,
};

use crate::config::RedisConfig;
use crate::open::Inner;

/// A session store in Redis or Redis Cluster. Clones are handles on the same connection.
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

impl RedisStore {
    /// Connects, within a tokio runtime. The driver replaces the connection whenever it is lost later.
    ///
    /// # Errors
    /// `Misconfigured` for an option out of range, a malformed URL, or where the server refuses the password or the
    /// user's rights; `Unavailable` and `Timeout` where the server cannot be reached.
    pub async fn open(config: impl Into<RedisConfig>) -> Result<Self> {
        Ok(Self(Arc::new(Inner::open(config.into()).await?)))
    }

    /// Connects with another password, and uses it for all later connections of all handles. Calls in progress finish on
    /// the old connection.
    ///
    /// To change a password without a failed call, the server accepts both for a while: `ACL SETUSER app >new`, then
    /// this call in each process, then `ACL SETUSER app <old`.
    ///
    /// # Errors
    /// Nothing changes then. `Misconfigured` where the server refuses the password; `Unavailable` and `Timeout` where
    /// it cannot be reached; `Closed`.
    pub async fn change_password(&self, password: impl Into<String>) -> Result<()> {
        self.0.link.change_password(password.into()).await
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("config", &self.0.config)
            .field("closed", &self.0.link.gate.is_closed())
            .finish_non_exhaustive()
    }
}

impl Driver for RedisStore {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        self.0.retrieve(key).await
    }

    async fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        self.0.change(key, &ChangeRequest::Store { record, condition }, None).await
    }

    async fn store_over(&self, key: &Key, record: Record, loaded: &Record) -> Result<Change> {
        let condition = Condition::Revision(loaded.revision);
        self.0.change(key, &ChangeRequest::Store { record, condition }, Some(loaded)).await
    }

    async fn remove(&self, key: &Key, condition: Condition) -> Result<Change> {
        self.0.change(key, &ChangeRequest::Remove { condition }, None).await
    }

    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        self.0.traverse(prefix, &from, limit).await
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        Ok(self.0.change(key, &ChangeRequest::Touch(touch), None).await?.is_applied())
    }

    async fn purge(&self, _: usize) -> Result<Purged> {
        self.0.purge()
    }

    async fn flush(&self) -> Result<()> {
        self.0.link.gate.check(Operation::Flush)
    }

    async fn close(&self) -> Result<()> {
        self.0.link.close();
        Ok(())
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::none()
            .conditional(true)
            .survives(Survives::Kill)
            .rolls_back(RollsBack::Failover)
            .shared(Shared::Network)
            .expiry(ExpiryMode::Engine { granularity: Duration::ZERO })
            .max_record_bytes(Some(self.0.config.max_record_bytes))
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.0.config.clock)
    }
}
