//! The driver.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Value};
use session_core::{
    Capabilities, Change, Clock, Condition, Cursor, Driver, ExpiryMode, Key, Operation, Page, Prefix, Purged,
    Record, Result, Revision, RollsBack, Shared, StoreError, StoreErrorKind, Survives, Timestamp, Touch,
    is_live,
};

use crate::config::RedisConfig;
use crate::error::{corrupt, unexpected};
use crate::link::Link;
use crate::script::Scripts;
use crate::value::{decode, encode, words};
use crate::wire::Route;

/// A session store in RedisStore or RedisStore Cluster. Clones are handles on the same connection.
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) link: Arc<Link>,
    pub(crate) config: Arc<RedisConfig>,
    pub(crate) scripts: Scripts,
}

impl RedisStore {
    /// Connects, within a tokio runtime. From then on the connection comes back by itself.
    ///
    /// # Errors
    /// `Misconfigured` for an option out of range, a URL that is none, and where the server refuses the password or
    /// the user's rights; `Unavailable` and `Timeout` where the server cannot be reached.
    pub async fn connect(config: RedisConfig) -> Result<Self> {
        let wrong = |detail: &str| {
            Err(StoreError::new(StoreErrorKind::Misconfigured, Operation::Open).with_detail(detail))
        };
        if config.namespace.len() > 255 {
            return wrong("the namespace has at most 255 bytes");
        }
        if config.timeout < SHORTEST || config.connect_timeout < SHORTEST {
            return wrong("timeouts are at least 10 ms");
        }
        if config.cluster && config.connect_timeout >= config.timeout {
            return wrong("connect_timeout is less than timeout for a cluster");
        }
        if config.max_record_bytes == 0 || config.max_record_bytes > LARGEST {
            return wrong("max_record_bytes is 1 to 536,000,000 bytes");
        }
        let config = Arc::new(config);
        let link = Link::connect(Arc::clone(&config)).await?;
        Ok(Self(Arc::new(Inner { link, config, scripts: Scripts::new() })))
    }
}

const SHORTEST: Duration = Duration::from_millis(10);
/// RedisStore' strings end at 512 MiB.
const LARGEST: u64 = 536_000_000;
/// How much later than its deadline the engine collects a record, in milliseconds. Only a collection: a server whose
/// clock is wrong by less ends nothing early.
const GRACE: u64 = 60_000;

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("config", &self.0.config)
            .field("closed", &self.0.link.is_closed())
            .finish_non_exhaustive()
    }
}

impl Driver for RedisStore {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        let inner = self.0.open_for(Operation::Retrieve)?;
        let mut command = Cmd::new();
        command.arg("GET").arg(inner.name(key));
        match inner.link.ask(&command, Route::Key, Operation::Retrieve).await? {
            Value::Nil => Ok(None),
            Value::BulkString(value) => {
                let record = decode(value).map_err(|_| corrupt(Operation::Retrieve))?;
                Ok(record.is_live(inner.config.clock.now()).then_some(record))
            }
            _ => Err(unexpected(Operation::Retrieve)),
        }
    }

    async fn store(&self, key: &Key, record: Record, when: Condition) -> Result<Change> {
        let inner = self.0.open_for(Operation::Store)?;
        if record.data.len() as u64 > inner.config.max_record_bytes {
            return Err(StoreError::new(StoreErrorKind::TooLarge, Operation::Store));
        }
        let now = inner.config.clock.now();
        let value = if record.is_live(now) { encode(&record) } else { Vec::new() };
        let ttl = time_to_live(record.expires, now);
        if when == Condition::Any {
            return inner.put(key, &value, ttl.as_deref()).await;
        }
        let change =
            ChangeRequest { when, offered: Some(record.revision), value: &value, ttl: ttl.as_deref(), now };
        inner.change(key, change, Operation::Store).await.map(|(answer, _)| answer)
    }

    async fn remove(&self, key: &Key, when: Condition) -> Result<Change> {
        let inner = self.0.open_for(Operation::Remove)?;
        let change =
            ChangeRequest { when, offered: None, value: &[], ttl: None, now: inner.config.clock.now() };
        match inner.change(key, change, Operation::Remove).await? {
            // A removal says whether there was anything to remove.
            (Change::Applied, false) if when != Condition::Absent => Ok(Change::Conflict(None)),
            (answer, _) => Ok(answer),
        }
    }

    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        self.0.open_for(Operation::Traverse)?.page(prefix, &from, limit).await
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        let Touch { from, to, deadline } = touch;
        let inner = self.0.open_for(Operation::Touch)?;
        let now = inner.config.clock.now();
        let ttl = if is_live(deadline, now) { time_to_live(deadline, now) } else { Some("0".into()) };
        let name = inner.name(key);
        let answer = inner
            .link
            .run(
                &inner.scripts.touch,
                &name,
                &[
                    now.as_millis().to_string().as_bytes(),
                    &from.to_bytes(),
                    &to.to_bytes(),
                    &words(to, deadline),
                    ttl.as_deref().unwrap_or_default().as_bytes(),
                ],
                Operation::Touch,
            )
            .await?;
        match answer {
            Value::Int(touched) => Ok(touched == 1),
            _ => Err(unexpected(Operation::Touch)),
        }
    }

    async fn purge(&self, _: usize) -> Result<Purged> {
        // The engine collects by itself.
        self.0.open_for(Operation::Purge).map(|_| Purged::default())
    }

    async fn flush(&self) -> Result<()> {
        self.0.open_for(Operation::Flush).map(|_| ())
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

/// A compare-and-change, as the script takes it.
struct ChangeRequest<'a> {
    when: Condition,
    offered: Option<Revision>,
    /// Empty to remove.
    value: &'a [u8],
    ttl: Option<&'a str>,
    now: Timestamp,
}

