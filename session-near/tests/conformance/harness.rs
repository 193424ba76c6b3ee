//! The harnesses: each opens a cache of its own for each handle.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use session_conformance::testing::FreshPath;
use session_conformance::{Harness, HarnessError};
use session_core::Clock;
use session_near::NearCache;
use session_store_memory::{MemoryConfig, MemoryStore};
use session_store_redis::{RedisConfig, RedisStore};
use session_store_sqlite::{SqliteConfig, SqliteStore};
use xtask_redis::{Options, Server};

const STALENESS: Duration = Duration::from_secs(2);

pub(crate) struct NearMemory;

impl Harness for NearMemory {
    type Driver = NearCache<MemoryStore>;
    type Storage = OnceLock<MemoryStore>;

    fn name(&self) -> String {
        "near-memory".into()
    }

    async fn create(&self) -> Result<OnceLock<MemoryStore>, HarnessError> {
        Ok(OnceLock::new())
    }

    async fn open(
        &self,
        storage: &OnceLock<MemoryStore>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self::Driver, HarnessError> {
        let fresh = MemoryStore::open(MemoryConfig::new().max_record_bytes(4 << 20).clock(clock))?;
        Ok(NearCache::open(storage.get_or_init(|| fresh).clone(), STALENESS)?)
    }
}

pub(crate) struct NearSqlite;

impl Harness for NearSqlite {
    type Driver = NearCache<SqliteStore>;
    type Storage = FreshPath;

    fn name(&self) -> String {
        "near-sqlite".into()
    }

    async fn create(&self) -> Result<FreshPath, HarnessError> {
        Ok(FreshPath::new("sessions.db")?)
    }

    async fn open(&self, storage: &FreshPath, clock: Arc<dyn Clock>) -> Result<Self::Driver, HarnessError> {
        let config = SqliteConfig::new(storage.path()).clock(clock).busy_timeout(Duration::from_secs(2));
        Ok(NearCache::open(SqliteStore::open(config)?, STALENESS)?)
    }

    fn address(&self, storage: &FreshPath) -> Option<String> {
        storage.address()
    }

    fn attach(&self, address: &str) -> Result<FreshPath, HarnessError> {
        Ok(FreshPath::of_another(address))
    }
}

pub(crate) struct NearRedis;

/// A namespace on the server that all tests share, or on a server of its own.
pub(crate) struct Namespace {
    name: String,
    port: u16,
    own: Option<Mutex<Server>>,
}

impl Namespace {
    fn on(port: u16, own: Option<Server>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("near-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Self { name, port, own: own.map(Mutex::new) }
    }

    fn with_own<T>(&self, call: impl FnOnce(&mut Server) -> T) -> Result<T, HarnessError> {
        let own = self.own.as_ref().ok_or_else(|| HarnessError::new("the server is shared"))?;
        Ok(call(&mut own.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Harness for NearRedis {
    type Driver = NearCache<RedisStore>;
    type Storage = Namespace;

    fn name(&self) -> String {
        format!("near-{}", xtask_redis::engine())
    }

    async fn create(&self) -> Result<Namespace, HarnessError> {
        static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();
        let server = SERVER.get_or_init(|| Server::start(Options::new()).map_err(|error| error.to_string()));
        Ok(Namespace::on(server.as_ref().map_err(HarnessError::new)?.port(), None))
    }

    async fn open(&self, storage: &Namespace, clock: Arc<dyn Clock>) -> Result<Self::Driver, HarnessError> {
        let config = RedisConfig::new(format!("redis://127.0.0.1:{}", storage.port));
        let store = RedisStore::open(config.namespace(format!("{}:", storage.name)).clock(clock)).await?;
        Ok(NearCache::open(store, STALENESS)?)
    }

    async fn create_isolated(&self) -> Result<Namespace, HarnessError> {
        let server = Server::start(Options::new().lasting())?;
        Ok(Namespace::on(server.port(), Some(server)))
    }

    async fn start_outage(&self, storage: &Namespace) -> Result<(), HarnessError> {
        storage.with_own(Server::kill)
    }

    async fn end_outage(&self, storage: &Namespace) -> Result<(), HarnessError> {
        Ok(storage.with_own(Server::restart)??)
    }

    fn address(&self, storage: &Namespace) -> Option<String> {
        Some(format!("{}|{}", storage.port, storage.name))
    }

    fn attach(&self, address: &str) -> Result<Namespace, HarnessError> {
        let wrong = || HarnessError::new(format!("malformed address: {address}"));
        let (port, name) = address.split_once('|').ok_or_else(wrong)?;
        Ok(Namespace { name: name.to_owned(), port: port.parse().map_err(|_| wrong())?, own: None })
    }
}
