//! Walks over what a server has, other people's keys among it.

use session_core::{Condition, Cursor, Driver, ErrorKind, Prefix};
use session_store_redis::{Config, Redis};

use crate::{connect, key, put, record, server};

#[tokio::test]
async fn two_namespaces_in_one_server_do_not_meet() {
    let server = server();
    let one = Redis::connect(Config::new(server.url()).namespace("one:")).await.unwrap();
    let two = Redis::connect(Config::new(server.url()).namespace("[a-z]*:")).await.unwrap();
    put(&one, &key("a"), record(1), Condition::Absent).await;
    assert!(two.retrieve(&key("a")).await.unwrap().is_none());
    put(&two, &key("b"), record(2), Condition::Absent).await;
    let users = Prefix::new("user").unwrap();
    assert_eq!((one.count(&users).await.unwrap(), two.count(&users).await.unwrap()), (1, 1));
    assert_eq!(two.clear(&users).await.unwrap(), 1);
    assert!(one.retrieve(&key("a")).await.unwrap().is_some());
}

#[tokio::test]
async fn what_strangers_wrote_into_the_namespace_ends_no_walk() {
    let server = server();
    let store = connect(&server).await;
    put(&store, &key("a"), record(1), Condition::Absent).await;
    for command in
        ["LPUSH session-kit:user:list x", "SET session-kit:user:short x", "SET session-kit:user: x"]
    {
        server.command(command).unwrap();
    }
    let users = Prefix::new("user").unwrap();
    assert_eq!(store.count(&users).await.unwrap(), 1);
    for name in ["list", "short"] {
        assert_eq!(store.retrieve(&key(name)).await.unwrap_err().kind(), ErrorKind::Corrupt);
        let change = store.store(&key(name), record(2), Condition::Absent).await;
        assert_eq!(change.unwrap_err().kind(), ErrorKind::Corrupt, "{name}");
        put(&store, &key(name), record(2), Condition::Any).await;
        assert_eq!(store.retrieve(&key(name)).await.unwrap(), Some(record(2)));
    }
}

#[tokio::test]
async fn a_cursor_of_something_else_is_invalid() {
    let server = server();
    let store = connect(&server).await;
    let users = Prefix::new("user").unwrap();
    for bytes in [vec![9, 9], vec![1; 22], b"127.0.0.1:7000".to_vec()] {
        let error = store.traverse(&users, Cursor::from_bytes(bytes), 1).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidCursor);
    }
}
