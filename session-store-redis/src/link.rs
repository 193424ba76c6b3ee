//! The connection, to a server or to a cluster.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, RedisResult, Value};
use session_core::{Operation, Result};
use tokio::time::{sleep, timeout};

use crate::config::Config;
use crate::error::{from_redis, is_passing, is_unknown_script, timeout as timed_out};
use crate::script::Known;

/// One multiplexed connection that comes back by itself: the commands of all tasks share it, one after another,
/// without waiting for each other's answers. A pool of six was measured 1.4 times slower.
#[derive(Clone)]
pub(crate) enum Link {
    Single(ConnectionManager),
    #[cfg(feature = "cluster")]
    Cluster(redis::cluster_async::ClusterConnection),
}

/// How long to wait before a refused command is sent again, for a failover or a moving slot to get on.
const PAUSE: Duration = Duration::from_millis(25);

impl Link {
    pub(crate) async fn connect(config: &Config) -> Result<Self> {
        let fail = |cause| from_redis(cause, Operation::Open);
        #[cfg(feature = "cluster")]
        if config.cluster {
            // Never from replicas: they are behind, and a read that misses a write would end a session.
            let client = redis::cluster::ClusterClient::builder(config.urls.iter().map(String::as_str))
                .connection_timeout(config.connect_timeout)
                .response_timeout(config.timeout)
                .retries(3)
                .build()
                .map_err(fail)?;
            return client.get_async_connection().await.map(Self::Cluster).map_err(fail);
        }
        let url = config.urls.first().map_or("", String::as_str);
        let client = Client::open(url).map_err(fail)?;
        let options = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(config.connect_timeout))
            .set_response_timeout(Some(config.timeout))
            .set_number_of_retries(2);
        ConnectionManager::new_with_config(client, options).await.map(Self::Single).map_err(fail)
    }

    /// Sends a command and gives its answer, within `limit` altogether.
    pub(crate) async fn ask(&self, command: &Cmd, limit: Duration, operation: Operation) -> Result<Value> {
        let answer = timeout(limit, self.persist(command)).await;
        answer.map_err(|_| timed_out(operation))?.map_err(|cause| from_redis(cause, operation))
    }

    /// Runs a script by its hash, and by its source where the server does not know it: after a restart, after a
    /// failover, for replicas know none. The crate's own way loads it on all nodes, and waits for one that hangs.
    pub(crate) async fn run(
        &self,
        script: &Known,
        key: &[u8],
        arguments: &[&[u8]],
        limit: Duration,
        operation: Operation,
    ) -> Result<Value> {
        let command = |name: &str, body: &str| {
            let mut command = Cmd::new();
            command.arg(name).arg(body).arg(1).arg(key);
            for argument in arguments {
                command.arg(*argument);
            }
            command
        };
        let both = async {
            match self.persist(&command("EVALSHA", &script.hash)).await {
                Err(cause) if is_unknown_script(&cause) => {
                    self.persist(&command("EVAL", script.source)).await
                }
                answer => answer,
            }
        };
        let answer = timeout(limit, both).await;
        answer.map_err(|_| timed_out(operation))?.map_err(|cause| from_redis(cause, operation))
    }

    /// Sends again what was refused for the moment: nothing was changed, so it is safe.
    async fn persist(&self, command: &Cmd) -> RedisResult<Value> {
        let mut left = 100_u32;
        loop {
            match self.send(command).await {
                Err(cause) if is_passing(&cause) && left > 0 => {
                    left -= 1;
                    sleep(PAUSE).await;
                }
                answer => return answer.and_then(Value::extract_error),
            }
        }
    }

    async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Single(connection) => connection.clone().send_packed_command(command).await,
            #[cfg(feature = "cluster")]
            Self::Cluster(connection) => {
                redis::aio::ConnectionLike::req_packed_command(&mut connection.clone(), command).await
            }
        }
    }

    /// Sends a command to one node of a cluster.
    #[cfg(feature = "cluster")]
    pub(crate) async fn ask_node(
        &self,
        command: Cmd,
        (host, port): (String, u16),
        limit: Duration,
        operation: Operation,
    ) -> Result<Value> {
        use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};

        let Self::Cluster(connection) = self else {
            let error = session_core::Error::new(session_core::ErrorKind::Backend, operation);
            return Err(error.with_detail("not a cluster"));
        };
        let route = RoutingInfo::SingleNode(SingleNodeRoutingInfo::ByAddress { host, port });
        let mut connection = connection.clone();
        let answer = timeout(limit, connection.route_command(command, route)).await;
        answer.map_err(|_| timed_out(operation))?.map_err(|cause| from_redis(cause, operation))
    }
}
