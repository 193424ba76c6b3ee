//! A cluster for all tests of this process, for it takes seconds to come together; each test has a namespace in it, and
//! a user. Where a test takes it away or fills it, it has one of its own.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use session_conformance::{Harness, HarnessError};
use session_core::{Clock, Key};
use session_store_redis::{RedisConfig, RedisStore};
use xtask_redis::{Cluster, Options, Server};

use crate::{IN_CLUSTER, let_in, lock_out, number};

struct InCluster;

struct Storage {
    name: String,
    ports: Vec<u16>,
    own: Option<Mutex<Cluster>>,
}

fn common() -> Result<&'static Cluster, HarnessError> {
    static CLUSTER: OnceLock<Result<Cluster, String>> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| Cluster::start().map_err(|error| error.to_string()));
    cluster.as_ref().map_err(HarnessError::new)
}

impl Storage {
    fn on(cluster: &Cluster) -> Result<Self, HarnessError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let ports = cluster.servers.iter().map(Server::port).collect();
        let storage = Self { name, ports, own: None };
        storage.on_each(let_in_namespace)?;
        Ok(storage)
    }

    fn of_its_own(options: Options) -> Result<Self, HarnessError> {
        let cluster = Cluster::start_with(options)?;
        let storage = Self::on(&cluster)?;
        Ok(Self { own: Some(Mutex::new(cluster)), ..storage })
    }

    fn on_each(&self, act: impl Fn(u16, &str) -> Result<(), HarnessError>) -> Result<(), HarnessError> {
        self.ports.iter().try_for_each(|port| act(*port, &self.name))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Cluster) -> T) -> Result<T, HarnessError> {
        let cluster = self.own.as_ref().ok_or_else(|| HarnessError::new("the cluster is everybody's"))?;
        Ok(act(&mut cluster.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn let_in_namespace(port: u16, name: &str) -> Result<(), HarnessError> {
    let_in(port, name, &format!("{name}:"), IN_CLUSTER)
}

impl Harness for InCluster {
    type Driver = RedisStore;
    type Storage = Storage;

    fn name(&self) -> String {
        "redis-cluster".into()
    }

    async fn create(&self) -> Result<Storage, HarnessError> {
        Storage::on(common()?)
    }

    async fn open(&self, storage: &Storage, clock: Arc<dyn Clock>) -> Result<RedisStore, HarnessError> {
        let urls = storage.ports.iter().map(|port| format!("redis://{}:word@127.0.0.1:{port}", storage.name));
        let config = RedisConfig::cluster(urls).namespace(format!("{}:", storage.name));
        Ok(RedisStore::connect(config.clock(clock)).await?)
    }

    async fn damage(&self, storage: &Storage, key: &Key) -> Result<(), HarnessError> {
        let urls = storage.ports.iter().map(|port| format!("redis://127.0.0.1:{port}"));
        let mut connection = redis::cluster::ClusterClient::new(urls)?.get_connection()?;
        let name = format!("{}:{}", storage.name, key.as_str());
        let length: i64 = redis::cmd("SETRANGE").arg(name).arg(0).arg(b"\x07").query(&mut connection)?;
        if length > 17 { Ok(()) } else { Err(HarnessError::new("no record to damage")) }
    }

    async fn create_isolated(&self) -> Result<Storage, HarnessError> {
        Storage::of_its_own(Options::new().lasting())
    }

    /// All of it at once. With one primary alone the others would go on, and its replica take its place: what that may
    /// cost is RedisStore' own affair, and the driver's part in it is tried in its own tests.
    async fn start_outage(&self, storage: &Storage) -> Result<(), HarnessError> {
        storage.with(|cluster| cluster.servers.iter_mut().for_each(Server::kill))
    }

    async fn end_outage(&self, storage: &Storage) -> Result<(), HarnessError> {
        storage.with(|cluster| {
            cluster.servers.iter_mut().try_for_each(Server::restart)?;
            cluster.until_well()
        })??;
        storage.on_each(let_in_namespace)
    }

    async fn create_bounded(&self) -> Result<Storage, HarnessError> {
        Storage::of_its_own(Options::new().set("maxmemory", "8mb").set("maxmemory-policy", "noeviction"))
    }

    async fn revoke_access(&self, storage: &Storage) -> Result<(), HarnessError> {
        storage.on_each(lock_out)
    }

    async fn restore_access(&self, storage: &Storage) -> Result<(), HarnessError> {
        storage.on_each(let_in_namespace)
    }

    fn address(&self, storage: &Storage) -> Option<String> {
        let ports: Vec<String> = storage.ports.iter().map(u16::to_string).collect();
        Some(format!("{}|{}", storage.name, ports.join(",")))
    }

    fn attach(&self, address: &str) -> Result<Storage, HarnessError> {
        let (name, ports) = address.split_once('|').ok_or_else(|| HarnessError::new("no such address"))?;
        let ports = ports.split(',').map(number).collect::<Result<_, _>>()?;
        Ok(Storage { name: name.to_owned(), ports, own: None })
    }
}

session_conformance::suite!(
    InCluster,
    lacks: {
        Purge: "the servers collect what has expired by themselves",
        ExactlyOnce: "SCAN may report a key twice",
        PowerLoss: "what the servers keep over a power loss is their own configuration",
        Checksum: "a record is in a server's memory, and where it is there nobody says; what the servers have on disk, they \
                   check themselves",
    },
);
