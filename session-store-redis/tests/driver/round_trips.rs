//! The commands of each operation, counted by the server.

use std::collections::BTreeMap;

use session_core::{Condition, Cursor, Driver, DriverExt};
use xtask_redis::Server;

use crate::{at, connect, key, put, record, server, touch, users};

/// How many times the server ran each command since [`reset`], including calls from scripts.
pub(crate) fn calls(server: &Server) -> BTreeMap<String, u64> {
    let statistics = server.command("INFO commandstats").unwrap();
    let lines = statistics.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="));
    let ours = lines.filter(|(name, _)| !name.starts_with("config") && *name != "info");
    ours.map(|(name, rest)| (name.to_owned(), rest.split(',').next().unwrap().parse().unwrap())).collect()
}

pub(crate) fn reset(server: &Server) {
    assert_eq!(server.command("CONFIG RESETSTAT").unwrap(), "+OK");
}

/// Whether the server compares without a script.
pub(crate) fn compares(server: &Server) -> bool {
    server.command("SET session-kit:? x PX 1 IFEQ y").unwrap() == "$-1"
}

/// Fails unless the server ran exactly these commands, each ten times.
fn ten_times(server: &Server, commands: &[&str]) {
    let expected = commands.iter().map(|name| ((*name).to_owned(), 10)).collect::<BTreeMap<_, _>>();
    assert_eq!(calls(server), expected);
    reset(server);
}

#[tokio::test]
async fn each_operation_is_one_command() {
    let server = server();
    let (store, native) = (connect(&server).await, compares(&server));
    // Loads the scripts.
    put(&store, &key("a"), record(2), Condition::Absent).await;
    assert!(store.store_over(&key("a"), record(3), &record(2)).await.unwrap().is_applied());
    put(&store, &key("a"), record(1), at(3)).await;
    assert!(store.touch(&key("a"), touch(1, 2, None)).await.unwrap());
    reset(&server);
    let keys: Vec<_> = (0..10).map(|n| key(&format!("k{n}"))).collect();
    for key in &keys {
        put(&store, key, record(1), Condition::Any).await;
    }
    ten_times(&server, &["set"]);
    for n in 0..10 {
        put(&store, &crate::key(&format!("new{n}")), record(1), Condition::Absent).await;
    }
    ten_times(&server, &["set"]);
    for key in &keys {
        assert_eq!(store.retrieve(key).await.unwrap(), Some(record(1)));
    }
    ten_times(&server, &["getrange"]);
    for n in 0..10 {
        assert_eq!(store.retrieve(&crate::key(&format!("none{n}"))).await.unwrap(), None);
    }
    // An empty value is not a missing one.
    ten_times(&server, &["getrange", "get"]);
    for key in &keys {
        put(&store, key, record(2), at(1)).await;
    }
    ten_times(&server, &["evalsha", "getrange", "set"]);
    for key in &keys {
        assert!(!store.store(key, record(3), Condition::Absent).await.unwrap().is_applied());
    }
    ten_times(&server, &["set", "getrange"]);
    for key in &keys {
        assert!(store.store_over(key, record(3), &record(2)).await.unwrap().is_applied());
    }
    ten_times(&server, if native { &["set"] } else { &["evalsha", "getrange", "set"] });
    for key in &keys {
        assert!(store.touch(key, touch(3, 4, None)).await.unwrap());
    }
    ten_times(&server, &["evalsha", "getrange", "setrange", "persist"]);
    for key in &keys {
        assert!(store.remove(key, Condition::Any).await.unwrap().is_applied());
    }
    ten_times(&server, &["evalsha", "getrange", "del"]);
}

#[tokio::test]
async fn page_costs_one_scan_and_one_info() {
    let server = server();
    let store = connect(&server).await;
    for n in 0..100 {
        put(&store, &key(&n.to_string()), record(1), Condition::Absent).await;
    }
    let users = users();
    store.count(&users).await.unwrap();
    reset(&server);
    let mut from = Cursor::start();
    let mut pages = 0;
    loop {
        pages += 1;
        match store.traverse(&users, from, 2).await.unwrap().next {
            Some(next) => from = next,
            None => break,
        }
    }
    let calls = calls(&server);
    assert!(pages > 2 && calls["scan"] == pages, "{calls:?}");
    let info = server.command("INFO commandstats").unwrap();
    assert!(info.contains(&format!("cmdstat_info:calls={}", pages + 2)), "{info}");
}

#[tokio::test]
async fn forgotten_script_costs_one_more_command_once() {
    let server = server();
    let store = connect(&server).await;
    put(&store, &key("a"), record(1), Condition::Absent).await;
    server.command("SCRIPT FLUSH").unwrap();
    reset(&server);
    put(&store, &key("a"), record(2), at(1)).await;
    let once = calls(&server);
    assert_eq!((once["evalsha"], once["eval"]), (1, 1));
    put(&store, &key("a"), record(3), at(2)).await;
    let twice = calls(&server);
    assert_eq!((twice["evalsha"], twice["eval"]), (2, 1));
}

#[tokio::test]
async fn clones_share_one_connection() {
    let server = server();
    let store = connect(&server).await;
    let tasks: Vec<_> = (0..32)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { put(&store, &key(&n.to_string()), record(n), Condition::Absent).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let clients = server.command("INFO clients").unwrap();
    // The other client is this command.
    assert!(clients.contains("connected_clients:2\r"), "{clients}");
}
