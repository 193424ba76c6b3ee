//! A connection, to a server or to a cluster, and how it is made.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError,
    RedisResult, Value,
};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::config::RedisConfig;
use crate::error::is_not_to_be_had;
#[cfg(feature = "cluster")]
use crate::nodes::{Cluster, Nodes};

/// Where connections lead to.
pub(crate) enum Target {
    Single(Box<Client>),
    #[cfg(feature = "cluster")]
    Cluster(Box<Cluster>),
}

/// Which node a command is for.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// The one that has the command's key; in a cluster, any where it has none.
    Key,
    /// The one at an address, after `ASKING` where it is only importing the key's slot.
    #[cfg(feature = "cluster")]
    Node { host: String, port: u16, asking: bool },
}

/// How many commands may wait for the socket. The crate's own 50 slow down 64 tasks.
const QUEUE: usize = 1_024;

impl Target {
    pub(crate) fn new(config: &RedisConfig) -> RedisResult<Self> {
        #[cfg(feature = "tls")]
        choose_cryptography();
        let nodes = config.urls.iter().map(|url| url.as_str().into_connection_info());
        let nodes = nodes.collect::<RedisResult<Vec<_>>>()?;
        #[cfg(feature = "cluster")]
        if config.cluster {
            return Cluster::new(nodes, config).map(|cluster| Self::Cluster(Box::new(cluster)));
        }
        let node = nodes.into_iter().next().ok_or((ErrorKind::InvalidClientConfig, "no URL"))?;
        client(node, config).map(|client| Self::Single(Box::new(client)))
    }

    /// One attempt, which ends in time.
    pub(crate) async fn connect(&self, config: &RedisConfig) -> RedisResult<Wire> {
        let limit = match self {
            Self::Single(_) => config.connect_timeout,
            // First to the named nodes, then to those that these name, and to ask why where that came to nothing.
            #[cfg(feature = "cluster")]
            Self::Cluster(_) => config.connect_timeout.saturating_mul(3),
        };
        let answer = timeout(limit, async {
            Ok(Wire::new(match self {
                Self::Single(client) => {
                    let mut connection = open(client, config).await?;
                    serves(&mut connection).await?;
                    Connection::Single(connection)
                }
                #[cfg(feature = "cluster")]
                Self::Cluster(cluster) => Connection::Cluster(cluster.connect(config).await?),
            }))
        });
        answer.await.unwrap_or_else(|elapsed| Err(std::io::Error::from(elapsed).into()))
    }
}

/// rustls asks for one choice per process. Where the application has made none, and several of its dependencies bring
/// one, it would panic.
#[cfg(feature = "tls")]
fn choose_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error says that somebody else was faster, which is as well.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
}

/// A client of one node.
pub(crate) fn client(node: ConnectionInfo, config: &RedisConfig) -> RedisResult<Client> {
    let node = node.set_tcp_settings(socket(config));
    #[cfg(feature = "tls")]
    if matches!(node.addr(), redis::ConnectionAddr::TcpTls { .. }) {
        return Client::build_with_tls(node, config.certificates());
    }
    Client::open(node)
}

/// A change whose caller was told that its answer did not come in time may be repeated on another connection: what the
/// old one has not brought to the server by then, it is not to bring any more. So the system gives up what is not
/// acknowledged within that time, where it can be told to, and what is unsent goes with the socket.
pub(crate) fn socket(config: &RedisConfig) -> TcpSettings {
    let settings = TcpSettings::default().set_linger_time(Duration::ZERO);
    // Linux takes milliseconds up to 2^31.
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    let settings = settings.set_user_timeout(config.timeout.min(Duration::from_millis(i32::MAX as u64)));
    let _ = config;
    settings
}

/// Connects to one node. The answers have no time limit of their own, for each call has one.
pub(crate) async fn open(client: &Client, config: &RedisConfig) -> RedisResult<MultiplexedConnection> {
    let options = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(config.connect_timeout))
        .set_response_timeout(None)
        .set_pipeline_buffer_size(QUEUE);
    client.get_multiplexed_async_connection_with_config(&options).await
}

