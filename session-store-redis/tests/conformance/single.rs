//! A server of each test's own.

use std::sync::{Arc, Mutex, PoisonError};

use session_conformance::{Harness, Trouble};
use session_core::{Clock, Key};
use session_store_redis::{Config, Redis};
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
    fn start(options: Options) -> Result<Self, Trouble> {
        let server = Server::start(options)?;
        let port = server.port();
        let_in(port, USER, NAMESPACE, "")?;
        Ok(Self { port, server: Some(Mutex::new(server)) })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Server) -> T) -> Result<T, Trouble> {
        let server = self.server.as_ref().ok_or_else(|| Trouble::new("the server is another process'"))?;
        Ok(act(&mut server.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Harness for Single {
    type Driver = Redis;
    type Storage = Storage;

    fn name(&self) -> String {
        "redis".into()
    }

    async fn make(&self) -> Result<Storage, Trouble> {
        Storage::start(Options::new())
    }

    async fn open(&self, storage: &Storage, clock: Arc<dyn Clock>) -> Result<Redis, Trouble> {
        let url = format!("redis://{USER}:word@127.0.0.1:{}", storage.port);
        Ok(Redis::connect(Config::new(url).clock(clock)).await?)
    }

    async fn damage(&self, storage: &Storage, key: &Key) -> Result<(), Trouble> {
        let url = format!("redis://127.0.0.1:{}", storage.port);
        let mut connection = redis::Client::open(url)?.get_connection()?;
        let name = format!("{NAMESPACE}{}", key.as_str());
        let length: i64 = redis::cmd("SETRANGE").arg(name).arg(0).arg(b"\x07").query(&mut connection)?;
        if length > 17 { Ok(()) } else { Err(Trouble::new("no record to damage")) }
    }

    /// What is acknowledged survives the server's death, so that the suite may take the server away.
    async fn make_alone(&self) -> Result<Storage, Trouble> {
        Storage::start(Options::new().lasting())
    }

    async fn take_away(&self, storage: &Storage) -> Result<(), Trouble> {
        storage.with(Server::kill)
    }

    async fn bring_back(&self, storage: &Storage) -> Result<(), Trouble> {
        storage.with(Server::restart)??;
        // Users that were made while it ran went with it.
        let_in(storage.port, USER, NAMESPACE, "")
    }

    async fn make_small(&self) -> Result<Storage, Trouble> {
        Storage::start(Options::new().set("maxmemory", "8mb").set("maxmemory-policy", "noeviction"))
    }

    async fn deny(&self, storage: &Storage) -> Result<(), Trouble> {
        lock_out(storage.port, USER)
    }

    async fn allow(&self, storage: &Storage) -> Result<(), Trouble> {
        let_in(storage.port, USER, NAMESPACE, "")
    }

    fn address(&self, storage: &Storage) -> Option<String> {
        Some(storage.port.to_string())
    }

    fn attach(&self, address: &str) -> Result<Storage, Trouble> {
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
