//! A primary with a streaming standby.

use std::time::Duration;

use session_core::Applied::No;
use session_core::StoreErrorKind::Unavailable;
use session_core::{Condition, Cursor, Driver, DriverExt, Prefix};
use session_store_postgres::{PostgresConfig, PostgresStore, deadpool_postgres::Pool};

use crate::switch::Switch;
use crate::{config, fails, key, nap, open, pool, put, record, server};

/// Opens all connections of a pool.
async fn fill(pool: &Pool) {
    let mut taken = Vec::new();
    while taken.len() < pool.status().max_size {
        taken.push(pool.get().await.unwrap());
    }
}

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
    let short = |url| PostgresConfig::new(url).response_timeout(Duration::from_secs(2));
    fails(PostgresStore::open(short(standby.url())).await, Unavailable, No);
    fails(PostgresStore::with_pool(pool(&standby.url()), short(String::new())).await, Unavailable, No);
    let switch = Switch::new(one);
    let pool = switch.pool(60);
    let reader = PostgresStore::with_pool(pool.clone(), short(String::new())).await.unwrap();
    switch.set(two);
    pool.retain(|_, _| false);
    let prefix = Prefix::new("user").unwrap();
    fill(&pool).await;
    fails(reader.retrieve(&key("a")).await, Unavailable, No);
    // The application's other connections stay.
    assert!(pool.status().available > 20, "{:?}", pool.status());
    fails(reader.store(&key("a"), record(3), Condition::Any).await, Unavailable, No);
    fails(reader.remove(&key("a"), Condition::Any).await, Unavailable, No);
    fails(reader.traverse(&prefix, Cursor::start(), 10).await, Unavailable, No);
    // Nor is an empty page the truth.
    let nothing = Prefix::new("nothing").unwrap();
    fails(reader.traverse(&nothing, Cursor::start(), 10).await, Unavailable, No);
    fails(reader.count(&nothing).await, Unavailable, No);
    fails(reader.clear(&nothing).await, Unavailable, No);
    fails(reader.purge(10).await, Unavailable, No);
    fails(reader.flush().await, Unavailable, No);
    switch.set(one);
    pool.retain(|_, _| false);
    let closed = PostgresStore::with_pool(pool.clone(), short(String::new())).await.unwrap();
    switch.set(two);
    pool.retain(|_, _| false);
    fails(closed.close().await, Unavailable, No);

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
