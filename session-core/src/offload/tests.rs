//! The threads on the real scheduler: limits, panics, retries, cancellation.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use super::{Order, Workers, WorkersConfig};
use crate::error::{Applied, Operation, StoreErrorKind};
use crate::key::Key;

const LONG: Duration = Duration::from_secs(3600);

fn workers(threads: usize, max_queue: usize, busy_timeout: Duration) -> Workers {
    Workers::new(WorkersConfig {
        name: "test",
        threads,
        max_queue,
        busy_timeout,
        busy_detail: "the lock is taken",
    })
}

fn key(name: &str) -> Key {
    Key::parse(&format!("user:{name}")).unwrap()
}

async fn is_ready<F: Future + Unpin>(future: &mut F) -> bool {
    poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context).is_ready())).await
}

#[tokio::test]
async fn a_taken_lock_holds_up_no_other_call() {
    let workers = workers(1, 100, LONG);
    let mut stuck = Box::pin(workers.run(Operation::Store, Order::Free, |_| Ok(None::<()>)));
    assert!(!is_ready(&mut stuck).await);
    for number in 0..20 {
        let call = workers.run(Operation::Store, Order::Free, move |_| Ok(Some(number)));
        assert_eq!(call.await.unwrap(), number);
    }
}

#[tokio::test]
async fn a_lock_taken_too_long_is_unavailable() {
    let workers = workers(1, 1, Duration::ZERO);
    let error = workers.run(Operation::Store, Order::Free, |_| Ok(None::<()>)).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Unavailable, Applied::No));
    assert!(error.to_string().contains("the lock is taken"), "{error}");
}

#[tokio::test]
async fn a_full_queue_is_unavailable() {
    let workers = workers(1, 2, LONG);
    let (go, gate) = mpsc::channel::<()>();
    let mut gate = Some(gate);
    let mut first = Box::pin(workers.run(Operation::Store, Order::Free, move |_| {
        // Until the sender is dropped.
        let _closed = gate.take().map(|gate| gate.recv());
        Ok(Some(()))
    }));
    let mut second = Box::pin(workers.run(Operation::Store, Order::Free, |_| Ok(Some(()))));
    assert!(!is_ready(&mut first).await && !is_ready(&mut second).await);
    let third = workers.run(Operation::Store, Order::Free, |_| Ok(Some(()))).await.unwrap_err();
    assert_eq!(third.kind(), StoreErrorKind::Unavailable);
    drop(go);
    first.await.unwrap();
    second.await.unwrap();
    workers.run(Operation::Store, Order::Free, |_| Ok(Some(()))).await.unwrap();
}

#[tokio::test]
async fn a_panic_is_an_error_and_the_threads_remain() {
    let workers = workers(1, 100, LONG);
    for (operation, applied) in [(Operation::Store, Applied::Unknown), (Operation::Retrieve, Applied::No)] {
        let panics = |_: super::Caller<'_>| -> crate::Result<Option<()>> {
            std::panic::resume_unwind(Box::new("on purpose"))
        };
        let error = workers.run(operation, Order::Change(key("a")), panics).await.unwrap_err();
        assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Backend, applied));
    }
    workers.run(Operation::Store, Order::Change(key("a")), |_| Ok(Some(()))).await.unwrap();
}

#[tokio::test]
async fn a_dropped_call_is_not_repeated() {
    let workers = workers(1, 100, LONG);
    let (alive, dropped) = mpsc::channel::<()>();
    let mut stuck = Box::pin(workers.run(Operation::Store, Order::Change(key("a")), move |_| {
        let _alive = &alive;
        Ok(None::<()>)
    }));
    assert!(!is_ready(&mut stuck).await);
    drop(stuck);
    // The channel closes when the task is dropped.
    assert!(dropped.recv().is_err());
    workers.drained().await;
}

/// Three changes and a read of one key with four threads: each change sees the one before it complete.
#[tokio::test]
async fn calls_of_a_key_keep_their_order() {
    let workers = workers(4, 100, LONG);
    for _ in 0..200 {
        let log = Arc::new(Mutex::new(Vec::new()));
        let call = |number: u8, order| {
            let log = Arc::clone(&log);
            workers.run(Operation::Store, order, move |_| {
                log.lock().unwrap().push(number);
                std::thread::yield_now();
                log.lock().unwrap().push(number);
                Ok(Some(()))
            })
        };
        let one = call(1, Order::Change(key("a")));
        let two = call(2, Order::Change(key("a")));
        let read = call(3, Order::Read(key("a")));
        let other = workers.run(Operation::Store, Order::Change(key("b")), |_| Ok(Some(())));
        drop(two);
        read.await.unwrap();
        other.await.unwrap();
        one.await.unwrap();
        let log = log.lock().unwrap();
        assert!(*log == [1, 1, 3, 3] || *log == [1, 1, 2, 2, 3, 3], "{log:?}");
    }
}

#[tokio::test]
async fn a_forked_child_is_refused_and_waits_for_no_thread() {
    let mut workers = workers(1, 100, LONG);
    let mut stuck = Box::pin(workers.run(Operation::Store, Order::Free, |_| Ok(None::<()>)));
    assert!(!is_ready(&mut stuck).await);
    workers.pretend_fork();
    let error = workers.run(Operation::Store, Order::Free, |_| Ok(Some(()))).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Misconfigured, Applied::No));
    assert_eq!(workers.check_process(Operation::Store).unwrap_err().to_string(), error.to_string());
    workers.drained().await;
}
