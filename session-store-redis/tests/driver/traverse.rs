//! Traversal of a server that also has keys of other programs.

use std::collections::BTreeSet;

use session_core::StoreErrorKind::Corrupt;
use session_core::{Applied, Condition, Cursor, Driver, DriverExt, Key};
use session_store_redis::{RedisConfig, RedisStore};
use xtask_redis::{Options, Server};

use crate::{at, connect, fails, key, put, record, server, touch, users};

#[tokio::test]
async fn namespaces_are_separate() {
    let server = server();
    let one = RedisStore::open(RedisConfig::new(server.url()).namespace("one:")).await.unwrap();
    let two = RedisStore::open(RedisConfig::new(server.url()).namespace("[a-z]*:")).await.unwrap();
    put(&one, &key("a"), record(1), Condition::Absent).await;
    assert!(two.retrieve(&key("a")).await.unwrap().is_none());
    put(&two, &key("b"), record(2), Condition::Absent).await;
    let users = users();
    assert_eq!((one.count(&users).await.unwrap(), two.count(&users).await.unwrap()), (1, 1));
    assert_eq!(two.clear(&users).await.unwrap(), 1);
    assert!(one.retrieve(&key("a")).await.unwrap().is_some());
}

#[tokio::test]
async fn foreign_keys_end_no_traversal() {
    let server = server();
    let store = connect(&server).await;
    put(&store, &key("a"), record(1), Condition::Absent).await;
    for command in [
        "LPUSH session-kit:user:list x",
        "SET session-kit:user:short x",
        "SET session-kit:user:empty \"\"",
        "SET session-kit:user: x",
    ] {
        server.command(command).unwrap();
    }
    let users = users();
    assert_eq!(store.count(&users).await.unwrap(), 1);
    for name in ["list", "short", "empty"] {
        fails(store.retrieve(&key(name)).await, Corrupt, Applied::No);
        for condition in [Condition::Absent, at(1)] {
            fails(store.store(&key(name), record(2), condition).await, Corrupt, Applied::No);
            fails(store.remove(&key(name), condition).await, Corrupt, Applied::No);
        }
        fails(store.touch(&key(name), touch(1, 2, None)).await, Corrupt, Applied::No);
        fails(store.store_over(&key(name), record(2), &record(1)).await, Corrupt, Applied::No);
        put(&store, &key(name), record(2), Condition::Any).await;
        assert_eq!(store.retrieve(&key(name)).await.unwrap(), Some(record(2)));
    }
}

#[tokio::test]
async fn restart_between_two_pages_hides_no_key() {
    let mut server = Server::start(Options::new().lasting()).unwrap();
    let store = connect(&server).await;
    let keys = fill(&store, 300).await;
    assert_eq!(walk(&store, 20, async || server.restart().unwrap()).await, keys);
}

#[tokio::test]
async fn traversal_needs_no_right_to_info() {
    let server = server();
    let said = server.command("ACL SETUSER app on >word ~* +@all -info").unwrap();
    assert_eq!(said, "+OK");
    let store = RedisStore::open(server.url_of("app:word")).await.unwrap();
    let keys = fill(&store, 50).await;
    assert_eq!(walk(&store, 20, async || {}).await, keys);
}

pub(crate) async fn fill(store: &RedisStore, count: u32) -> BTreeSet<Key> {
    let keys: BTreeSet<_> = (0..count).map(|n| key(&n.to_string())).collect();
    for key in &keys {
        put(store, key, record(1), Condition::Absent).await;
    }
    keys
}

/// Traverses more than `first` keys, calls `meanwhile`, and traverses the rest. Returns all keys found.
pub(crate) async fn walk(store: &RedisStore, first: usize, meanwhile: impl AsyncFnOnce()) -> BTreeSet<Key> {
    walk_by(10, store, first, meanwhile).await
}

/// As [`walk`], with the limit of a page.
pub(crate) async fn walk_by(
    limit: usize,
    store: &RedisStore,
    first: usize,
    meanwhile: impl AsyncFnOnce(),
) -> BTreeSet<Key> {
    let users = users();
    let (mut found, mut from, mut meanwhile) = (BTreeSet::new(), Cursor::start(), Some(meanwhile));
    for _ in 0..10_000 {
        let page = store.traverse(&users, from, limit).await.unwrap();
        found.extend(page.entries.into_iter().map(|entry| entry.key));
        if found.len() > first
            && let Some(meanwhile) = meanwhile.take()
        {
            meanwhile().await;
        }
        let Some(next) = page.next else {
            assert!(meanwhile.is_none(), "the traversal ended before the event");
            return found;
        };
        from = next;
    }
    panic!("a traversal without end");
}
