//! The conformance suite over the Redis driver: one server, and a cluster.

use std::sync::Arc;

use session_conformance::{Harness, Trouble};
use session_core::{Clock, Key};
use session_store_redis::{Config, Redis};
use xtask_redis::{Options, Server};

/// A server of the test's own.
struct Single;

struct Storage {
    url: String,
    _server: Option<Server>,
}

impl Harness for Single {
    type Driver = Redis;
    type Storage = Storage;

    fn name(&self) -> String {
        "redis".into()
    }

    async fn make(&self) -> Result<Storage, Trouble> {
        let server = Server::start(Options::new())?;
        Ok(Storage { url: server.url(), _server: Some(server) })
    }

    async fn open(&self, storage: &Storage, clock: Arc<dyn Clock>) -> Result<Redis, Trouble> {
        Ok(Redis::connect(Config::new(&storage.url).clock(clock)).await?)
    }

    async fn damage(&self, storage: &Storage, key: &Key) -> Result<(), Trouble> {
        let mut connection = redis::Client::open(storage.url.as_str())?.get_connection()?;
        let name = format!("session-kit:{}", key.as_str());
        let length: i64 = redis::cmd("SETRANGE").arg(name).arg(0).arg(b"\x07").query(&mut connection)?;
        if length > 17 { Ok(()) } else { Err(Trouble::new("no record to damage")) }
    }

    fn address(&self, storage: &Storage) -> Option<String> {
        Some(storage.url.clone())
    }

    fn attach(&self, address: &str) -> Result<Storage, Trouble> {
        Ok(Storage { url: address.to_owned(), _server: None })
    }
}

session_conformance::suite!(
    Single,
    lacks: {
        Purge: "the server collects what has expired by itself",
        ExactlyOnce: "SCAN may report a key twice",
        PowerLoss: "what the server keeps over a power loss is its own configuration",
    },
);

#[cfg(feature = "cluster")]
mod cluster {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use xtask_redis::Cluster;

    use super::*;

    /// One cluster for all tests of this process, for it takes seconds to come together; each test has a namespace.
    struct InCluster;

    struct Namespace {
        name: String,
        urls: Vec<String>,
    }

    fn cluster() -> Result<&'static Cluster, Trouble> {
        static CLUSTER: OnceLock<Result<Cluster, String>> = OnceLock::new();
        let cluster = CLUSTER.get_or_init(|| Cluster::start().map_err(|error| error.to_string()));
        cluster.as_ref().map_err(Trouble::new)
    }

    impl Harness for InCluster {
        type Driver = Redis;
        type Storage = Namespace;

        fn name(&self) -> String {
            "redis-cluster".into()
        }

        async fn make(&self) -> Result<Namespace, Trouble> {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let name = format!("test-{}:", NEXT.fetch_add(1, Ordering::Relaxed));
            Ok(Namespace { name, urls: cluster()?.urls() })
        }

        async fn open(&self, storage: &Namespace, clock: Arc<dyn Clock>) -> Result<Redis, Trouble> {
            let config = Config::cluster(storage.urls.iter().map(String::as_str)).namespace(&storage.name);
            Ok(Redis::connect(config.clock(clock)).await?)
        }

        async fn damage(&self, storage: &Namespace, key: &Key) -> Result<(), Trouble> {
            let client = redis::cluster::ClusterClient::new(storage.urls.clone())?;
            let mut connection = client.get_connection()?;
            let name = format!("{}{}", storage.name, key.as_str());
            let length: i64 = redis::cmd("SETRANGE").arg(name).arg(0).arg(b"\x07").query(&mut connection)?;
            if length > 17 { Ok(()) } else { Err(Trouble::new("no record to damage")) }
        }

        fn address(&self, storage: &Namespace) -> Option<String> {
            Some(format!("{}|{}", storage.name, storage.urls.join(",")))
        }

        fn attach(&self, address: &str) -> Result<Namespace, Trouble> {
            let (name, urls) = address.split_once('|').ok_or_else(|| Trouble::new("no such address"))?;
            Ok(Namespace { name: name.to_owned(), urls: urls.split(',').map(str::to_owned).collect() })
        }
    }

    session_conformance::suite!(
        InCluster,
        lacks: {
            Purge: "the servers collect what has expired by themselves",
            ExactlyOnce: "SCAN may report a key twice",
            PowerLoss: "what the servers keep over a power loss is their own configuration",
        },
    );
}
