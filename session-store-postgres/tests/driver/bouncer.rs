//! PgBouncer in transaction mode.

use session_core::{Condition, Driver, Durability, Prefix, Record, Revision};
use session_store_postgres::PostgresStore;
use xtask_postgres::Bouncer;

use crate::{config, key, raw, server};

/// PgBouncer has two connections to the server, so consecutive statements of one client use different ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_need_no_state_of_a_connection() {
    let server = server();
    let bouncer = Bouncer::start(&server, &["postgres"]).unwrap();
    let settings = config(bouncer.url_of("postgres")).durability(Durability::Process);
    let store = PostgresStore::open(settings).await.unwrap();
    let counter = key("counter");
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let (store, counter) = (store.clone(), counter.clone());
        tasks.push(tokio::spawn(async move {
            for _ in 0..20 {
                loop {
                    let live = store.retrieve(&counter).await.unwrap();
                    let count =
                        live.as_ref().map_or(0, |live| u32::from_be_bytes(live.data[..].try_into().unwrap()));
                    let new = (count + 1).to_be_bytes().to_vec();
                    let condition = live.map_or(Condition::Absent, |live| Condition::Revision(live.revision));
                    let new = Record::new(new, None, Revision::random().unwrap());
                    if store.store(&counter, new, condition).await.unwrap().is_applied() {
                        break;
                    }
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(store.retrieve(&counter).await.unwrap().unwrap().data[..], 160_u32.to_be_bytes());
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
