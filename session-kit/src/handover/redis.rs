//! Sessions in values of Redis.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, pipe};
use session_core::{Operation, Revision, StoreError, StoreErrorKind};
use session_handover::Value;
use session_manager::{HandoverSource, OldId};
use tokio::sync::Mutex;

use super::entries::Entries;
use super::listed::{Listed, ListedSource, PAGE};
use super::system::{name_of, now, readable, too_long};

/// How often a lock is tried again that the old system holds.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest time a lock of ours stays if this process ends: ending a session is one command.
const LOCK_TIME_MS: u64 = 10_000;
/// Releases a lock that is still ours.
const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/// The live sessions of an application in Redis or Valkey, for
/// [`SessionsBuilder::handover`](crate::SessionsBuilder::handover).
///
/// Where the old system locks its sessions ([`Entries::locked_by`]), a read happens at a moment without a lock, and an end holds the
/// lock. Where it does not, a request of the old system that began before the end may store the session again.
///
/// ```no_run
/// # #[cfg(feature = "handover-express")]
/// # fn built<D: session_kit::Driver>(builder: session_kit::SessionsBuilder<D>) -> Result<session_kit::SessionsBuilder<D>, session_kit::StoreError> {
/// use session_kit::Session;
/// use session_kit::handover::node::express;
/// use session_kit::handover::{Entries, RedisEntries, Value};
///
/// let entries = Entries::express(express::Cookie::new(["the application's secret"]), "connect.sid");
/// Ok(builder.handover(RedisEntries::new("redis://127.0.0.1", entries)?, |old: Value, session: &Session| {
///     let Some(user) = old.get("user").and_then(Value::as_text) else { return Ok(false) };
///     session.login(user)?;
///     Ok(true)
/// }))
/// # }
/// ```
#[derive(Clone)]
pub struct RedisEntries {
    client: Client,
    /// `None` until the first use, and after a failure.
    link: Arc<Mutex<Option<MultiplexedConnection>>>,
    pub(super) entries: Entries,
    response_timeout: Duration,
    lock_timeout: Duration,
}

impl RedisEntries {
    /// The values of the server at `redis://[user:password@]host[:port][/database]`, or `redis+unix://`. It connects at its first
    /// use.
    ///
    /// # Errors
    /// `Misconfigured` for a URL that is none of these.
    pub fn new(url: &str, entries: Entries) -> session_core::Result<Self> {
        let wrong = |error| failed(Operation::Open, error);
        let client = Client::open(url).map_err(wrong)?;
        Ok(Self {
            client,
            link: Arc::default(),
            entries,
            response_timeout: Duration::from_secs(1),
            lock_timeout: Duration::from_secs(5),
        })
    }

    /// How long a command may take; 1 second by default. Then the call fails with `Timeout`.
    #[must_use]
    pub fn response_timeout(mut self, time: Duration) -> Self {
        self.response_timeout = time;
        self.link = Arc::default();
        self
    }

    /// How long a request waits for a lock of the old system; 5 seconds by default. Then the call fails with `Timeout`.
    #[must_use]
    pub fn lock_timeout(mut self, time: Duration) -> Self {
        self.lock_timeout = time;
        self
    }

    /// The connection. All requests share it.
    async fn link(&self, operation: Operation) -> session_core::Result<MultiplexedConnection> {
        let mut link = self.link.lock().await;
        if let Some(link) = &*link {
            return Ok(link.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.response_timeout))
            .set_response_timeout(Some(self.response_timeout));
        let connected = self.client.get_multiplexed_async_connection_with_config(&config).await;
        Ok(link.insert(connected.map_err(|error| failed(operation, error))?).clone())
    }

    /// The error of a command. A broken connection is not used again.
    async fn failed(&self, operation: Operation, error: RedisError) -> StoreError {
        if error.is_io_error() || error.is_connection_dropped() || error.kind() == redis::ErrorKind::Parse {
            *self.link.lock().await = None;
        }
        failed(operation, error)
    }

    fn keys(&self, name: &str) -> (String, Option<String>) {
        let key = format!("{}{name}", self.entries.prefix);
        let lock = self.entries.lock_suffix.as_ref().map(|suffix| format!("{key}{suffix}"));
        (key, lock)
    }

    /// Waits for a command that waits for a lock of the old system.
    async fn unlocked<T>(
        &self,
        operation: Operation,
        attempts: impl Future<Output = Result<T, RedisError>>,
    ) -> session_core::Result<T> {
        match tokio::time::timeout(self.lock_timeout, attempts).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.failed(operation, error).await),
            Err(_) => {
                let error = StoreError::new(StoreErrorKind::Timeout, operation);
                Err(error.with_detail("a script has the session open"))
            }
        }
    }
}

impl std::fmt::Debug for RedisEntries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisEntries").field("entries", &self.entries).finish_non_exhaustive()
    }
}

impl HandoverSource for RedisEntries {
    type Old = Value;

    fn find(&self, headers: &HeaderMap) -> Option<OldId> {
        self.entries.system.presented(headers)
    }

    async fn read(&self, id: &OldId) -> session_core::Result<Option<Value>> {
        Ok(self.read_until(id).await?.map(|(value, _)| value))
    }

