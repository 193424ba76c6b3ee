//! The number of round trips of each operation.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use session_core::{Condition, Cursor, Driver, Prefix, Record, Timestamp, Touch};
use session_store_postgres::PostgresStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::{config, key, record, server};

/// Forwards connections to a server, and counts the messages after which the client waits for an answer: `Sync` and a
/// simple query.
async fn counting(server: u16) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://postgres@{}/postgres", listener.local_addr().unwrap());
    let trips = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&trips);
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
            let ((mut asks, mut hears), (mut says, mut gets)) = (client.into_split(), server.into_split());
            tokio::spawn(async move { drop(tokio::io::copy(&mut says, &mut hears).await) });
            let counter = Arc::clone(&counter);
            tokio::spawn(async move {
                // The first message has no type.
                let mut kind = None;
                loop {
                    let mut head = [0; 4];
                    if asks.read_exact(&mut head).await.is_err() {
                        return;
                    }
                    let mut body = vec![0; u32::from_be_bytes(head) as usize - 4];
                    asks.read_exact(&mut body).await.unwrap();
                    if matches!(kind, Some(b'S' | b'Q')) {
                        counter.fetch_add(1, SeqCst);
                    }
                    let message = [kind.as_slice(), &head[..], &body[..]].concat();
                    gets.write_all(&message).await.unwrap();
                    match asks.read_u8().await {
                        Ok(next) => kind = Some(next),
                        Err(_) => return,
                    }
                }
            });
        }
    });
    (url, trips)
}

/// Runs every operation once. Each is one statement, except a change that finds something in its way, which is two. The
/// first use of a statement takes `new` round trips.
async fn run(store: &PostgresStore, trips: &AtomicUsize, new: usize) {
    let at = |n| Condition::Revision(record(n).revision);
    let (place, expired) = (key("a"), Record { expires: Some(Timestamp::EPOCH), ..record(9) });
    let count = |what: &str, expected: usize| assert_eq!(trips.swap(0, SeqCst), expected, "{what}");
    // Opens the connection.
    assert!(store.retrieve(&place).await.unwrap().is_none());
    trips.store(0, SeqCst);
    assert!(store.store(&place, record(1), Condition::Absent).await.unwrap().is_applied());
    count("absent", new);
    assert!(!store.store(&place, record(2), at(7)).await.unwrap().is_applied());
    count("revision, conflict", 2 * new);
    assert!(store.store(&place, record(2), Condition::Any).await.unwrap().is_applied());
    count("any", new);
    let touch = Touch { from: record(2).revision, to: record(3).revision, deadline: None };
    assert!(store.touch(&place, touch).await.unwrap());
    count("touch", new);
    assert!(store.touch(&place, touch).await.unwrap());
    count("touch, made already", 1 + new);
    assert!(store.retrieve(&place).await.unwrap().is_some());
    count("retrieve", 1);
    assert!(!store.remove(&place, at(1)).await.unwrap().is_applied());
    count("remove", new);
    let page = store.traverse(&Prefix::new("user").unwrap(), Cursor::start(), 10).await.unwrap();
    assert_eq!(page.entries.len(), 1);
    count("traverse", new);
    store.purge(10).await.unwrap();
    count("purge", new);
    store.flush().await.unwrap();
    count("flush", new);
    assert!(!store.store(&place, record(2), Condition::Absent).await.unwrap().is_applied());
    count("absent, conflict", 1 + new);
    let loaded = store.retrieve(&place).await.unwrap().unwrap();
    count("retrieve again", 1);
    assert!(store.store_over(&place, record(4), &loaded).await.unwrap().is_applied());
    count("store_over", 1);
    assert!(store.store(&place, expired, Condition::Any).await.unwrap().is_applied());
    count("expired", 1);
}

#[tokio::test]
async fn operations_take_one_round_trip_and_conflicts_two() {
    let server = server();
    let (url, trips) = counting(server.port()).await;
    let store = PostgresStore::open(config(url.clone()).connections(1)).await.unwrap();
    run(&store, &trips, 1).await;
    // The first use of a statement on a connection prepares it.
    let prepared =
        PostgresStore::open(config(url).connections(1).prepare(true).table("other")).await.unwrap();
    run(&prepared, &trips, 2).await;
}
