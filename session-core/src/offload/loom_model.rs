//! The threads under loom: every order of their steps with at most two preemptions, with all three files compiled on
//! loom's locks. Loom's condition variables never time out, so a lost wakeup shows as a deadlock.
#![allow(
    clippy::duplicate_mod,
    dead_code,
    unreachable_pub,
    reason = "the model compiles files of the library and uses a part of them"
)]

mod sync {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    pub(super) use std::sync::{Arc, PoisonError};
    use std::time::Duration;
    pub(super) use std::time::Instant;

    pub(super) use loom::sync::{Condvar, Mutex, MutexGuard};
    pub(super) use loom::thread;

    /// Each reading is a second after the last, so every pause is over and a model takes the same steps in every run.
    #[expect(clippy::disallowed_methods, reason = "an arbitrary moment, read once")]
    pub(super) fn now() -> Instant {
        static START: OnceLock<Instant> = OnceLock::new();
        static SECONDS: AtomicU64 = AtomicU64::new(0);
        let passed = Duration::from_secs(SECONDS.fetch_add(1, Ordering::Relaxed));
        *START.get_or_init(Instant::now) + passed
    }
}

#[path = "answer.rs"]
mod answer;
#[path = "engine.rs"]
mod engine;
#[path = "workers.rs"]
mod workers;

use std::time::Duration;

use loom::future::block_on;

use self::engine::Order;
use self::sync::{Arc, Mutex};
use self::workers::{Workers, WorkersConfig};
use crate::error::Operation;
use crate::key::Key;

fn model(steps: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(steps);
}

fn workers(threads: usize) -> Workers {
    with_queue(threads, 8)
}

fn with_queue(threads: usize, max_queue: usize) -> Workers {
    let (busy_timeout, busy_detail) = (Duration::from_secs(1 << 40), "busy");
    Workers::new(WorkersConfig { name: "loom", threads, max_queue, busy_timeout, busy_detail })
}

fn key() -> Key {
    Key::parse("user:alice").unwrap()
}

type Log = Arc<Mutex<Vec<u8>>>;

fn note(log: &Log, what: u8) -> impl FnMut(workers::Caller<'_>) -> crate::Result<Option<u8>> + Send + use<> {
    let log = Arc::clone(log);
    move |_| {
        log.lock().unwrap().push(what);
        Ok(Some(what))
    }
}

fn two_changes(order: impl Fn() -> Order + Sync + Send + 'static) {
    model(move || {
        let (workers, log) = (workers(2), Log::default());
        let first = workers.run(Operation::Store, order(), note(&log, 1));
        let second = workers.run(Operation::Store, order(), note(&log, 2));
        assert_eq!(block_on(second).unwrap(), 2);
        assert_eq!(block_on(first).unwrap(), 1);
        assert_eq!(*log.lock().unwrap(), [1, 2]);
    });
}

#[test]
fn changes_of_a_key_run_in_order() {
    two_changes(|| Order::Change(key()));
}

/// The model sees the orders: without the key it finds the wrong one.
#[test]
#[should_panic(expected = "left: [2, 1]")]
fn calls_without_a_key_have_no_order() {
    two_changes(|| Order::Free);
}

#[test]
fn a_retried_change_precedes_later_calls_on_its_key() {
    model(|| {
        let (workers, log) = (workers(2), Log::default());
        let (mut note, mut is_taken) = (note(&log, 1), true);
        let change = workers.run(Operation::Store, Order::Change(key()), move |caller| {
            if std::mem::take(&mut is_taken) { Ok(None) } else { note(caller) }
        });
        let read = workers.run(Operation::Retrieve, Order::Read(key()), self::note(&log, 2));
        assert_eq!((block_on(read).unwrap(), block_on(change).unwrap()), (2, 1));
        assert_eq!(*log.lock().unwrap(), [1, 2]);
    });
}

#[test]
fn a_dropped_change_never_follows_a_later_one() {
    model(|| {
        let (workers, log) = (workers(2), Log::default());
        drop(workers.run(Operation::Store, Order::Change(key()), note(&log, 1)));
        let read = workers.run(Operation::Retrieve, Order::Read(key()), note(&log, 2));
        assert_eq!(block_on(read).unwrap(), 2);
        let log = log.lock().unwrap();
        assert!(*log == [2] || *log == [1, 2], "{log:?}");
    });
}

#[test]
fn a_returned_call_leaves_its_place_in_the_queue() {
    model(|| {
        let (workers, log) = (with_queue(1, 1), Log::default());
        for number in [1, 2] {
            let call = workers.run(Operation::Store, Order::Change(key()), note(&log, number));
            assert_eq!(block_on(call).unwrap(), number);
        }
    });
}

#[test]
fn calls_of_two_callers_are_both_answered() {
    model(|| {
        let (workers, log) = (Arc::new(workers(1)), Log::default());
        let (theirs, their_log) = (Arc::clone(&workers), Arc::clone(&log));
        let other = loom::thread::spawn(move || {
            let read = theirs.run(Operation::Retrieve, Order::Read(key()), note(&their_log, 2));
            assert_eq!(block_on(read).unwrap(), 2);
        });
        let change = workers.run(Operation::Store, Order::Change(key()), note(&log, 1));
        assert_eq!(block_on(change).unwrap(), 1);
        other.join().unwrap();
    });
}

/// Loom reports a deadlock if a thread sleeps on.
#[test]
fn queued_calls_run_and_threads_end_after_the_set_is_dropped() {
    model(|| {
        let (workers, log) = (workers(2), Log::default());
        let first = workers.run(Operation::Store, Order::Change(key()), note(&log, 1));
        let second = workers.run(Operation::Retrieve, Order::Read(key()), note(&log, 2));
        drop(workers);
        assert_eq!((block_on(first).unwrap(), block_on(second).unwrap()), (1, 2));
    });
}

#[test]
fn drained_waits_for_dropped_calls() {
    model(|| {
        let (workers, log) = (workers(1), Log::default());
        drop(workers.run(Operation::Store, Order::Free, note(&log, 1)));
        block_on(workers.drained());
        let log = Arc::try_unwrap(log).expect("the call is dropped");
        assert!(log.into_inner().unwrap().len() <= 1);
    });
}
