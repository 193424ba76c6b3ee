//! A server of each test's own.

use std::sync::{Arc, Mutex, PoisonError};

use session_conformance::{Harness, HarnessError};
use session_core::{Clock, Key};
use session_store_redis::{RedisConfig, RedisStore};
use xtask_redis::{Options, Server};

use crate::{let_in, lock_out, number};

struct Single;

struct Storage {
    port: u16,
    /// None in another process.
    server: Option<Mutex<Server>>,
}

const USER: &str = "app";
const NAMESPACE: &str = "session-kit:";

impl Storage {
    fn start(options: Options) -> Result<Self, HarnessError> {
        let server = Server::start(options)?;
        let port = server.port();
        let_in(port, USER, NAMESPACE, "")?;
        Ok(Self { port, server: Some(Mutex::new(server)) })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Server) -> T) -> Result<T, HarnessError> {
        let server =
            self.server.as_ref().ok_or_else(|| HarnessError::new("the server is another process'"))?;
        Ok(act(&mut server.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Harness for Single {
    type Driver = RedisStore;
    type Storage = Storage;

    fn name(&self) -> String {
        "redis".into()
    }

    async fn create(&self) -> Result<Storage, HarnessError> {
        Storage::start(Options::new())
    }

    async fn open(&self, storage: &Storage, clock: Arc<dyn Clock>) -> Result<RedisStore, HarnessError> {
        let url = format!("redis://{USER}:word@127.0.0.1:{}", storage.port);
        Ok(RedisStore::connect(RedisConfig::new(url).clock(clock)).await?)
    }

    async fn damage(&self, storage: &Storage, key: &Key) -> Result<(), HarnessError> {
        let url = format!("redis://127.0.0.1:{}", storage.port);
        let mut connection = redis::Client::open(url)?.get_connection()?;
        let name = format!("{NAMESPACE}{}", key.as_str());
        let length: i64 = redis::cmd("SETRANGE").arg(name).arg(0).arg(b"\x07").query(&mut connection)?;
        if length > 17 { Ok(()) } else { Err(HarnessError::new("no record to damage")) }
    }

    /// What is acknowledged survives the server's death, so that the suite may take the server away.
    async fn create_isolated(&self) -> Result<Storage, HarnessError> {
        Storage::start(Options::new().lasting())
    }

    async fn start_outage(&self, storage: &Storage) -> Result<(), HarnessError> {
        storage.with(Server::kill)
    }

    async fn end_outage(&self, storage: &Storage) -> Result<(), HarnessError> {
        storage.with(Server::restart)??;
        // Users that were made while it ran went with it.
        let_in(storage.port, USER, NAMESPACE, "")
    }

    async fn create_bounded(&self) -> Result<Storage, HarnessError> {
        Storage::start(Options::new().set("maxmemory", "8mb").set("maxmemory-policy", "noeviction"))
    }

    async fn revoke_access(&self, storage: &Storage) -> Result<(), HarnessError> {
        lock_out(storage.port, USER)
    }

    async fn restore_access(&self, storage: &Storage) -> Result<(), HarnessError> {
        let_in(storage.port, USER, NAMESPACE, "")
    }

    fn address(&self, storage: &Storage) -> Option<String> {
        Some(storage.port.to_string())
    }

    fn attach(&self, address: &str) -> Result<Storage, HarnessError> {
        Ok(Storage { port: number(address)?, server: None })
    }
}

session_conformance::suite!(
    Single,
    lacks: {
        Purge: "the server collects what has expired by itself",
        ExactlyOnce: "SCAN may report a key twice",
        PowerLoss: "what the server keeps over a power loss is its own configuration",
        Checksum: "a record is in the server's memory, and where it is there nobody says; what the server has on disk, it \
                   checks itself",
    },
);