impl Inner {
    fn open_for(&self, operation: Operation) -> Result<&Self> {
        if self.link.is_closed() { Err(StoreError::closed(operation)) } else { Ok(self) }
    }

    /// The name of a key in RedisStore.
    pub(crate) fn name(&self, key: &Key) -> Vec<u8> {
        [self.config.namespace.as_bytes(), key.as_bytes()].concat()
    }

    /// Writes or removes whatever is there.
    async fn put(&self, key: &Key, value: &[u8], ttl: Option<&str>) -> Result<Change> {
        let mut command = Cmd::new();
        if value.is_empty() {
            command.arg("DEL").arg(self.name(key));
        } else {
            command.arg("SET").arg(self.name(key)).arg(value);
            if let Some(ttl) = ttl {
                command.arg("PX").arg(ttl);
            }
        }
        self.link.ask(&command, Route::Key, Operation::Store).await?;
        Ok(Change::Applied)
    }

    /// Also says whether something live was there before.
    async fn change(
        &self,
        key: &Key,
        change: ChangeRequest<'_>,
        operation: Operation,
    ) -> Result<(Change, bool)> {
        let expected = match change.when {
            Condition::Any => b"any".to_vec(),
            Condition::Absent => Vec::new(),
            Condition::Revision(revision) => revision.to_bytes().to_vec(),
        };
        let offered = change.offered.map(Revision::to_bytes);
        let now = change.now.as_millis().to_string();
        let arguments: [&[u8]; 5] = [
            now.as_bytes(),
            &expected,
            offered.as_ref().map_or(&[], <[u8; 8]>::as_slice),
            change.value,
            change.ttl.unwrap_or_default().as_bytes(),
        ];
        let name = self.name(key);
        match self.link.run(&self.scripts.change, &name, &arguments, operation).await? {
            Value::Int(1) => Ok((Change::Applied, true)),
            Value::Int(_) => Ok((Change::Applied, false)),
            Value::Nil => Ok((Change::Conflict(None), false)),
            Value::BulkString(value) => {
                let record = decode(value).map_err(|_| corrupt(operation))?;
                Ok((Change::Conflict(Some(record)), true))
            }
            _ => Err(unexpected(operation)),
        }
    }
}

/// For how long the engine is to keep a record, in milliseconds as text; `None` for ever.
fn time_to_live(expires: Option<Timestamp>, now: Timestamp) -> Option<String> {
    let left = expires?.as_millis().saturating_sub(now.as_millis()).saturating_add(GRACE);
    // RedisStore takes moments up to 2^63 ms; what is further away is for ever.
    (left < 1 << 52).then(|| left.to_string())
}
