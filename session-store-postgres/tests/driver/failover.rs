//! A primary with a streaming standby.

use std::time::Duration;

use session_core::Applied::No;
use session_core::StoreErrorKind::Unavailable;
use session_core::{Condition, Driver};
use session_store_postgres::{PostgresConfig, PostgresStore, deadpool_postgres as deadpool};
use tokio_postgres::NoTls;

use crate::{config, fails, key, nap, open, put, record, server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handle_follows_to_the_promoted_standby() {
    let mut primary = server();
    put(&open(&primary).await, &key("a"), record(1)).await;
    let standby = primary.standby().unwrap();
    let (one, two) = (primary.port(), standby.port());
    let url = format!("postgres://postgres@127.0.0.1:{two},127.0.0.1:{one}/postgres");
    let store = PostgresStore::open(config(url)).await.unwrap();
    put(&store, &key("a"), record(2)).await;
    primary.until_followed().unwrap();

    // A standby alone is no store, not even for reads.
    let short = |url| PostgresConfig::new(url).response_timeout(Duration::from_millis(500));
    fails(PostgresStore::open(short(standby.url())).await, Unavailable, No);
    let manager = deadpool::Manager::new(standby.url().parse().unwrap(), NoTls);
    let pool = deadpool::Pool::builder(manager).build().unwrap();
    let reader = PostgresStore::with_pool(pool, short(standby.url())).await.unwrap();
    fails(reader.retrieve(&key("a")).await, Unavailable, No);
    fails(reader.store(&key("a"), record(3), Condition::Any).await, Unavailable, No);

    primary.kill();
    standby.promote().unwrap();
    let mut last = None;
    for _ in 0..200 {
        match store.retrieve(&key("a")).await {
            Ok(found) => {
                assert_eq!(found, Some(record(2)));
                put(&store, &key("a"), record(3)).await;
                put(&reader, &key("b"), record(4)).await;
                return;
            }
            Err(error) => last = Some(error),
        }
        nap(50).await;
    }
    panic!("the handle did not follow: {last:?}");
}
