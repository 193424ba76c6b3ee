//! The redis crate's GET and SET on one multiplexed connection.

use std::error::Error;
use std::hint::black_box;
use std::time::Duration;

use redis::aio::ConnectionLike;
use redis::cluster::ClusterClient;
use redis::{AsyncConnectionConfig, Client, Cmd};
use session_bench_work::{Args, Change, Runner, Sample, Store, answer, text_id};

/// More than any answer takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// Measures or fills a single server.
pub fn single(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let runner = Runner::new(args)?;
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
    let client = Client::open(args.url.as_str())?;
    let connection = runner.block_on(client.get_multiplexed_async_connection_with_config(&config))?;
    answer(&runner, args, &Redis(connection))
}

/// Measures or fills a cluster.
pub fn cluster(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let runner = Runner::new(args)?;
    let client = ClusterClient::builder(args.url.split(',')).response_timeout(PATIENCE).build()?;
    let connection = runner.block_on(client.get_async_connection())?;
    answer(&runner, args, &Redis(connection))
}

/// How long a value lives, in milliseconds: every session has a deadline, ours in this bench too.
const LIFE: u64 = 2_200_000_000_000;

#[derive(Clone)]
struct Redis<C>(C);

impl<C: ConnectionLike + Clone + Send + Sync + 'static> Store for Redis<C> {
    type Key = String;

    fn key(&self, record: usize) -> String {
        format!("raw:session:{}", text_id(record))
    }

    async fn retrieve(&mut self, key: &String) -> bool {
        let found = Cmd::get(key).query_async::<Option<Vec<u8>>>(&mut self.0).await;
        black_box(found).is_ok_and(|value| value.is_some())
    }

    async fn store(&mut self, key: &String, change: Change<'_>) -> bool {
        let mut set = Cmd::set(key, change.value);
        set.arg("PX").arg(LIFE).query_async::<()>(&mut self.0).await.is_ok()
    }

    async fn create(&mut self, key: &String, change: Change<'_>) -> bool {
        self.store(key, change).await
    }
}
