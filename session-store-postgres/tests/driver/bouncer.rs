//! PgBouncer in transaction mode.

use session_core::{Change, Condition, Driver, Durability, Prefix, Revision};
use session_store_postgres::PostgresStore;
use xtask_postgres::Bouncer;

use crate::{config, key, raw, record, server};

/// PgBouncer has two connections to the server, so consecutive statements of one client use different ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_need_no_state_of_a_connection() {
    let server = server();
    let bouncer = Bouncer::start(&server, &["postgres"]).unwrap();
    let settings = config(bouncer.url_of("postgres")).durability(Durability::Process);
    let store = PostgresStore::open(settings).await.unwrap();
    let counter = key("counter");
    let mut tasks = Vec::new();
    for task in 1..=8_u8 {
        let (store, counter) = (store.clone(), counter.clone());
        tasks.push(tokio::spawn(async move {
            let (mut seen, mut applied) = (None, 0);
            while applied < 20 {
                let revision = Revision::random().unwrap();
                let new = session_core::Record { revision, ..record(task) };
                let condition = seen.map_or(Condition::Absent, Condition::Revision);
                match store.store(&counter, new, condition).await.unwrap() {
                    Change::Applied => (seen, applied) = (Some(revision), applied + 1),
                    Change::Conflict(live) => seen = live.map(|live| live.revision),
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let page =
        store.traverse(&Prefix::new("user").unwrap(), session_core::Cursor::start(), 10).await.unwrap();
    assert_eq!(page.entries.len(), 1);
    store.purge(10).await.unwrap();
    store.flush().await.unwrap();
    // Each statement set its durability for itself only.
    let client = raw(&bouncer.url_of("postgres")).await;
    for _ in 0..6 {
        let said = client.simple_query("SELECT current_setting('synchronous_commit')").await.unwrap();
        let rows = said.iter().filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        assert_eq!(rows.collect::<Vec<_>>(), ["on"]);
    }
}
