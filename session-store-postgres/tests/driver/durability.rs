//! What survives a crash of the server.

use session_core::{Condition, Driver, Durability, Record, RollsBack, Survives, Timestamp, Touch};
use session_store_postgres::PostgresStore;
use xtask_postgres::{Options, Server};

use crate::{config, key, put, raw, record, signal};

/// Stops the process that writes the log in the background, so that only the statements themselves do. Returns it.
async fn stop_background_writes(server: &Server) -> i32 {
    let client = raw(&server.url()).await;
    let sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'";
    let process = client.query_one(sql, &[]).await.unwrap().get(0);
    signal(process, "-STOP");
    process
}

/// A stopped process would delay the end of the server.
fn crash(server: &mut Server, stopped: i32) {
    signal(stopped, "-KILL");
    server.kill();
    server.restart().unwrap();
}

#[tokio::test]
async fn process_does_not_wait_and_flush_does() {
    let mut server = Server::start(Options::new()).unwrap();
    let open = || PostgresStore::open(config(server.url()).durability(Durability::Process));
    let store = open().await.unwrap();
    let capabilities = store.capabilities();
    assert_eq!((capabilities.survives, capabilities.rolls_back), (Survives::Kill, RollsBack::Failover));
    let stopped = stop_background_writes(&server).await;
    put(&store, &key("flushed"), record(1)).await;
    store.flush().await.unwrap();
    put(&store, &key("lost"), record(2)).await;
    crash(&mut server, stopped);
    let store = PostgresStore::open(config(server.url())).await.unwrap();
    assert_eq!(store.retrieve(&key("flushed")).await.unwrap(), Some(record(1)));
    assert_eq!(store.retrieve(&key("lost")).await.unwrap(), None);
}

/// A commit also makes the commits before it durable, so the server crashes after each change.
#[tokio::test]
async fn power_waits_although_the_server_does_not() {
    let mut server = Server::start(Options::new().set("synchronous_commit", "off")).unwrap();
    let (one, two) = (record(1).revision, record(2).revision);
    for change in ["any", "absent", "revision", "remove", "expired", "touch"] {
        let store = PostgresStore::open(config(server.url())).await.unwrap();
        let place = key(change);
        if change != "absent" {
            put(&store, &place, record(1)).await;
        }
        let stopped = stop_background_writes(&server).await;
        let expired = Record { expires: Some(Timestamp::EPOCH), ..record(2) };
        let touch = Touch { from: one, to: two, deadline: None };
        let applied = match change {
            "any" => store.store(&place, record(2), Condition::Any).await.unwrap().is_applied(),
            "absent" => store.store(&place, record(2), Condition::Absent).await.unwrap().is_applied(),
            "revision" => {
                store.store(&place, record(2), Condition::Revision(one)).await.unwrap().is_applied()
            }
            "remove" => store.remove(&place, Condition::Any).await.unwrap().is_applied(),
            "expired" => store.store(&place, expired, Condition::Any).await.unwrap().is_applied(),
            _ => store.touch(&place, touch).await.unwrap(),
        };
        assert!(applied, "{change}");
        crash(&mut server, stopped);
        let store = PostgresStore::open(config(server.url())).await.unwrap();
        let expected = match change {
            "remove" | "expired" => None,
            "touch" => Some(Record { revision: two, ..record(1) }),
            _ => Some(record(2)),
        };
        assert_eq!(store.retrieve(&place).await.unwrap(), expected, "{change}");
    }
}
