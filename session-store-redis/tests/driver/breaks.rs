//! Broken and dead connections: every answer is true, and a lost answer is reported as unknown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use session_core::StoreErrorKind::{Timeout, Unavailable};
use session_core::{Applied, Change, Condition, Driver};
use session_store_redis::{RedisConfig, RedisStore};
use tokio::net::{TcpListener, TcpStream};
use xtask_redis::Server;

use crate::counter::{Counters, all_there};
use crate::proxy::Proxy;
use crate::{at, connect, fails, key, put, record, recovered, server, touch};

#[tokio::test]
async fn lost_answer_is_unknown_and_never_retried() {
    let server = server();
    let (direct, proxy) = (connect(&server).await, Proxy::before(&server).await);
    let store = RedisStore::open(proxy.config()).await.unwrap();
    let (name, revision) = (key("a"), |n| record(n).revision);
    // Loads the scripts, so that each change is one answer.
    put(&store, &key("b"), record(2), Condition::Absent).await;
    put(&store, &key("b"), record(1), at(2)).await;
    assert!(store.touch(&key("b"), touch(1, 2, None)).await.unwrap());

    proxy.drop_an_answer();
    fails(store.store(&name, record(1), Condition::Absent).await, Unavailable, Applied::Unknown);
    assert_eq!(direct.retrieve(&name).await.unwrap(), Some(record(1)), "applied in spite of the lost answer");
    put(&store, &name, record(1), Condition::Absent).await;

    proxy.drop_an_answer();
    fails(store.store(&name, record(2), at(1)).await, Unavailable, Applied::Unknown);
    put(&store, &name, record(2), at(1)).await;

    proxy.drop_an_answer();
    fails(store.touch(&name, touch(2, 3, None)).await, Unavailable, Applied::Unknown);
    assert!(store.touch(&name, touch(2, 3, None)).await.unwrap());

    // A second removal would find nothing because of the first one, so the driver makes none.
    for when in [Condition::Any, at(3)] {
        put(&store, &name, record(3), Condition::Any).await;
        proxy.drop_an_answer();
        fails(store.remove(&name, when).await, Unavailable, Applied::Unknown);
        assert_eq!(direct.retrieve(&name).await.unwrap(), None);
    }

    put(&store, &name, record(3), Condition::Any).await;
    proxy.drop_an_answer();
    fails(store.store(&name, record(4), Condition::Any).await, Unavailable, Applied::Unknown);
    // A read is retried.
    assert!(store.retrieve(&key("b")).await.unwrap().is_some());
    proxy.drop_an_answer();
    assert_eq!(store.retrieve(&name).await.unwrap().unwrap().revision, revision(4));
}

#[tokio::test]
async fn dead_connection_is_replaced() {
    let server = server();
    let proxy = Proxy::before(&server).await;
    let store = RedisStore::open(proxy.config().response_timeout(Duration::from_millis(300))).await.unwrap();
    put(&store, &key("a"), record(1), Condition::Absent).await;
    proxy.silence();
    fails(store.store(&key("a"), record(2), Condition::Any).await, Timeout, Applied::Unknown);
    assert!(recovered(async || store.retrieve(&key("a")).await).await.is_some());
    put(&store, &key("a"), record(3), Condition::Any).await;
}

/// Its unsent bytes would otherwise reach the server after commands on the next connection.
#[tokio::test]
async fn dropped_connection_delivers_nothing_more() {
    let (server, listener) = (server(), TcpListener::bind(("127.0.0.1", 0)).await.unwrap());
    let (port, behind) = (listener.local_addr().unwrap().port(), server.port());
    let between = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = TcpStream::connect(("127.0.0.1", behind)).await.unwrap();
        tokio::io::copy_bidirectional(&mut client, &mut server).await
    });
    let store = RedisStore::open(RedisConfig::new(format!("redis://127.0.0.1:{port}"))).await.unwrap();
    put(&store, &key("a"), record(1), Condition::Absent).await;
    store.close().await.unwrap();
    drop(store);
    let end = between.await.unwrap().unwrap_err();
    assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn connecting_may_take_longer_than_a_call() {
    let server = server();
    let proxy = Proxy::before(&server).await;
    let config =
        proxy.config().response_timeout(Duration::from_millis(100)).connect_timeout(Duration::from_secs(60));
    let store = RedisStore::open(config).await.unwrap();
    put(&store, &key("a"), record(1), Condition::Absent).await;
    proxy.delay(Duration::from_millis(500));
    assert!(server.command("CLIENT KILL TYPE normal").unwrap().starts_with(':'));
    assert_eq!(store.retrieve(&key("a")).await.unwrap_err().applied(), Applied::No);
    assert!(recovered(async || store.retrieve(&key("a")).await).await.is_some());
}

#[tokio::test]
async fn handle_outlives_the_runtime_it_connected_in() {
    let server = server();
    let url = server.url();
    let elsewhere = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(RedisStore::open(url)).unwrap()
    });
    let store = elsewhere.join().unwrap();
    put(&store, &key("a"), record(1), Condition::Absent).await;
    assert!(store.remove(&key("a"), Condition::Any).await.unwrap().is_applied());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn breaks_under_load_make_no_false_answer() {
    let server = server();
    no_false_answers(connect(&server).await, &[server]).await;
}

/// Repeatedly cuts all connections while tasks increment counters and remove records. One task changes each record, so
/// any conflict would be with its own changes.
pub(crate) async fn no_false_answers(store: RedisStore, servers: &[Server]) {
    let done = Arc::new(AtomicBool::new(false));
    let counters = Counters::begin(&store, (0..8).map(|n| key(&format!("counter-{n}")))).await;
    let removers: Vec<_> =
        (0..8).map(|n| tokio::spawn(removes(store.clone(), n, Arc::clone(&done)))).collect();
    for _ in 0..30 {
        counters.steps(20).await;
        for server in servers {
            // Spares the connection that sends the command.
            assert!(server.command("CLIENT KILL TYPE normal").unwrap().starts_with(':'));
        }
    }
    let counters = counters.end().await;
    done.store(true, Ordering::Relaxed);
    all_there(&counters);
    let mut unknown = counters.iter().map(|counter| counter.unknown).sum::<u64>();
    for remover in removers {
        unknown += remover.await.unwrap();
    }
    assert!(unknown > 0, "no answer was lost, so the test showed nothing");
}

/// Creates and removes records until `done`. Returns how many removals had an unknown effect.
async fn removes(store: RedisStore, number: u32, done: Arc<AtomicBool>) -> u64 {
    let mut unknown = 0;
    for turn in 0.. {
        let name = key(&format!("removed-{number}-{turn}"));
        while store.store(&name, record(1), Condition::Absent).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        match store.remove(&name, if turn % 2 == 0 { Condition::Any } else { at(1) }).await {
            Ok(answer) => assert_eq!(answer, Change::Applied, "no other task removes it"),
            Err(error) => {
                assert!(error.is_retryable(), "{error:?}");
                unknown += u64::from(error.applied() == Applied::Unknown);
            }
        }
        if done.load(Ordering::Relaxed) {
            break;
        }
    }
    unknown
}
