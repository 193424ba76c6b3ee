//! A connection to a server or to a cluster.

use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(feature = "cluster")]
use redis::aio::ConnectionLike as _;
use redis::aio::MultiplexedConnection;
#[cfg(feature = "cluster")]
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::{Client, Cmd, ErrorKind, RedisResult, Value};
use tokio::task::AbortHandle;
use tokio::time::timeout;

#[cfg(feature = "cluster")]
use crate::cluster::{Cluster, Importers};
use crate::config::RedisConfig;
use crate::native::{self, Native};
use crate::node::{client, open_single};

/// The server or cluster that connections lead to.
pub(crate) enum Target {
    Single(Box<Client>),
    #[cfg(feature = "cluster")]
    Cluster(Box<Cluster>),
}

/// The node that a command is for.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// The node that has the command's key, or any node for a command without a key.
    Key,
    /// The node at an address, after `ASKING` where it is only importing the key's slot.
    #[cfg(feature = "cluster")]
    Node { host: String, port: u16, asking: bool },
}

impl Target {
    pub(crate) fn new(config: &RedisConfig) -> RedisResult<Self> {
        #[cfg(feature = "tls")]
        crate::node::choose_cryptography();
        let nodes = config.urls.iter().map(|url| crate::url::parse(url, config.password.as_deref()));
        let nodes = nodes.collect::<RedisResult<Vec<_>>>()?;
        #[cfg(feature = "cluster")]
        if config.cluster {
            return Cluster::new(nodes, config).map(|cluster| Self::Cluster(Box::new(cluster)));
        }
        let node = nodes.into_iter().next().ok_or((ErrorKind::InvalidClientConfig, "no URL"))?;
        client(node, config).map(|client| Self::Single(Box::new(client)))
    }

    /// Makes one attempt to connect, within its time limit.
    pub(crate) async fn connect(&self, config: &RedisConfig) -> RedisResult<Connection> {
        let limit = match self {
            Self::Single(_) => config.connect_timeout,
            // One for the named nodes, one for the nodes that these name, one to find out why both failed.
            #[cfg(feature = "cluster")]
            Self::Cluster(_) => config.connect_timeout.saturating_mul(3),
        };
        let attempt = async {
            let socket = match self {
                Self::Single(client) => Socket::Single(open_single(client, config).await?),
                #[cfg(feature = "cluster")]
                Self::Cluster(cluster) => {
                    Socket::Cluster(cluster.connect(config).await?, Importers::default())
                }
            };
            let connection = Connection::new(socket, config);
            connection.ask_native(b"", self, config).await;
            Ok(connection)
        };
        timeout(limit, attempt).await.unwrap_or_else(|elapsed| Err(std::io::Error::from(elapsed).into()))
    }
}

/// One connection, shared by the commands of all tasks: they are sent one after another without waiting for the
/// answers. A pool of six connections was measured to be 1.4 times slower.
pub(crate) struct Connection {
    socket: Socket,
    /// How many answers have arrived.
    answers: AtomicU64,
    /// A task that ends only with the runtime that drives the connection.
    sentinel: AbortHandle,
    pub(crate) native: Native,
}

enum Socket {
    Single(MultiplexedConnection),
    #[cfg(feature = "cluster")]
    Cluster(redis::cluster_async::ClusterConnection, Importers),
}

impl Connection {
    fn new(socket: Socket, config: &RedisConfig) -> Self {
        let sentinel = tokio::spawn(std::future::pending::<()>()).abort_handle();
        Self { socket, answers: AtomicU64::new(0), sentinel, native: Native::new(config.native_compare) }
    }

    /// Asks the server, in a cluster the node that has the key `name`, whether it compares without a script, unless that
    /// is known. Another node may be down.
    pub(crate) async fn ask_native(&self, name: &[u8], target: &Target, config: &RedisConfig) {
        if !self.native.must_ask() {
            return;
        }
        let question = native::question(config.namespace.as_bytes(), name);
        let answer = self.send(&question, &Route::Key, target, config);
        if let Ok(answer) = timeout(config.connect_timeout / 4, answer).await {
            self.native.learn(&answer);
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        !self.sentinel.is_finished()
    }

    /// How many answers have arrived. While the count stays the same, the other end is silent.
    pub(crate) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Sends a command and returns the answer. A refusal by the server is an error.
    pub(crate) async fn send(
        &self,
        command: &Cmd,
        route: &Route,
        target: &Target,
        config: &RedisConfig,
    ) -> RedisResult<Value> {
        let answer = match &self.socket {
            Socket::Single(connection) => connection.clone().send_packed_command(command).await,
            #[cfg(feature = "cluster")]
            Socket::Cluster(connection, importers) => match (route, target) {
                (Route::Node { host, port, asking: true }, Target::Cluster(cluster)) => {
                    importers.ask(host, *port, command, cluster, config).await
                }
                (Route::Node { host, port, .. }, _) => {
                    let node = SingleNodeRoutingInfo::ByAddress { host: host.clone(), port: *port };
                    connection.clone().route_command(command.clone(), RoutingInfo::SingleNode(node)).await
                }
                (Route::Key, _) => connection.clone().req_packed_command(command).await,
            },
        };
        let _ = (route, target, config);
        let answer = answer.and_then(Value::extract_error);
        if answer.as_ref().map_or_else(|cause| cause.code().is_some(), |_| true) {
            self.answers.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.sentinel.abort();
    }
}
