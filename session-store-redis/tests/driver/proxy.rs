//! Something between the driver and the server that breaks what passes through it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use session_store_redis::RedisConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use xtask_redis::Server;

/// Passes everything on, until told otherwise.
pub(crate) struct Proxy {
    port: u16,
    will: Arc<Will>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Will {
    /// Whether the next answer is swallowed, and its connection closed.
    swallow: AtomicBool,
    /// Connections before this one lead nowhere.
    first_alive: AtomicU64,
    accepted: AtomicU64,
    /// How long a new connection takes, in milliseconds.
    delay: AtomicU64,
}

impl Proxy {
    pub(crate) async fn before(server: &Server) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (port, behind) = (listener.local_addr().unwrap().port(), server.port());
        let will = Arc::new(Will::default());
        let ours = Arc::clone(&will);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = ours.accepted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(pass(client, behind, number, Arc::clone(&ours)));
            }
        });
        Self { port, will, task }
    }

    pub(crate) fn config(&self) -> RedisConfig {
        RedisConfig::new(format!("redis://127.0.0.1:{}", self.port))
    }

    /// The next answer never arrives, and its connection is closed.
    pub(crate) fn swallow_an_answer(&self) {
        self.will.swallow.store(true, Ordering::SeqCst);
    }

    /// New connections take this long until they lead anywhere.
    pub(crate) fn delay(&self, delay: Duration) {
        self.will.delay.store(delay.as_millis() as u64, Ordering::SeqCst);
    }

    /// All that are connected now hear nothing any more, and nothing tells them.
    pub(crate) fn leave_hanging(&self) {
        self.will.first_alive.store(self.will.accepted.load(Ordering::SeqCst), Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(client: TcpStream, behind: u16, number: u64, will: Arc<Will>) {
    tokio::time::sleep(Duration::from_millis(will.delay.load(Ordering::SeqCst))).await;
    let Ok(server) = TcpStream::connect(("127.0.0.1", behind)).await else { return };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let hears = async |will: &Will| {
        if number < will.first_alive.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    };
    let there = async {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from_client.read(&mut bytes).await {
            hears(&will).await;
            if to_server.write_all(&bytes[..length]).await.is_err() {
                break;
            }
        }
    };
    let back = async {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from_server.read(&mut bytes).await {
            hears(&will).await;
            if will.swallow.swap(false, Ordering::SeqCst)
                || to_client.write_all(&bytes[..length]).await.is_err()
            {
                break;
            }
        }
    };
    tokio::select! {
        () = there => {}
        () = back => {}
    }
}