    async fn end(&self, id: &OldId) -> session_core::Result<()> {
        let operation = Operation::Remove;
        let Some(name) = name_of(id) else { return Ok(()) };
        let mut link = self.link(operation).await?;
        let (key, lock) = self.keys(name);
        let Some(lock) = lock else {
            let deleted = redis::cmd("DEL").arg(key).query_async::<()>(&mut link).await;
            return match deleted {
                Ok(()) => Ok(()),
                Err(error) => Err(self.failed(operation, error).await),
            };
        };
        let secret = format!("session-kit {}", u64::from_ne_bytes(Revision::random()?.to_bytes()));
        let mut take = redis::cmd("SET");
        take.arg(&lock).arg(&secret).arg("NX").arg("PX").arg(LOCK_TIME_MS);
        let attempts = async {
            while take.query_async::<Option<String>>(&mut link).await?.is_none() {
                tokio::time::sleep(PAUSE).await;
            }
            Ok(())
        };
        self.unlocked(operation, attempts).await?;
        let mut commands = pipe();
        commands.atomic().cmd("DEL").arg(&key).ignore();
        commands.cmd("EVAL").arg(RELEASE).arg(1).arg(&lock).arg(&secret).ignore();
        match commands.query_async::<()>(&mut link).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.failed(operation, error).await),
        }
    }
}

impl ListedSource for RedisEntries {
    /// Walks with `SCAN`, which lists a session that lives all the time at least once.
    async fn list(&self, from: Option<&str>) -> session_core::Result<Listed> {
        let operation = Operation::Traverse;
        let mut link = self.link(operation).await?;
        let prefix = &self.entries.prefix;
        let mut pattern: String = String::new();
        for letter in prefix.chars() {
            if matches!(letter, '*' | '?' | '[' | ']' | '\\' | '^') {
                pattern.push('\\');
            }
            pattern.push(letter);
        }
        let mut scan = redis::cmd("SCAN");
        scan.arg(from.unwrap_or("0")).arg("MATCH").arg(pattern + "*").arg("COUNT").arg(PAGE);
        let (next, keys): (String, Vec<Vec<u8>>) = match scan.query_async(&mut link).await {
            Ok(page) => page,
            Err(error) => return Err(self.failed(operation, error).await),
        };
        let is_lock =
            |name: &str| self.entries.lock_suffix.as_ref().is_some_and(|suffix| name.ends_with(suffix));
        let names = keys.iter().filter_map(|key| std::str::from_utf8(key).ok()?.strip_prefix(prefix));
        let ids = names.filter(|name| !is_lock(name)).map(OldId::new).collect();
        Ok(Listed { ids, next: Some(next).filter(|next| next != "0") })
    }

    async fn read_until(&self, id: &OldId) -> session_core::Result<Option<(Value, Option<f64>)>> {
        let operation = Operation::Retrieve;
        let Some(name) = readable(id)? else { return Ok(None) };
        let mut link = self.link(operation).await?;
        let (key, lock) = self.keys(name);
        let most = self.entries.system.bounds.size;
        // One transaction, so that no lock is taken between the commands.
        let mut commands = pipe();
        commands.atomic().cmd("EXISTS").arg(&key);
        commands.cmd("EXISTS").arg(lock.as_ref().unwrap_or(&key));
        commands.cmd("GETRANGE").arg(&key).arg(0).arg(most);
        commands.cmd("PTTL").arg(&key);
        let attempts = async {
            loop {
                let (exists, locked, data, ttl): (bool, bool, Vec<u8>, i64) =
                    commands.query_async(&mut link).await?;
                if lock.is_none() || !locked {
                    return Ok((exists, data, ttl));
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        let (exists, data, ttl) = self.unlocked(operation, attempts).await?;
        // `GETRANGE` gives nothing for a key that is absent, and for an empty session, such as PHP's.
        if !exists {
            return Ok(None);
        }
        if data.len() > most {
            return Err(too_long());
        }
        let old = self.entries.system.decode(name, data, None).await?;
        // A negative number: the key has no end.
        #[expect(clippy::cast_precision_loss, reason = "times in milliseconds are far below 2^53")]
        let end = Some(now() + ttl as f64 / 1e3).filter(|_| ttl >= 0);
        Ok(old.map(|value| (value, end)))
    }
}

/// Without what a server repeats of the arguments, which are ids.
fn failed(operation: Operation, error: RedisError) -> StoreError {
    use redis::ErrorKind as Kind;
    let io = error.is_io_error();
    let kind = error.kind();
    if error.is_timeout() {
        return StoreError::new(StoreErrorKind::Timeout, operation).with_source(error);
    }
    if io {
        return StoreError::new(StoreErrorKind::Unavailable, operation).with_source(error);
    }
    // The error of a transaction holds those of its commands.
    let code = error.into_server_errors().and_then(|errors| Some(errors.first()?.1.code().to_owned()));
    let kind = match code.as_deref() {
        Some("NOAUTH" | "WRONGPASS" | "NOPERM") => StoreErrorKind::Misconfigured,
        Some("WRONGTYPE") => StoreErrorKind::Corrupt,
        Some("LOADING" | "READONLY" | "CLUSTERDOWN" | "MASTERDOWN" | "MISCONF" | "BUSY") => {
            StoreErrorKind::Unavailable
        }
        None if matches!(kind, Kind::InvalidClientConfig | Kind::AuthenticationFailed) => {
            StoreErrorKind::Misconfigured
        }
        _ => StoreErrorKind::Backend,
    };
    let failed = StoreError::new(kind, operation);
    match code {
        Some(code) => failed.with_detail(code),
        None => failed,
    }
}
