//! Connections that break, or lead nowhere. What was answered is true, and what was not is said to be unknown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use session_core::{Applied, Change, Condition, Driver, StoreError, StoreErrorKind, Touch};
use session_store_redis::{RedisConfig, RedisStore};
use tokio::net::{TcpListener, TcpStream};
use xtask_redis::Server;

use crate::counter::{Counters, all_there};
use crate::proxy::Proxy;
use crate::{at, connect, key, put, record, recovered, server};

fn lost<T: std::fmt::Debug>(answer: Result<T, StoreError>) {
    let error = answer.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Unavailable, Applied::Unknown), "{error:?}");
}

#[tokio::test]
async fn a_change_whose_answer_is_lost_is_unknown_and_never_made_twice() {
    let server = server();
    let (direct, proxy) = (connect(&server).await, Proxy::before(&server).await);
    let store = RedisStore::connect(proxy.config()).await.unwrap();
    let (name, revision) = (key("a"), |n| record(n).revision);
    // The scripts are known, so that each change is one answer.
    put(&store, &key("b"), record(1), Condition::Absent).await;
    assert!(
        store.touch(&key("b"), Touch { from: revision(1), to: revision(2), deadline: None }).await.unwrap()
    );

    proxy.swallow_an_answer();
    lost(store.store(&name, record(1), Condition::Absent).await);
    assert_eq!(direct.retrieve(&name).await.unwrap(), Some(record(1)), "made all the same");
    put(&store, &name, record(1), Condition::Absent).await;

    proxy.swallow_an_answer();
    lost(store.store(&name, record(2), at(1)).await);
    put(&store, &name, record(2), at(1)).await;

    proxy.swallow_an_answer();
    lost(store.touch(&name, Touch { from: revision(2), to: revision(3), deadline: None }).await);
    assert!(store.touch(&name, Touch { from: revision(2), to: revision(3), deadline: None }).await.unwrap());

    // Somebody who has it removed a second time is told that there was nothing, by himself: so it is not done.
    for when in [Condition::Any, at(3)] {
        put(&store, &name, record(3), Condition::Any).await;
        proxy.swallow_an_answer();
        lost(store.remove(&name, when).await);
        assert_eq!(direct.retrieve(&name).await.unwrap(), None);
    }

    put(&store, &name, record(3), Condition::Any).await;
    proxy.swallow_an_answer();
    lost(store.store(&name, record(4), Condition::Any).await);
    // A read is only made again.
    assert!(store.retrieve(&key("b")).await.unwrap().is_some());
    proxy.swallow_an_answer();
    assert_eq!(store.retrieve(&name).await.unwrap().unwrap().revision, revision(4));
}

#[tokio::test]
async fn a_connection_that_leads_nowhere_is_replaced() {
    let server = server();
    let proxy = Proxy::before(&server).await;
    let store = RedisStore::connect(proxy.config().timeout(Duration::from_millis(300))).await.unwrap();
    put(&store, &key("a"), record(1), Condition::Absent).await;
    proxy.leave_hanging();
    let error = store.store(&key("a"), record(2), Condition::Any).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Timeout, Applied::Unknown));
    assert!(recovered(async || store.retrieve(&key("a")).await).await.is_some());
    put(&store, &key("a"), record(3), Condition::Any).await;
}

/// What it has not sent by then would reach the server after what was sent on its successor.
#[tokio::test]
async fn a_connection_that_is_let_go_brings_nothing_any_more() {
    let (server, listener) = (server(), TcpListener::bind(("127.0.0.1", 0)).await.unwrap());
    let (port, behind) = (listener.local_addr().unwrap().port(), server.port());
    let between = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = TcpStream::connect(("127.0.0.1", behind)).await.unwrap();
        tokio::io::copy_bidirectional(&mut client, &mut server).await
    });
    let store = RedisStore::connect(RedisConfig::new(format!("redis://127.0.0.1:{port}"))).await.unwrap();
    put(&store, &key("a"), record(1), Condition::Absent).await;
    store.close().await.unwrap();
    drop(store);
    let end = between.await.unwrap().unwrap_err();
    assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_connection_may_take_longer_than_a_call() {
    let server = server();
    let proxy = Proxy::before(&server).await;
    let config = proxy.config().timeout(Duration::from_millis(100)).connect_timeout(Duration::from_secs(60));
    let store = RedisStore::connect(config).await.unwrap();
    put(&store, &key("a"), record(1), Condition::Absent).await;
    proxy.delay(Duration::from_millis(500));
    assert!(server.command("CLIENT KILL TYPE normal").unwrap().starts_with(':'));
    assert_eq!(store.retrieve(&key("a")).await.unwrap_err().applied(), Applied::No);
    assert!(recovered(async || store.retrieve(&key("a")).await).await.is_some());
}

#[tokio::test]
async fn a_handle_outlives_the_runtime_that_it_connected_in_without_an_error() {
    let server = server();
    let url = server.url();
    let elsewhere = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(RedisStore::connect(RedisConfig::new(url))).unwrap()
    });
    let store = elsewhere.join().unwrap();
    put(&store, &key("a"), record(1), Condition::Absent).await;
    assert!(store.remove(&key("a"), Condition::Any).await.unwrap().is_applied());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_break_under_load_make_no_false_answer() {
    let server = server();
    no_false_answers(connect(&server).await, &[server]).await;
}

/// Cuts all connections, again and again, while counters are raised and records removed. Each is changed by one task
/// only, so that any conflict would be with its own changes.
pub(crate) async fn no_false_answers(store: RedisStore, servers: &[Server]) {
    let done = Arc::new(AtomicBool::new(false));
    let counters = Counters::begin(&store, (0..8).map(|n| key(&format!("counter-{n}")))).await;
    let removers: Vec<_> =
        (0..8).map(|n| tokio::spawn(removes(store.clone(), n, Arc::clone(&done)))).collect();
    for _ in 0..30 {
        counters.steps(20).await;
        for server in servers {
            // Which does not cut the one that asks for it.
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
    assert!(unknown > 0, "no answer was ever lost: nothing was tried");
}

/// Creates records and removes them, until told to stop. Gives how often it was not known what became of that.
async fn removes(store: RedisStore, number: u32, done: Arc<AtomicBool>) -> u64 {
    let mut unknown = 0;
    for turn in 0.. {
        let name = key(&format!("removed-{number}-{turn}"));
        while store.store(&name, record(1), Condition::Absent).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        match store.remove(&name, if turn % 2 == 0 { Condition::Any } else { at(1) }).await {
            Ok(answer) => assert_eq!(answer, Change::Applied, "it was there, and nobody else removes it"),
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
