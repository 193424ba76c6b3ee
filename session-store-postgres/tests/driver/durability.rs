//! What survives a crash of the server.

use session_core::{Driver, Durability};
use session_store_postgres::PostgresStore;
use xtask_postgres::{Options, Server};

use crate::{config, key, put, raw, record, signal};

/// Stops the process that writes the log in the background, so that only the statements themselves do.
async fn stop_background_writes(server: &Server) {
    let client = raw(&server.url()).await;
    let sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'";
    signal(client.query_one(sql, &[]).await.unwrap().get(0), "-STOP");
}

#[tokio::test]
async fn process_does_not_wait_and_flush_does() {
    let mut server = Server::start(Options::new()).unwrap();
    let open = || PostgresStore::open(config(server.url()).durability(Durability::Process));
    let store = open().await.unwrap();
    stop_background_writes(&server).await;
    put(&store, &key("flushed"), record(1)).await;
    store.flush().await.unwrap();
    put(&store, &key("lost"), record(2)).await;
    server.kill();
    server.restart().unwrap();
    let store = PostgresStore::open(config(server.url())).await.unwrap();
    assert_eq!(store.retrieve(&key("flushed")).await.unwrap(), Some(record(1)));
    assert_eq!(store.retrieve(&key("lost")).await.unwrap(), None);
}

#[tokio::test]
async fn power_waits_although_the_server_does_not() {
    let mut server = Server::start(Options::new().set("synchronous_commit", "off")).unwrap();
    let store = PostgresStore::open(config(server.url())).await.unwrap();
    put(&store, &key("removed"), record(1)).await;
    stop_background_writes(&server).await;
    put(&store, &key("any"), record(1)).await;
    let absent = session_core::Condition::Absent;
    assert!(store.store(&key("absent"), record(2), absent).await.unwrap().is_applied());
    let at = session_core::Condition::Revision(record(2).revision);
    assert!(store.store(&key("absent"), record(3), at).await.unwrap().is_applied());
    assert!(store.remove(&key("removed"), session_core::Condition::Any).await.unwrap().is_applied());
    server.kill();
    server.restart().unwrap();
    let store = PostgresStore::open(config(server.url())).await.unwrap();
    assert_eq!(store.retrieve(&key("any")).await.unwrap(), Some(record(1)));
    assert_eq!(store.retrieve(&key("absent")).await.unwrap(), Some(record(3)));
    assert_eq!(store.retrieve(&key("removed")).await.unwrap(), None);
}
