//! Connections that are closed, and errors that end a session.

use std::time::Duration;

use session_core::Applied::{No, Unknown};
use session_core::StoreErrorKind::Unavailable;
use session_core::{Condition, Driver};
use session_store_postgres::PostgresStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::{config, fails, key, put, record, server};

fn url(listener: &TcpListener) -> String {
    format!("postgres://postgres@{}/postgres", listener.local_addr().unwrap())
}

#[tokio::test]
async fn connection_closed_in_the_handshake_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = url(&listener);
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            // The end of a connection with unread bytes is a reset, and without them an orderly close.
            drop(socket.read(&mut [0; 1_000]).await);
        }
    });
    fails(PostgresStore::open(config(url)).await, Unavailable, No);
}

/// A host that went away may still have its connections accepted, for example by a proxy or a firewall.
#[tokio::test]
async fn silent_first_host_does_not_hide_the_second() {
    let server = server();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (one, two) = (silent.local_addr().unwrap().port(), server.port());
    let url = format!("postgres://postgres@127.0.0.1:{one},127.0.0.1:{two}/postgres");
    let settings = config(url).connect_timeout(Duration::from_millis(300));
    let store = PostgresStore::open(settings).await.unwrap();
    put(&store, &key("a"), record(1)).await;
}

/// Forwards connections to a server. Answers a statement with `text` in it by an error of severity `FATAL`, as a server
/// does that ends the session, and closes the connection.
async fn fatal_at(server: u16, text: &'static str, code: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = url(&listener);
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
            tokio::spawn(async move {
                let (mut sent, mut answered) = ([0; 10_000], [0; 10_000]);
                loop {
                    tokio::select! {
                        read = client.read(&mut sent) => {
                            let sent = &sent[..read.unwrap_or(0)];
                            if sent.windows(text.len()).any(|part| part == text.as_bytes()) {
                                let fields = format!("SFATAL\0VFATAL\0C{code}\0Mended\0\0");
                                let mut answer = vec![b'E'];
                                answer.extend((fields.len() as u32 + 4).to_be_bytes());
                                answer.extend(fields.as_bytes());
                                return drop(client.write_all(&answer).await);
                            }
                            if sent.is_empty() || server.write_all(sent).await.is_err() {
                                return;
                            }
                        }
                        read = server.read(&mut answered) => {
                            let answered = &answered[..read.unwrap_or(0)];
                            if answered.is_empty() || client.write_all(answered).await.is_err() {
                                return;
                            }
                        }
                    }
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn fatal_error_leaves_a_change_unknown() {
    let server = server();
    let store =
        PostgresStore::open(config(fatal_at(server.port(), "INSERT INTO", "40001").await)).await.unwrap();
    fails(store.store(&key("a"), record(1), Condition::Any).await, Unavailable, Unknown);
    assert_eq!(store.retrieve(&key("a")).await.unwrap(), None);
    let direct = PostgresStore::open(config(server.url())).await.unwrap();
    put(&direct, &key("a"), record(1)).await;
    assert_eq!(store.retrieve(&key("a")).await.unwrap(), Some(record(1)));
}
