//! A TCP proxy between the driver and the server that loses answers and connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use session_store_redis::RedisConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use xtask_redis::Server;

/// Forwards everything until a test asks for a fault.
pub(crate) struct Proxy {
    port: u16,
    faults: Arc<Faults>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Faults {
    /// Whether to drop the next answer and close its connection.
    swallow: AtomicBool,
    /// How many answers pass before one is dropped with its connection; 0 for none.
    countdown: AtomicU64,
    /// Connections before this number are dead.
    first_alive: AtomicU64,
    accepted: AtomicU64,
    /// The delay of a new connection in milliseconds.
    delay: AtomicU64,
}

impl Proxy {
    pub(crate) async fn before(server: &Server) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (port, behind) = (listener.local_addr().unwrap().port(), server.port());
        let faults = Arc::new(Faults::default());
        let ours = Arc::clone(&faults);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = ours.accepted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(pass(client, behind, number, Arc::clone(&ours)));
            }
        });
        Self { port, faults, task }
    }

    pub(crate) fn config(&self) -> RedisConfig {
        RedisConfig::new(format!("redis://127.0.0.1:{}", self.port))
    }

    /// Drops the next answer and closes its connection.
    pub(crate) fn drop_an_answer(&self) {
        self.faults.swallow.store(true, Ordering::SeqCst);
    }

    /// Lets this many answers pass, and drops the next one with its connection.
    pub(crate) fn drop_the_answer_after(&self, passing: u64) {
        self.faults.countdown.store(passing.wrapping_add(1), Ordering::SeqCst);
    }

    /// Delays new connections.
    pub(crate) fn delay(&self, delay: Duration) {
        self.faults.delay.store(delay.as_millis() as u64, Ordering::SeqCst);
    }

    /// Makes all current connections dead without closing them.
    pub(crate) fn silence(&self) {
        self.faults.first_alive.store(self.faults.accepted.load(Ordering::SeqCst), Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(client: TcpStream, behind: u16, number: u64, faults: Arc<Faults>) {
    tokio::time::sleep(Duration::from_millis(faults.delay.load(Ordering::SeqCst))).await;
    let Ok(server) = TcpStream::connect(("127.0.0.1", behind)).await else { return };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let wait_if_dead = async |faults: &Faults| {
        if number < faults.first_alive.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    };
    let there = async {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from_client.read(&mut bytes).await {
            wait_if_dead(&faults).await;
            if to_server.write_all(&bytes[..length]).await.is_err() {
                break;
            }
        }
    };
    let back = async {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from_server.read(&mut bytes).await {
            wait_if_dead(&faults).await;
            let next = |left: u64| left.checked_sub(1);
            let left = faults.countdown.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
            if faults.swallow.swap(false, Ordering::SeqCst)
                || left == Ok(1)
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
