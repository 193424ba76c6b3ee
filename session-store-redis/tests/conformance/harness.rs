//! The harness for a server and for a cluster.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use session_conformance::{Harness, HarnessError};
use session_core::{Clock, Key};
use session_store_redis::{RedisConfig, RedisStore};
use xtask_redis::{Cluster, Options, Server};

/// The rights of the driver's user, as the README lists them, and the further rights for a cluster.
const RIGHTS: &str = "+get +set +del +getrange +setrange +strlen +pexpire +persist +eval +evalsha +scan +append \
                      +rename +info +hello";
const CLUSTER_RIGHTS: &str = "+cluster|slots +cluster|nodes +asking +ping";

#[derive(Clone, Copy)]
pub(crate) enum Redis {
    Single,
    #[cfg_attr(not(feature = "cluster"), expect(dead_code, reason = "only its suite makes one"))]
    Cluster,
}

/// A namespace and a user of the same name.
pub(crate) struct Storage {
    kind: Redis,
    name: String,
    ports: Vec<u16>,
    own: Option<Mutex<Servers>>,
    /// Whether this is the storage of the test and not of its child process.
    first: bool,
}

enum Servers {
    Single(Server),
    Cluster(Cluster),
}

impl Servers {
    fn start(kind: Redis, options: Options) -> Result<Self, HarnessError> {
        Ok(match kind {
            Redis::Single => Self::Single(Server::start(options)?),
            Redis::Cluster => Self::Cluster(Cluster::start_with(options)?),
        })
    }

    fn all(&mut self) -> &mut [Server] {
        match self {
            Self::Single(server) => std::slice::from_mut(server),
            Self::Cluster(cluster) => &mut cluster.servers,
        }
    }

    fn ports(&mut self) -> Vec<u16> {
        self.all().iter().map(|server| server.port()).collect()
    }
}

/// The ports of the servers that all tests of this process share. The servers end with the process.
fn shared(kind: Redis) -> Result<Vec<u16>, HarnessError> {
    static SERVERS: [OnceLock<Result<Mutex<Servers>, String>>; 2] = [OnceLock::new(), OnceLock::new()];
    let servers = SERVERS[kind as usize].get_or_init(|| {
        let options = Options::new().set("appendonly", "no");
        Servers::start(kind, options).map(Mutex::new).map_err(|error| error.to_string())
    });
    Ok(lock(servers.as_ref().map_err(HarnessError::new)?).ports())
}

fn lock(servers: &Mutex<Servers>) -> MutexGuard<'_, Servers> {
    servers.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Storage {
    fn new(kind: Redis, ports: Vec<u16>, own: Option<Servers>) -> Result<Self, HarnessError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let storage = Self { kind, name, ports, own: own.map(Mutex::new), first: true };
        storage.allow()?;
        Ok(storage)
    }

    fn with_own(kind: Redis, options: Options) -> Result<Self, HarnessError> {
        let mut servers = Servers::start(kind, options)?;
        Self::new(kind, servers.ports(), Some(servers))
    }

    fn own(&self) -> Result<MutexGuard<'_, Servers>, HarnessError> {
        Ok(lock(self.own.as_ref().ok_or_else(|| HarnessError::new("the servers are shared"))?))
    }

    /// Creates the user.
    fn allow(&self) -> Result<(), HarnessError> {
        let Self { kind, name, .. } = self;
        let more = if matches!(kind, Redis::Cluster) { CLUSTER_RIGHTS } else { "" };
        self.on_each(&format!("ACL SETUSER {name} on >word ~{name}:* {RIGHTS} {more}"), "+OK")
    }

    /// Sends a command to each server, as its default user. The answer must begin with `expected`.
    fn on_each(&self, command: &str, expected: &str) -> Result<(), HarnessError> {
        for port in &self.ports {
            let answer = xtask_redis::command(*port, command)?;
            if !answer.starts_with(expected) {
                return Err(HarnessError::new(format!("{command}: {answer}")));
            }
        }
        Ok(())
    }
}

