//! The settings of the server that each statement needs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use session_core::Applied::No;
use session_core::StoreErrorKind::Timeout;
use session_core::{Condition, Driver, Durability};
use session_store_postgres::PostgresStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::{config, fails, key, lock, open, put, raw, record, server};

/// Forwards connections to a server, and notes the first message of each. With a refusal, it answers such a message with
/// `options` in it by this SQLSTATE, as a proxy does.
async fn noting(server: u16, refusal: Option<&'static str>) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, firsts) = (listener.local_addr().unwrap().port(), Arc::<Mutex<Vec<String>>>::default());
    let notes = Arc::clone(&firsts);
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut first = vec![0; client.read_u32().await.unwrap() as usize - 4];
            client.read_exact(&mut first).await.unwrap();
            let text = String::from_utf8_lossy(&first).replace('\0', " ");
            notes.lock().unwrap().push(text.clone());
            if let Some(code) = refusal.filter(|_| text.contains(" options ")) {
                let fields = format!("SFATAL\0VFATAL\0C{code}\0Munsupported startup parameter\0\0");
                let head = [&b"E"[..], &(fields.len() as u32 + 4).to_be_bytes()].concat();
                client.write_all(&[&head, fields.as_bytes()].concat()).await.unwrap();
                continue;
            }
            let mut server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
            server.write_u32(first.len() as u32 + 4).await.unwrap();
            server.write_all(&first).await.unwrap();
            let ((mut asks, mut hears), (mut says, mut gets)) = (client.into_split(), server.into_split());
            tokio::spawn(async move { drop(copy(&mut says, &mut hears).await) });
            tokio::spawn(async move { drop(copy(&mut asks, &mut gets).await) });
        }
    });
    (port, firsts)
}

#[tokio::test]
async fn own_connections_begin_with_the_settings() {
    let server = server();
    let (port, firsts) = noting(server.port(), None).await;
    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres?options=-c%20work_mem%3D1MB");
    let settings = config(url).response_timeout(Duration::from_secs(2)).durability(Durability::Process);
    let store = PostgresStore::open(settings.clone()).await.unwrap();
    put(&store, &key("a"), record(1)).await;
    let said = std::mem::take(&mut *firsts.lock().unwrap());
    assert_eq!(said.len(), 2, "the first connection looks at the server, the second begins: {said:?}");
    assert!(said[0].contains("options -c work_mem=1MB ") && !said[0].contains("lock_timeout"), "{said:?}");
    let all = "options -c work_mem=1MB -c lock_timeout=1500 -c synchronous_commit=off ";
    assert!(said[1].contains(all), "{said:?}");
    let power = PostgresStore::open(settings.durability(Durability::Power)).await.unwrap();
    put(&power, &key("a"), record(2)).await;
    let said = firsts.lock().unwrap().last().cloned().unwrap();
    assert!(said.contains("-c lock_timeout=1500 ") && !said.contains("synchronous_commit"), "{said}");
}

#[tokio::test]
async fn proxy_that_refuses_options_gets_none() {
    let server = server();
    for code in ["08P01", "0A000"] {
        let (port, firsts) = noting(server.port(), Some(code)).await;
        let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
        let store = PostgresStore::open(config(url)).await.unwrap();
        let puts = (0..4).map(|n| {
            let store = store.clone();
            tokio::spawn(async move { put(&store, &key(&n.to_string()), record(1)).await })
        });
        for put in puts.collect::<Vec<_>>() {
            put.await.unwrap();
        }
        assert_eq!(store.retrieve(&key("0")).await.unwrap(), Some(record(1)));
        put(&store, &key("0"), record(2)).await;
        let firsts = firsts.lock().unwrap();
        let (with, without): (Vec<_>, Vec<_>) = firsts.iter().partition(|first| first.contains(" options "));
        assert!(!with.is_empty() && without.len() > 1, "{firsts:?}");
    }
}

/// A change that meets a lock fails after the limit of the operator, and not after that of the driver.
#[tokio::test]
async fn shorter_lock_timeout_of_the_operator_stays() {
    let server = server();
    let other = raw(&server.url()).await;
    other.batch_execute("ALTER ROLE postgres SET lock_timeout = '100ms'").await.unwrap();
    let store = open(&server).await;
    put(&store, &key("a"), record(1)).await;
    lock(&other, &key("a")).await;
    for condition in [Condition::Any, Condition::Revision(record(1).revision)] {
        // The driver's limit is 15 s.
        let place = key("a");
        let change = timeout(Duration::from_secs(10), store.store(&place, record(2), condition));
        fails(change.await.unwrap(), Timeout, No);
    }
    other.batch_execute("COMMIT").await.unwrap();
    put(&store, &key("a"), record(2)).await;
}
