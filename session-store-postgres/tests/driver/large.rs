//! Records of more than a MiB, which are stored and read in parts.

use std::time::Duration;

use session_core::Applied::No;
use session_core::StoreErrorKind::Unavailable;
use session_core::{Change, Condition, Driver, Prefix, Record, Revision, TestClock, Timestamp, Touch};
use session_store_postgres::PostgresStore;
use xtask_postgres::Server;

use crate::{config, fails, key, lock, open, put, raw, record, server, waiting};

const PART: usize = 1 << 20;

/// A record whose parts all differ.
fn large(n: u8, len: usize) -> Record {
    let data: Vec<u8> = (0..len).map(|at| (at / 1_000) as u8 ^ n).collect();
    Record::new(data, None, Revision::from_bytes([n; 8]))
}

fn at(n: u8) -> Condition {
    Condition::Revision(Revision::from_bytes([n; 8]))
}

fn rows(server: &Server) -> String {
    server.sql("SELECT count(*) FROM sessions").unwrap()
}

#[tokio::test]
async fn every_length_is_read_back() {
    let server = server();
    for prepare in [false, true] {
        let store = PostgresStore::open(config(server.url()).prepare(prepare)).await.unwrap();
        for len in [PART - 1, PART, PART + 1, 2 * PART, 3 * PART + 7] {
            let place = key(&format!("{len}"));
            assert!(store.store(&place, large(1, len), Condition::Absent).await.unwrap().is_applied());
            assert_eq!(store.retrieve(&place).await.unwrap(), Some(large(1, len)), "{len}");
            assert!(store.store(&place, large(2, len), at(1)).await.unwrap().is_applied());
            assert_eq!(store.retrieve(&place).await.unwrap(), Some(large(2, len)), "{len}");
            put(&store, &place, large(3, len)).await;
            assert_eq!(store.retrieve(&place).await.unwrap(), Some(large(3, len)), "{len}");
            assert!(store.remove(&place, at(3)).await.unwrap().is_applied());
        }
        assert_eq!(rows(&server), "0", "no part is left");
    }
}

#[tokio::test]
async fn conflict_returns_a_large_record() {
    let server = server();
    let store = open(&server).await;
    let (place, live) = (key("a"), large(1, 2 * PART));
    put(&store, &place, live.clone()).await;
    let conflict = Change::Conflict(Some(live.clone()));
    for new in [record(2), large(2, 2 * PART + 1)] {
        for condition in [Condition::Absent, at(7)] {
            assert_eq!(store.store(&place, new.clone(), condition).await.unwrap(), conflict);
        }
    }
    assert_eq!(store.remove(&place, at(7)).await.unwrap(), conflict);
    let expired = Record { expires: Some(Timestamp::EPOCH), ..record(2) };
    assert_eq!(store.store(&place, expired, at(7)).await.unwrap(), conflict);
    // The same change again.
    for condition in [Condition::Absent, at(7)] {
        assert!(store.store(&place, live.clone(), condition).await.unwrap().is_applied());
    }
    let touch = Touch { from: live.revision, to: record(9).revision, deadline: None };
    assert!(store.touch(&place, touch).await.unwrap());
    let touched = Record { revision: record(9).revision, ..live };
    assert_eq!(store.retrieve(&place).await.unwrap(), Some(touched));
    assert_eq!(store.store(&key("none"), large(2, 2 * PART), at(1)).await.unwrap(), Change::Conflict(None));
    assert_eq!(rows(&server), "1");
}

/// Readers see one of the two records, never parts of both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reader_beside_writer_sees_whole_records() {
    let server = server();
    let store = open(&server).await;
    let place = key("a");
    put(&store, &place, large(0, 3 * PART)).await;
    let writer = {
        let (store, place) = (store.clone(), place.clone());
        tokio::spawn(async move {
            for turn in 1..12 {
                put(&store, &place, large(turn, 3 * PART - usize::from(turn))).await;
            }
        })
    };
    while !writer.is_finished() {
        let found = store.retrieve(&place).await.unwrap().unwrap();
        let turn = found.revision.to_bytes()[0];
        assert!(found == large(turn, 3 * PART - usize::from(turn)), "turn {turn}");
    }
    writer.await.unwrap();
}

/// A part that is gone, for example after a failover, must not shorten the record.
#[tokio::test]
async fn missing_part_leaves_the_store_as_it_was() {
    let server = server();
    let store = open(&server).await;
    put(&store, &key("a"), record(1)).await;
    let lose = "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                IF convert_from(NEW.key, 'UTF8') LIKE '?%:000001' THEN RETURN NULL; END IF; RETURN NEW; END $$; \
                CREATE TRIGGER lose BEFORE INSERT ON sessions FOR EACH ROW EXECUTE FUNCTION lose()";
    raw(&server.url()).await.batch_execute(lose).await.unwrap();
    for condition in [Condition::Any, at(1)] {
        fails(store.store(&key("a"), large(2, 3 * PART), condition).await, Unavailable, No);
    }
    fails(store.store(&key("b"), large(2, 3 * PART), Condition::Absent).await, Unavailable, No);
    assert_eq!(store.retrieve(&key("a")).await.unwrap(), Some(record(1)));
    assert_eq!(rows(&server), "1");
}

#[tokio::test]
async fn parts_of_an_abandoned_store_are_purged() {
    let server = server();
    let clock = TestClock::new(Timestamp::from_millis(1_800_000_000_000));
    let store =
        PostgresStore::open(config(server.url()).clock(std::sync::Arc::new(clock.clone()))).await.unwrap();
    let place = key("a");
    put(&store, &place, record(1)).await;
    let other = raw(&server.url()).await;
    lock(&other, &place).await;
    tokio::select! {
        answer = store.store(&place, large(2, 3 * PART), at(1)) => panic!("not locked: {answer:?}"),
        _ = waiting(&other) => {}
    }
    other.batch_execute("COMMIT").await.unwrap();
    // Waits for the abandoned change, which is made.
    assert!(store.store(&place, record(3), at(2)).await.unwrap().is_applied());
    let page =
        store.traverse(&Prefix::new("user").unwrap(), session_core::Cursor::start(), 10).await.unwrap();
    assert_eq!(page.entries.len(), 1, "parts are no records");
    assert_eq!(rows(&server), "4");
    clock.advance(Duration::from_secs(79));
    assert_eq!(store.purge(10).await.unwrap().removed, 0);
    clock.advance(Duration::from_secs(2));
    assert_eq!(store.purge(10).await.unwrap().removed, 3);
    assert_eq!(store.retrieve(&place).await.unwrap(), Some(record(3)));
}
