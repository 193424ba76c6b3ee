//! The threads on the real scheduler: limits, panics, retries, cancellation.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tokio_test::{assert_pending, task};

use super::{Caller, Order, Workers, WorkersConfig};
use crate::error::{Applied, Operation, StoreErrorKind};
use crate::key::Key;

const LONG: Duration = Duration::from_secs(3600);
/// Long enough for anything that does happen.
const IN_TIME: Duration = Duration::from_secs(20);

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

/// The `Debug` text with the counts, which it leaves out while a thread holds the queue's lock.
fn shown(workers: &Workers) -> String {
    loop {
        let text = format!("{workers:?}");
        if text.contains("calls: ") {
            return text;
        }
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_taken_lock_holds_up_no_other_call() {
    let workers = workers(1, 100, LONG);
    let mut stuck = task::spawn(workers.run(Operation::Store, Order::Free, |_| Ok(None::<()>)));
    assert_pending!(stuck.poll());
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
    let mut first = task::spawn(workers.run(Operation::Store, Order::Free, move |_| {
        // Until the sender is dropped.
        let _closed = gate.take().map(|gate| gate.recv());
        Ok(Some(()))
    }));
    let mut second = task::spawn(workers.run(Operation::Store, Order::Free, |_| Ok(Some(()))));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
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
        let panics = |_: Caller<'_>| -> crate::Result<Option<()>> {
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
    let mut stuck = task::spawn(workers.run(Operation::Store, Order::Change(key("a")), move |_| {
        let _alive = &alive;
        Ok(None::<()>)
    }));
    assert_pending!(stuck.poll());
    drop(stuck);
    // The channel closes when the task is dropped.
    assert!(dropped.recv().is_err());
    workers.drained().await;
}

#[tokio::test]
async fn a_panicking_destructor_leaves_the_threads_and_the_key() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("on purpose"));
        }
    }
    let workers = workers(1, 1, LONG);
    let bomb = Bomb;
    let call = workers.run(Operation::Store, Order::Change(key("a")), move |_| {
        let _bomb = &bomb;
        Ok(Some(7))
    });
    assert_eq!(call.await.unwrap(), 7);
    workers.run(Operation::Store, Order::Change(key("a")), |_| Ok(Some(()))).await.unwrap();
    workers.drained().await;
}

#[tokio::test]
async fn a_returned_call_leaves_its_place_in_the_queue() {
    let workers = workers(2, 1, LONG);
    for number in 0..1_000 {
        let call = workers.run(Operation::Store, Order::Change(key("a")), move |_| Ok(Some(number)));
        assert_eq!(call.await.unwrap(), number);
    }
}

/// The thread that watches the time for the retry is woken for the long call.
#[tokio::test]
async fn a_retry_waits_for_no_long_call() {
    for _ in 0..100 {
        let workers = workers(2, 100, LONG);
        let (ran, has_run) = mpsc::channel();
        let (done, is_done) = mpsc::channel();
        let long_began = Arc::new(AtomicBool::new(false));
        let began = Arc::clone(&long_began);
        let retried = workers.run(Operation::Store, Order::Free, move |_| {
            let _not_interested = ran.send(());
            Ok(began.load(Ordering::SeqCst).then(|| done.send(()).unwrap()))
        });
        has_run.recv().unwrap();
        let is_done = Mutex::new(is_done);
        let long = workers.run(Operation::Store, Order::Free, move |_| {
            long_began.store(true, Ordering::SeqCst);
            Ok(Some(is_done.lock().unwrap().recv_timeout(IN_TIME).is_ok()))
        });
        assert!(long.await.unwrap());
        retried.await.unwrap();
    }
}

#[tokio::test]
async fn reads_behind_a_change_run_side_by_side() {
    let workers = workers(4, 100, LONG);
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let change = workers.run(Operation::Store, Order::Change(key("a")), move |_| {
        let _closed = gate.lock().unwrap().recv();
        Ok(Some(()))
    });
    // Each read ends when it has seen the other two begin.
    let (begun, all) = (Arc::new(Mutex::new(0)), Arc::new(Condvar::new()));
    let reads: Vec<_> = (0..3)
        .map(|_| {
            let (begun, all) = (Arc::clone(&begun), Arc::clone(&all));
            workers.run(Operation::Retrieve, Order::Read(key("a")), move |_| {
                let mut begun = begun.lock().unwrap();
                *begun += 1;
                all.notify_all();
                let (_begun, wait) = all.wait_timeout_while(begun, IN_TIME, |begun| *begun < 3).unwrap();
                Ok(Some(!wait.timed_out()))
            })
        })
        .collect();
    drop(go);
    change.await.unwrap();
    for read in reads {
        assert!(read.await.unwrap());
    }
}

#[tokio::test]
async fn no_more_threads_than_configured_run_at_once() {
    let workers = workers(3, 100, LONG);
    let running = Arc::new(Mutex::new((0, 0)));
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let running = Arc::clone(&running);
            workers.run(Operation::Retrieve, Order::Free, move |_| {
                {
                    let mut running = running.lock().unwrap();
                    running.0 += 1;
                    running.1 = running.1.max(running.0);
                }
                std::thread::yield_now();
                running.lock().unwrap().0 -= 1;
                Ok(Some(()))
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    assert!((1..=3).contains(&running.lock().unwrap().1));
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
        workers.drained().await;
        let log = log.lock().unwrap();
        assert!(*log == [1, 1, 3, 3] || *log == [1, 1, 2, 2, 3, 3], "{log:?}");
        assert!(shown(&workers).contains("calls: 0, keys: 0"), "no key is kept: {workers:?}");
    }
}

#[tokio::test]
async fn a_forked_child_is_refused_and_waits_for_no_thread() {
    let mut workers = workers(1, 100, LONG);
    let mut stuck = task::spawn(workers.run(Operation::Store, Order::Free, |_| Ok(None::<()>)));
    assert_pending!(stuck.poll());
    workers.pretend_fork();
    let error = workers.run(Operation::Store, Order::Free, |_| Ok(Some(()))).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Misconfigured, Applied::No));
    assert_eq!(workers.check_process(Operation::Store).unwrap_err().to_string(), error.to_string());
    workers.drained().await;
}

/// The first of two calls waits for the second. Both find one idle thread, and the second needs another one.
#[tokio::test]
async fn two_calls_that_find_one_idle_thread_run_side_by_side() {
    for _ in 0..50 {
        let workers = workers(2, 100, LONG);
        workers.run(Operation::Store, Order::Free, |_| Ok(Some(()))).await.unwrap();
        let (second, first) = mpsc::channel();
        let waits = workers.run(Operation::Store, Order::Free, move |_| {
            Ok(Some(first.recv_timeout(Duration::from_secs(30)).is_ok()))
        });
        let sends = workers.run(Operation::Store, Order::Free, move |_| Ok(Some(second.send(()).is_ok())));
        assert!(sends.await.unwrap() && waits.await.unwrap());
    }
}
