//! Connecting to one server.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, RedisError, RedisResult, Value};

use crate::config::RedisConfig;
use crate::error::is_missing_command;

/// How many commands may wait for the socket. The redis crate's default of 50 slows down 64 tasks.
const QUEUE: usize = 1_024;
/// How many bytes of commands one write may collect. The redis crate's default of 8 KiB is three stores, so that each
/// costs the server more wake-ups and reads.
pub(crate) const BATCH: usize = 128 << 10;

/// A client of one server.
pub(crate) fn client(node: ConnectionInfo, config: &RedisConfig) -> RedisResult<Client> {
    let node = node.set_tcp_settings(socket(config));
    #[cfg(feature = "tls")]
    if matches!(node.addr(), redis::ConnectionAddr::TcpTls { .. }) {
        return Client::build_with_tls(node, config.certificates());
    }
    Client::open(node)
}

/// After a timeout the caller may repeat a change on another connection, so the old connection must deliver nothing
/// more. The system gives up bytes without an acknowledgement after `response_timeout`, and closing the socket drops
/// unsent bytes.
pub(crate) fn socket(config: &RedisConfig) -> TcpSettings {
    let settings = TcpSettings::default().set_linger_time(Duration::ZERO);
    // Linux takes milliseconds up to 2^31.
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    let settings =
        settings.set_user_timeout(config.response_timeout.min(Duration::from_millis(i32::MAX as u64)));
    let _ = config;
    settings
}

/// Opens a connection. Its answers have no time limit, because each call has one.
pub(crate) async fn open(client: &Client, config: &RedisConfig) -> RedisResult<MultiplexedConnection> {
    let options = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(config.connect_timeout))
        .set_response_timeout(None)
        .set_pipeline_buffer_size(QUEUE)
        .set_write_backpressure_boundary(BATCH);
    client.get_multiplexed_async_connection_with_config(&options).await
}

/// Opens a connection to a server outside a cluster that accepts writes. A server, or a user, without `HELLO` is
/// accepted unchecked.
pub(crate) async fn open_single(client: &Client, config: &RedisConfig) -> RedisResult<MultiplexedConnection> {
    let mut connection = open(client, config).await?;
    let mut hello = Cmd::new();
    hello.arg("HELLO");
    let answer = match connection.send_packed_command(&hello).await?.extract_error() {
        Ok(answer) => answer,
        Err(cause) if is_missing_command(&cause) => return Ok(connection),
        Err(cause) => return Err(cause),
    };
    if has(&answer, b"mode", b"cluster") {
        return Err(cluster_node());
    }
    if has(&answer, b"role", b"replica") || has(&answer, b"role", b"slave") {
        // A replica lags behind, and a stale read could end a session. Retryable, because it may be promoted soon.
        let text = std::io::Error::new(std::io::ErrorKind::NotConnected, "the server is a replica");
        return Err(RedisError::from(text));
    }
    Ok(connection)
}

/// The error of a single server that belongs to a cluster.
pub(crate) fn cluster_node() -> RedisError {
    let text = "the server is a node of a cluster, which needs RedisConfig::cluster";
    (ErrorKind::InvalidClientConfig, text).into()
}

/// Whether an answer of names and values, as an array or as a map, has this value.
fn has(answer: &Value, name: &[u8], value: &[u8]) -> bool {
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

/// Chooses rustls' cryptography for the process where the application has not. rustls would panic without a choice
/// if several dependencies bring one.
#[cfg(feature = "tls")]
pub(crate) fn choose_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error means that another thread chose first.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
}