/// Removes the keys, so that traversals in the shared servers stay short.
impl Drop for Storage {
    fn drop(&mut self) {
        if self.first && self.own.is_none() {
            let script =
                r#""for _, key in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('DEL', key) end""#;
            // A replica refuses, and gets the removal from its primary.
            drop(self.on_each(&format!("EVAL {script} 0 {}:*", self.name), ""));
        }
    }
}

impl Harness for Redis {
    type Driver = RedisStore;
    type Storage = Storage;

    fn name(&self) -> String {
        let engine = xtask_redis::engine();
        match self {
            Self::Single => engine,
            Self::Cluster => format!("{engine}-cluster"),
        }
    }

    async fn create(&self) -> Result<Storage, HarnessError> {
        Storage::new(*self, shared(*self)?, None)
    }

    async fn open(&self, storage: &Storage, clock: Arc<dyn Clock>) -> Result<RedisStore, HarnessError> {
        let Storage { name, ports, .. } = storage;
        let urls = ports.iter().map(|port| format!("redis://{name}:word@127.0.0.1:{port}"));
        let config = match self {
            Self::Single => RedisConfig::new(urls.collect::<String>()),
            #[cfg(feature = "cluster")]
            Self::Cluster => RedisConfig::cluster(urls),
            #[cfg(not(feature = "cluster"))]
            Self::Cluster => return Err(HarnessError::new("built without feature cluster")),
        };
        Ok(RedisStore::open(config.namespace(format!("{name}:")).clock(clock)).await?)
    }

    async fn damage(&self, storage: &Storage, key: &Key) -> Result<(), HarnessError> {
        let command = format!(r#"SETRANGE "{}:{}" 0 "\x07""#, storage.name, key.as_str());
        // The servers of a cluster that do not have the key refuse.
        for port in &storage.ports {
            let length = xtask_redis::command(*port, &command)?;
            if length
                .strip_prefix(':')
                .is_some_and(|length| length.parse().is_ok_and(|length: u64| length > 17))
            {
                return Ok(());
            }
        }
        Err(HarnessError::new("no record to damage"))
    }

    /// Persistent, because the suite kills these servers and looks for what they acknowledged.
    async fn create_isolated(&self) -> Result<Storage, HarnessError> {
        Storage::with_own(*self, Options::new().lasting())
    }

    /// Stops the whole cluster at once. If one primary stopped, its replica would take over and might lose writes; the
    /// driver's own tests cover that.
    async fn start_outage(&self, storage: &Storage) -> Result<(), HarnessError> {
        storage.own()?.all().iter_mut().for_each(Server::kill);
        Ok(())
    }

    async fn end_outage(&self, storage: &Storage) -> Result<(), HarnessError> {
        let mut servers = storage.own()?;
        servers.all().iter_mut().try_for_each(Server::restart)?;
        if let Servers::Cluster(cluster) = &*servers {
            cluster.until_well()?;
        }
        // A server forgets the users that it got at run time.
        storage.allow()
    }

    async fn create_bounded(&self) -> Result<Storage, HarnessError> {
        let options = Options::new().set("maxmemory", "8mb").set("maxmemory-policy", "noeviction");
        // Valkey 9 keeps 10 MB for replicas, which count and are not freed by removals.
        Storage::with_own(*self, options.set("repl-backlog-size", "64kb"))
    }

    /// Also closes the user's connections, so that a new connection is refused too.
    async fn revoke_access(&self, storage: &Storage) -> Result<(), HarnessError> {
        storage.on_each(&format!("ACL SETUSER {} off -@all", storage.name), "+OK")?;
        storage.on_each(&format!("CLIENT KILL USER {}", storage.name), ":")
    }

    async fn restore_access(&self, storage: &Storage) -> Result<(), HarnessError> {
        storage.allow()
    }

    fn address(&self, storage: &Storage) -> Option<String> {
        let ports: Vec<String> = storage.ports.iter().map(u16::to_string).collect();
        Some(format!("{}|{}", storage.name, ports.join(",")))
    }

    fn attach(&self, address: &str) -> Result<Storage, HarnessError> {
        let wrong = || HarnessError::new(format!("malformed address: {address}"));
        let (name, ports) = address.split_once('|').ok_or_else(wrong)?;
        let ports = ports.split(',').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
        Ok(Storage { kind: *self, name: name.to_owned(), ports, own: None, first: false })
    }
}
