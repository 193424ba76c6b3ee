//! A cluster and its nodes.
//!
//! The redis crate's cluster connection knows which node has which slot and keeps a connection to each node. Its own
//! retries are off, because it does not report them. After a lost answer, a second try can meet the effect of the
//! first: a removal then finds nothing, and a store finds a conflict. `error.rs` decides which errors are safe to
//! retry, for single servers and clusters alike.

use std::collections::HashMap;

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{
    Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, Pipeline, RedisError, RedisResult, Value,
};
use tokio::sync::Mutex;

use crate::config::RedisConfig;
use crate::node::{BATCH, client, open, socket};

/// A cluster, and the nodes that the options name.
pub(crate) struct Cluster {
    client: ClusterClient,
    seeds: Vec<ConnectionInfo>,
}

impl Cluster {
    pub(crate) fn new(seeds: Vec<ConnectionInfo>, config: &RedisConfig) -> RedisResult<Self> {
        // Replicas are never read: they lag behind, and a stale read could end a session.
        let builder = ClusterClient::builder(seeds.clone())
            .retries(0)
            .connection_timeout(config.connect_timeout)
            .response_timeout(config.response_timeout)
            .overall_response_timeout(None)
            .write_backpressure_boundary(BATCH)
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
            Err(cause) if cause.is_io_error() => Err(self.refusal(config).await.unwrap_or(cause)),
            answer => answer,
        }
    }

    /// The reason that a named node gives for refusing the connection. The redis crate reports an I/O error for every
    /// failure to connect.
    async fn refusal(&self, config: &RedisConfig) -> Option<RedisError> {
        for seed in &self.seeds {
            let ping = async {
                let mut connection = open(&client(seed.clone(), config)?, config).await?;
                let mut ping = Cmd::new();
                ping.arg("PING");
                connection.send_packed_command(&ping).await.and_then(Value::extract_error)
            };
            match ping.await {
                Err(cause) if !crate::error::may_connect_later(&cause) => return Some(cause),
                _ => {}
            }
        }
        None
    }

    /// A client of the node at an address, with the options of the named nodes.
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

    /// The host of a named node, for nodes that do not know their own.
    pub(crate) fn host(&self) -> String {
        match self.seeds.first().map(ConnectionInfo::addr) {
            Some(ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. }) => host.clone(),
            _ => String::new(),
        }
    }
}

/// The driver's own connections to nodes that are importing a slot. The redis crate sends `ASKING` only with its own
/// retries, and does not know a node without slots.
#[derive(Default)]
pub(crate) struct Importers(Mutex<HashMap<(String, u16), MultiplexedConnection>>);

impl Importers {
    pub(crate) async fn ask(
        &self,
        host: &str,
        port: u16,
        command: &Cmd,
        cluster: &Cluster,
        config: &RedisConfig,
    ) -> RedisResult<Value> {
        let address = (host.to_owned(), port);
        let known = self.0.lock().await.get(&address).cloned();
        let mut connection = match known {
            Some(connection) => connection,
            None => {
                let unsent = |cause: RedisError| {
                    let text = "the importing node is not connected";
                    RedisError::from((
                        ErrorKind::ClusterConnectionNotFound,
                        text,
                        cause.category().to_owned(),
                    ))
                };
                let client = cluster.node(host, port, config).map_err(unsent)?;
                let fresh = open(&client, config).await.map_err(unsent)?;
                self.0.lock().await.entry(address.clone()).or_insert(fresh).clone()
            }
        };
        let mut both = Pipeline::new();
        both.cmd("ASKING").add_command(command.clone());
        let answer = connection.send_packed_commands(&both, 1, 1).await.and_then(only);
        if answer.is_err() {
            self.0.lock().await.remove(&address);
        }
        answer
    }
}

/// The only answer. A missing answer is an error and not nil.
fn only(answers: Vec<Value>) -> RedisResult<Value> {
    let [answer] =
        <[Value; 1]>::try_from(answers).map_err(|_| (ErrorKind::Parse, "wrong number of answers"))?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_answer_is_not_nil() {
        assert_eq!(only(vec![Value::Nil]).unwrap(), Value::Nil);
        for answers in [vec![], vec![Value::Okay, Value::Nil]] {
            assert_eq!(crate::error::verdict(&only(answers).unwrap_err()), crate::error::Verdict::Lost);
        }
    }
}
