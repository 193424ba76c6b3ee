//! tokio-postgres with prepared statements: a read by key, and an upsert without a condition.

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use deadpool_postgres::{Manager, Pool};
use session_bench_work::{Args, Change, Runner, Sample, Store, answer, text_id};
use tokio_postgres::{Client, Config, NoTls, Statement};

use crate::{CONNECTIONS, waits};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS raw (key bytea PRIMARY KEY, data bytea NOT NULL)";
const GET: &str = "SELECT data FROM raw WHERE key = $1";
const PUT: &str =
    "INSERT INTO raw (key, data) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET data = excluded.data";

fn config(args: &Args) -> Result<Config, tokio_postgres::Error> {
    let mut config: Config = args.url.parse()?;
    config.options(format!("-c synchronous_commit={}", waits(args)));
    Ok(config)
}

/// A pool, as applications use it: each operation has a connection for itself.
pub fn pooled(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let runner = Runner::new(args)?;
    let manager = Manager::new(config(args)?, NoTls);
    let pool = Pool::builder(manager).max_size(CONNECTIONS as usize).build()?;
    runner
        .block_on(async { pool.get().await?.batch_execute(TABLE).await.map_err(Box::<dyn Error>::from) })?;
    answer(&runner, args, &Pooled(pool))
}

#[derive(Clone)]
struct Pooled(Pool);

impl Store for Pooled {
    type Key = Vec<u8>;

    fn key(&self, record: usize) -> Vec<u8> {
        key(record)
    }

    async fn retrieve(&mut self, key: &Vec<u8>) -> bool {
        let Ok(client) = self.0.get().await else { return false };
        let Ok(get) = client.prepare_cached(GET).await else { return false };
        found(&client, &get, key).await
    }

    async fn store(&mut self, key: &Vec<u8>, change: Change<'_>) -> bool {
        let Ok(client) = self.0.get().await else { return false };
        let Ok(put) = client.prepare_cached(PUT).await else { return false };
        stored(&client, &put, key, change).await
    }

    async fn create(&mut self, key: &Vec<u8>, change: Change<'_>) -> bool {
        self.store(key, change).await
    }
}

/// As many connections, each shared by a few tasks, whose statements are pipelined: the fastest use of the client.
pub fn pipelined(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let runner = Runner::new(args)?;
    let config = config(args)?;
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(runner.block_on(Connection::open(&config))?);
    }
    let next = Arc::new(AtomicUsize::new(0));
    answer(&runner, args, &Pipelined { own: 0, connections: connections.into(), next })
}

struct Connection {
    client: Client,
    get: Statement,
    put: Statement,
}

impl Connection {
    async fn open(config: &Config) -> Result<Self, tokio_postgres::Error> {
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        client.batch_execute(TABLE).await?;
        let (get, put) = (client.prepare(GET).await?, client.prepare(PUT).await?);
        Ok(Self { client, get, put })
    }
}

struct Pipelined {
    own: usize,
    connections: Arc<[Connection]>,
    next: Arc<AtomicUsize>,
}

impl Clone for Pipelined {
    fn clone(&self) -> Self {
        let own = self.next.fetch_add(1, Ordering::Relaxed) % self.connections.len();
        Self { own, connections: Arc::clone(&self.connections), next: Arc::clone(&self.next) }
    }
}

impl Store for Pipelined {
    type Key = Vec<u8>;

    fn key(&self, record: usize) -> Vec<u8> {
        key(record)
    }

    async fn retrieve(&mut self, key: &Vec<u8>) -> bool {
        let Connection { client, get, .. } = &self.connections[self.own];
        found(client, get, key).await
    }

    async fn store(&mut self, key: &Vec<u8>, change: Change<'_>) -> bool {
        let Connection { client, put, .. } = &self.connections[self.own];
        stored(client, put, key, change).await
    }

    async fn create(&mut self, key: &Vec<u8>, change: Change<'_>) -> bool {
        self.store(key, change).await
    }
}

fn key(record: usize) -> Vec<u8> {
    format!("session:{}", text_id(record)).into_bytes()
}

async fn found(client: &Client, get: &Statement, key: &Vec<u8>) -> bool {
    let row = client.query_opt(get, &[key]).await;
    black_box(row).is_ok_and(|row| row.is_some_and(|row| !row.get::<_, &[u8]>(0).is_empty()))
}

async fn stored(client: &Client, put: &Statement, key: &Vec<u8>, change: Change<'_>) -> bool {
    client.execute(put, &[key, &change.value.as_bytes()]).await.is_ok_and(|changed| changed == 1)
}
