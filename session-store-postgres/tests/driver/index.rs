//! A damaged index of the keys, which leads from each key to the row of another one.

use std::collections::BTreeMap;
use std::sync::Arc;

use session_core::StoreErrorKind::Corrupt;
use session_core::{
    Change, Condition, Cursor, Driver, Prefix, Record, Result, Revision, TestClock, Timestamp, Touch,
};
use session_store_postgres::PostgresStore;
use xtask_postgres::{Options, Server};

use crate::{config, key, raw};

const COUNT: u8 = 8;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Every other record expires at the moment 2,000.
fn own(number: u8) -> Record {
    let expires = Some(at(if number.is_multiple_of(2) { 9_000 } else { 2_000 }));
    Record { expires, ..crate::record(number) }
}

/// The rows as the table has them, read without an index.
async fn rows(server: &Server) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let client = raw(&server.url()).await;
    client.batch_execute("SET enable_seqscan = on; SET enable_indexscan = off").await.unwrap();
    let rows = client.query("SELECT key, data FROM sessions", &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// The server has no table with such an index, so the file of a twin's index takes the place of the table's own.
async fn permute(server: &mut Server) {
    let twin = "CREATE TABLE twin (LIKE sessions INCLUDING ALL); INSERT INTO twin SELECT \
                (SELECT key FROM sessions AS other WHERE other.ctid = format('(0,%s)', \
                1 + split_part(trim(both '()' from one.ctid::text), ',', 2)::int % 8)::tid), \
                revision, deadline, due, data FROM sessions AS one ORDER BY ctid";
    server.sql(twin).unwrap();
    server.sql("CHECKPOINT").unwrap();
    let path = |index: &str| {
        let sql = format!("SELECT pg_relation_filepath('{index}')");
        server.data().join(server.sql(&sql).unwrap())
    };
    let (ours, theirs) = (path("sessions_pkey"), path("twin_pkey"));
    server.kill();
    let bytes = std::fs::read(theirs).unwrap();
    assert_ne!(bytes, std::fs::read(&ours).unwrap());
    std::fs::write(&ours, bytes).unwrap();
    server.restart().unwrap();
}

/// A change is made on no row, or is `Corrupt`.
#[track_caller]
fn is_harmless(answer: Result<Change>) {
    match answer {
        Ok(Change::Applied | Change::Conflict(None)) => {}
        answer => assert_eq!(answer.unwrap_err().kind(), Corrupt),
    }
}

#[tokio::test]
async fn permuted_index_mixes_no_rows() {
    // The planner takes the index wherever it can.
    let options = ["seqscan", "bitmapscan", "hashjoin", "mergejoin"].into_iter();
    let options = options.fold(Options::new().set("autovacuum", "off"), |options, plan| {
        options.set(&format!("enable_{plan}"), "off")
    });
    let mut server = Server::start(options).unwrap();
    let clock = TestClock::new(at(1_000));
    let open = |server: &Server| PostgresStore::open(config(server.url()).clock(Arc::new(clock.clone())));
    let store = open(&server).await.unwrap();
    let keys: Vec<_> = (0..COUNT).map(|number| key(&number.to_string())).collect();
    for (key, number) in keys.iter().zip(0..) {
        crate::put(&store, key, own(number)).await;
    }
    store.close().await.unwrap();
    let before = rows(&server).await;
    assert_eq!(before.len(), usize::from(COUNT));
    permute(&mut server).await;
    let store = open(&server).await.unwrap();
    for (key, number) in keys.iter().zip(0..) {
        assert_eq!(store.retrieve(key).await.unwrap_err().kind(), Corrupt, "{key:?}");
        let (next, found) = (Revision::from_bytes([99; 8]), own(number).revision);
        // Of the row to which the index leads, and of its own.
        for revision in
            [own((number + 1) % COUNT).revision, own((number + COUNT - 1) % COUNT).revision, found]
        {
            let touch = Touch { from: revision, to: next, deadline: None };
            let touched = store.touch(key, touch).await;
            is_harmless(touched.map(|done| if done { Change::Applied } else { Change::Conflict(None) }));
            is_harmless(store.store(key, crate::record(99), Condition::Revision(revision)).await);
            is_harmless(store.remove(key, Condition::Revision(revision)).await);
        }
        is_harmless(store.store(key, crate::record(99), Condition::Absent).await);
        is_harmless(store.store(key, crate::record(99), Condition::Any).await);
        is_harmless(store.remove(key, Condition::Any).await);
        assert_eq!(rows(&server).await, before, "after changes of {key:?}");
    }
    // A walk may miss keys, but it ends.
    for limit in [1, 3, 100] {
        let (mut next, mut pages) = (Some(Cursor::start()), 0);
        while let Some(from) = next {
            pages += 1;
            assert!(pages < 100, "pages of {limit}");
            next = store
                .traverse(&Prefix::new("user").unwrap(), from, limit)
                .await
                .ok()
                .and_then(|page| page.next);
        }
    }
    // The other index leads a purge to the expired rows, and this one from their keys to live ones.
    clock.set(at(2_000));
    for _ in 0..5 {
        let _ = store.purge(2).await.unwrap();
    }
    let after = rows(&server).await;
    for (key, number) in keys.iter().zip(0..).filter(|(_, number)| number % 2 == 0) {
        assert_eq!(after.get(key.as_bytes()), Some(&own(number).data.to_vec()), "a purge took {key:?}");
    }
    assert!(!store.purge(2).await.unwrap().more, "a purge that removes nothing has no more to do");
    server.sql("REINDEX TABLE sessions").unwrap();
    for (key, number) in keys.iter().zip(0..).filter(|(_, number)| number % 2 == 0) {
        assert_eq!(store.retrieve(key).await.unwrap(), Some(own(number)));
    }
    assert_eq!(store.purge(100).await.unwrap().removed, after.len() as u64 - 4);
}
