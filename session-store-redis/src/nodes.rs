//! A cluster and its nodes.
//!
//! The crate's cluster connection knows which node has which slot and keeps a connection to each. It is told never to
//! send anything again by itself: it does not say whether it did, and after a change whose answer was lost a second
//! try can meet its own first one, so that a removal finds nothing and a store a conflict. Which errors are safe to
//! repeat is decided in `error.rs`, for single servers and clusters alike.

use std::collections::HashMap;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::{Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, Pipeline, RedisResult, Value};
use tokio::sync::Mutex;

use crate::config::RedisConfig;
use crate::wire::{Route, Target, client, open, socket};

/// A cluster, of which some nodes are known by name.
pub(crate) struct Cluster {
    client: ClusterClient,
    seeds: Vec<ConnectionInfo>,
}

impl Cluster {
    pub(crate) fn new(seeds: Vec<ConnectionInfo>, config: &RedisConfig) -> RedisResult<Self> {
        // Never from replicas: they are behind, and a read that misses a write would end a session.
        let builder = ClusterClient::builder(seeds.clone())
            .retries(0)
            .connection_timeout(config.connect_timeout)
            .response_timeout(config.timeout)
            .overall_response_timeout(None)
            .tcp_settings(socket(config));
        #[cfg(feature = "tls")]
        let builder = match seeds.first().map(ConnectionInfo::addr) {
            Some(ConnectionAddr::TcpTls { .. }) => builder.certs(config.certificates()),
            _ => builder,
        };
        Ok(Self { client: builder.build()?, seeds })
    }

    pub(crate) async fn connect(&self, config: &RedisConfig) -> RedisResult<ClusterConnection> {
        match self.client.get_async_connection().await {
            Err(cause) if cause.is_io_error() => Err(self.why(config).await.unwrap_or(cause)),
            answer => answer,
        }
    }

    /// The crate says of all failures to connect that they are failures to connect. A node that is there and lets
    /// nobody in says more.
    async fn why(&self, config: &RedisConfig) -> Option<redis::RedisError> {
        for seed in &self.seeds {
            let reached = match client(seed.clone(), config) {
                Ok(client) => open(&client, config).await,
                Err(cause) => Err(cause),
            };
            let ping = match reached {
                Ok(mut connection) => {
                    let mut ping = Cmd::new();
                    ping.arg("PING");
                    connection.send_packed_command(&ping).await.and_then(Value::extract_error)
                }
                Err(cause) => Err(cause),
            };
            match ping {
                Err(cause) if !crate::error::may_connect_later(&cause) => return Some(cause),
                _ => {}
            }
        }
        None
    }

    /// A client of the node at an address, which is talked to as the named ones are.
    fn node(&self, host: &str, port: u16, config: &RedisConfig) -> RedisResult<Client> {
        let seed = self.seeds.first().ok_or((ErrorKind::InvalidClientConfig, "no URL"))?;
        let address = match seed.addr() {
            ConnectionAddr::TcpTls { insecure, .. } => {
                ConnectionAddr::TcpTls { host: host.to_owned(), port, insecure: *insecure, tls_params: None }
            }
            _ => ConnectionAddr::Tcp(host.to_owned(), port),
        };
        client(seed.clone().set_addr(address), config)
    }

    /// The host of a named node: what a node means that does not know its own.
    pub(crate) fn host(&self) -> String {
        match self.seeds.first().map(ConnectionInfo::addr) {
            Some(ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. }) => host.clone(),
            _ => String::new(),
        }
    }
}

/// Connections of our own to nodes that are asked for a key whose slot they do not have yet. The crate would send
/// `ASKING` only with its own repetitions; and a node without any slot is one that it does not know.
#[derive(Default)]
pub(crate) struct Nodes(Mutex<HashMap<(String, u16), MultiplexedConnection>>);

impl Nodes {
    pub(crate) async fn send(
        &self,
        connection: &ClusterConnection,
        command: &Cmd,
        route: &Route,
        target: &Target,
        config: &RedisConfig,
    ) -> RedisResult<Value> {
        match (route, target) {
            (Route::Node { host, port, asking: true }, Target::Cluster(cluster)) => {
                self.ask((host, *port), command, cluster, config).await
            }
            (Route::Node { host, port, .. }, _) => {
                let node = SingleNodeRoutingInfo::ByAddress { host: host.clone(), port: *port };
                connection.clone().route_command(command.clone(), RoutingInfo::SingleNode(node)).await
            }
            (Route::Key, _) => connection.clone().req_packed_command(command).await,
        }
    }

    async fn ask(
        &self,
        (host, port): (&str, u16),
        command: &Cmd,
        cluster: &Cluster,
        config: &RedisConfig,
    ) -> RedisResult<Value> {
        let place = (host.to_owned(), port);
        let known = self.0.lock().await.get(&place).cloned();
        let mut connection = match known {
            Some(connection) => connection,
            None => {
                let unsent = |cause: redis::RedisError| {
                    let text = "a node that was asked for is not connected";
                    redis::RedisError::from((
                        ErrorKind::ClusterConnectionNotFound,
                        text,
                        cause.category().to_owned(),
                    ))
                };
                let client = cluster.node(host, port, config).map_err(unsent)?;
                let fresh = open(&client, config).await.map_err(unsent)?;
                self.0.lock().await.entry(place.clone()).or_insert(fresh).clone()
            }
        };
        let mut both = Pipeline::new();
        both.cmd("ASKING").add_command(command.clone());
        let answer = connection.send_packed_commands(&both, 1, 1).await.and_then(only);
        if answer.is_err() {
            self.0.lock().await.remove(&place);
        }
        answer
    }
}

/// The one answer. None is not the answer that there is nothing.
fn only(answers: Vec<Value>) -> RedisResult<Value> {
    let [answer] = <[Value; 1]>::try_from(answers)
        .map_err(|_| (ErrorKind::Parse, "another number of answers than was asked for"))?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_answer_is_not_the_answer_that_there_is_nothing() {
        assert_eq!(only(vec![Value::Nil]).unwrap(), Value::Nil);
        for answers in [vec![], vec![Value::Okay, Value::Nil]] {
            assert_eq!(crate::error::verdict(&only(answers).unwrap_err()), crate::error::Verdict::Lost);
        }
    }
}