/// Fails where the server is no single one that takes writes, or lets nobody in without a password. A server, or a
/// user's rights, without `HELLO` is taken at its word.
async fn serves(connection: &mut MultiplexedConnection) -> RedisResult<()> {
    let mut hello = Cmd::new();
    hello.arg("HELLO");
    let answer = match connection.send_packed_command(&hello).await?.extract_error() {
        Ok(answer) => answer,
        Err(cause) if is_not_to_be_had(&cause) => return Ok(()),
        Err(cause) => return Err(cause),
    };
    if says(&answer, b"mode", b"cluster") {
        let text = "the server is a node of a cluster, for which there is RedisConfig::cluster";
        return Err((ErrorKind::InvalidClientConfig, text).into());
    }
    if says(&answer, b"role", b"replica") || says(&answer, b"role", b"slave") {
        // It is behind its primary, and a read that misses a write would end a session. It may be promoted soon.
        let text = std::io::Error::new(std::io::ErrorKind::NotConnected, "the server is a replica");
        return Err(RedisError::from(text));
    }
    Ok(())
}

/// Whether an answer of names and values, as an array or as a map, has this value.
fn says(answer: &Value, name: &[u8], value: &[u8]) -> bool {
    let is = |part: &Value, text: &[u8]| match part {
        Value::BulkString(bytes) => bytes == text,
        Value::SimpleString(string) => string.as_bytes() == text,
        _ => false,
    };
    match answer {
        Value::Array(parts) => parts.chunks_exact(2).any(|pair| is(&pair[0], name) && is(&pair[1], value)),
        Value::Map(pairs) => pairs.iter().any(|pair| is(&pair.0, name) && is(&pair.1, value)),
        _ => false,
    }
}

/// One connection, shared by the commands of all tasks: they are sent one after another without waiting for each
/// other's answers. A pool of six was measured 1.4 times slower.
pub(crate) struct Wire {
    connection: Connection,
    /// How many answers have come.
    heard: AtomicU64,
    /// Whether the runtime that moves the bytes has ended.
    orphaned: Arc<AtomicBool>,
    canary: AbortHandle,
    #[cfg(feature = "cluster")]
    nodes: Nodes,
}

enum Connection {
    Single(MultiplexedConnection),
    #[cfg(feature = "cluster")]
    Cluster(redis::cluster_async::ClusterConnection),
}

impl Wire {
    fn new(connection: Connection) -> Self {
        let orphaned = Arc::new(AtomicBool::new(false));
        let flag = SetOnDrop(Arc::clone(&orphaned));
        // The crate's task lives in the runtime that connected, and so does this one, which does nothing but end.
        let canary = tokio::spawn(async move {
            let _flag = flag;
            std::future::pending::<()>().await;
        });
        Self {
            connection,
            heard: AtomicU64::new(0),
            orphaned,
            canary: canary.abort_handle(),
            #[cfg(feature = "cluster")]
            nodes: Nodes::default(),
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        !self.orphaned.load(Ordering::Acquire)
    }

    /// How many answers have come: while that stays the same, nobody at the other end is heard.
    pub(crate) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// Sends a command and gives the answer. What the server refuses is an error.
    pub(crate) async fn send(
        &self,
        command: &Cmd,
        route: &Route,
        target: &Target,
        config: &RedisConfig,
    ) -> RedisResult<Value> {
        let answer = match &self.connection {
            Connection::Single(connection) => connection.clone().send_packed_command(command).await,
            #[cfg(feature = "cluster")]
            Connection::Cluster(connection) => {
                self.nodes.send(connection, command, route, target, config).await
            }
        };
        let _ = (route, target, config);
        let answer = answer.and_then(Value::extract_error);
        if answer.as_ref().map_or_else(|cause| cause.code().is_some(), |_| true) {
            self.heard.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.canary.abort();
    }
}

struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
