//! Connections of an application's pool without target and without the address for a cancel.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use session_store_postgres::deadpool_postgres::{Connect, Manager, ManagerConfig, Pool};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Error, NoTls};

/// Connects to the server at a port that may change, as through a proxy. A cancel fails, as it does where a server demands
/// TLS.
#[derive(Clone)]
pub(crate) struct Switch(Arc<AtomicU16>);

impl Switch {
    pub(crate) fn new(port: u16) -> Self {
        Self(Arc::new(AtomicU16::new(port)))
    }

    /// The server of the next connection.
    pub(crate) fn set(&self, port: u16) {
        self.0.store(port, Ordering::SeqCst);
    }

    pub(crate) fn pool(&self, size: usize) -> Pool {
        let config = "postgres://postgres@localhost/postgres".parse().unwrap();
        let manager = Manager::from_connect(config, self.clone(), ManagerConfig::default());
        Pool::builder(manager).max_size(size).build().unwrap()
    }
}

impl Connect for Switch {
    fn connect(&self, config: &Config) -> Pin<Box<dyn Future<Output = Connected> + Send + '_>> {
        let config = config.clone();
        Box::pin(async move {
            let socket = TcpStream::connect(("127.0.0.1", self.0.load(Ordering::SeqCst))).await.unwrap();
            let (client, connection) = config.connect_raw(socket, NoTls).await?;
            Ok((client, tokio::spawn(async move { drop(connection.await) })))
        })
    }
}

type Connected = Result<(Client, JoinHandle<()>), Error>;
