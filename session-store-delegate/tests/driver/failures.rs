//! Models that fail or panic.

use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use session_core::Condition::{Absent, Any, Revision as At};
use session_core::{
    Applied, Cursor, Driver, Operation, Prefix, Purged, Result, StoreErrorKind, TestClock, Touch,
};
use session_store_delegate::{DelegateConfig, DelegateStore};

use super::{NOW, Store, claims, expiring, key, later, record, rev, store};
use crate::objects::{Objects, Trouble};

/// The operations that call the model, in the order of [`operate`]'s numbers.
const OPERATIONS: [Operation; 9] = [
    Operation::Retrieve,
    Operation::Store,
    Operation::Store,
    Operation::Store,
    Operation::Remove,
    Operation::Touch,
    Operation::Traverse,
    Operation::Purge,
    Operation::Flush,
];

/// Runs an operation on a store that holds `session:one` at revision 1.
async fn operate(store: &Store, number: usize) -> Result<()> {
    let one = key("session:one");
    match number {
        0 => store.retrieve(&one).await.map(drop),
        1 => store.store(&one, expiring(2), Any).await.map(drop),
        2 => store.store(&one, record(2), At(rev(1))).await.map(drop),
        3 => store.store(&one, record(2), Absent).await.map(drop),
        4 => store.remove(&one, Any).await.map(drop),
        5 => {
            let touch = Touch { from: rev(1), to: rev(2), deadline: Some(later()) };
            store.touch(&one, touch).await.map(drop)
        }
        6 => store.traverse(&Prefix::SESSION, Cursor::start(), 9).await.map(drop),
        7 => store.purge(9).await.map(drop),
        _ => store.flush().await,
    }
}

/// A store with the live `session:one` and the expired `session:old`.
async fn filled() -> (Store, Objects) {
    let (store, model, clock) = store();
    assert!(store.store(&key("session:old"), expiring(9), Any).await.unwrap().is_applied());
    clock.set(later());
    assert!(store.store(&key("session:one"), record(1), Any).await.unwrap().is_applied());
    model.calls();
    (store, model)
}

#[tokio::test]
async fn a_failed_call_ends_its_operation_only() {
    for (number, name) in OPERATIONS.into_iter().enumerate() {
        let mut failures = 0;
        loop {
            let (store, model) = filled().await;
            model.fail(failures, Trouble::Error(io::ErrorKind::Other));
            let answer = operate(&store, number).await;
            if !model.has_failed() {
                assert!(answer.is_ok());
                break;
            }
            let mut calls = model.calls();
            // A purge asks for the keys behind the failed one. If that fails, it has removed a record.
            if name == Operation::Purge && answer.is_ok() {
                assert_eq!(calls.len(), failures + 1, "{calls:?}");
                failures += 1;
                continue;
            }
            if name == Operation::Purge && failures > 0 {
                assert_eq!(calls.pop().as_deref(), Some("expired"));
            }
            assert_eq!(calls.len(), failures + 1, "{name}: the failed call is the last: {calls:?}");
            let error = answer.unwrap_err();
            assert_eq!((error.kind(), error.operation()), (StoreErrorKind::Backend, name));
            // Only a flush or a sync may have changed the store.
            let handed_over = calls.last().is_some_and(|call| call.starts_with("flush") || call == "sync");
            let applied = if handed_over { Applied::Unknown } else { Applied::No };
            assert_eq!(error.applied(), applied, "{name}: {calls:?}");
            assert_eq!(store.retrieve(&key("session:one")).await.unwrap(), Some(record(1)), "{name}");
            failures += 1;
        }
        assert!(failures > 0, "operation {number} calls the model");
    }
}

#[tokio::test]
async fn a_panic_in_any_call_leaves_a_usable_store() {
    for (number, name) in OPERATIONS.into_iter().enumerate() {
        let mut failures = 0;
        loop {
            let (store, model) = filled().await;
            model.fail(failures, Trouble::Panic);
            let answer = caught(Box::pin(operate(&store, number))).await;
            if !model.has_failed() {
                break;
            }
            assert!(answer.is_none(), "{name}: the caller gets the panic");
            assert_eq!(store.retrieve(&key("session:one")).await.unwrap(), Some(record(1)), "{name}");
            assert!(store.store(&key("session:one"), record(3), At(rev(1))).await.unwrap().is_applied());
            failures += 1;
        }
    }
}

/// The output of a future, or `None` if it panicked.
async fn caught<T>(mut future: Pin<Box<dyn Future<Output = T> + '_>>) -> Option<T> {
    std::future::poll_fn(move |context| {
        match std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(poll) => poll.map(Some),
            Err(_) => std::task::Poll::Ready(None),
        }
    })
    .await
}

#[tokio::test]
async fn the_model_classifies_its_errors() {
    let (store, model) = filled().await;
    let flush_at = 4;
    for (cause, kind, applied) in [
        (io::ErrorKind::StorageFull, StoreErrorKind::Full, Applied::No),
        (io::ErrorKind::TimedOut, StoreErrorKind::Timeout, Applied::Unknown),
        (io::ErrorKind::Other, StoreErrorKind::Backend, Applied::Unknown),
    ] {
        model.fail(flush_at, Trouble::Error(cause));
        let error = store.store(&key("session:one"), record(2), Any).await.unwrap_err();
        assert_eq!((error.kind(), error.applied()), (kind, applied));
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(source.downcast_ref::<io::Error>().unwrap().kind(), cause);
        // Before the flush nothing was written, even if the model says otherwise.
        model.fail(0, Trouble::Error(cause));
        let error = store.store(&key("session:one"), record(2), Any).await.unwrap_err();
        assert_eq!((error.kind(), error.applied()), (kind, Applied::No));
    }
}

/// A store whose records `ids` are all expired.
async fn expired(ids: &[&str]) -> (Store, Objects) {
    let (store, model, clock) = store();
    for id in ids {
        assert!(store.store(&key(&format!("session:{id}")), expiring(1), Any).await.unwrap().is_applied());
    }
    clock.set(later());
    (store, model)
}

#[tokio::test]
async fn a_purge_skips_failures_and_reports_one_if_it_removed_none() {
    let (store, model) = expired(&["a", "b", "c"]).await;
    // The list, and the delegate of the first.
    model.fail(1, Trouble::Error(io::ErrorKind::StorageFull));
    assert_eq!(store.purge(1).await.unwrap(), Purged { removed: 1, more: true });
    assert!(model.has("a") && !model.has("b") && model.has("c"));
    // The list, then the seven calls for the first record; the last of them fails.
    model.fail(7, Trouble::Error(io::ErrorKind::Other));
    assert_eq!(store.purge(9).await.unwrap(), Purged { removed: 1, more: false });
    model.fail(7, Trouble::Error(io::ErrorKind::Other));
    let error = store.purge(9).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Backend, Applied::Unknown));
    assert_eq!(store.purge(9).await.unwrap().removed, 1);
}

#[tokio::test]
async fn a_purge_ends_when_the_model_does_not_answer() {
    let (store, model) = expired(&["a", "b", "c"]).await;
    model.calls();
    model.fail(1, Trouble::Error(io::ErrorKind::TimedOut));
    assert_eq!(store.purge(9).await.unwrap_err().kind(), StoreErrorKind::Timeout);
    assert_eq!(model.calls(), ["expired", "delegate"]);
    // The list, seven calls for the first, and the delegate of the second.
    model.fail(8, Trouble::Error(io::ErrorKind::TimedOut));
    assert_eq!(store.purge(9).await.unwrap(), Purged { removed: 1, more: true });
    // The list, both records, and the list again.
    model.fail(15, Trouble::Error(io::ErrorKind::Other));
    assert_eq!(store.purge(9).await.unwrap(), Purged { removed: 2, more: true });
    assert!(!store.purge(9).await.unwrap().more);
}

#[test]
fn blocking_calls_need_no_runtime() {
    use session_core::BlockingDriver;

    let clock = TestClock::new(NOW);
    let model = Objects::pending(claims());
    let store = DelegateStore::open(DelegateConfig::new(model.clone()).clock(Arc::new(clock.clone())));
    let one = key("session:one");
    let functions: &dyn BlockingDriver = &store;
    assert!(functions.store(&one, expiring(1), Absent).unwrap().is_applied());
    assert!(functions.touch(&one, Touch { from: rev(1), to: rev(2), deadline: Some(later()) }).unwrap());
    assert_eq!(functions.retrieve(&one).unwrap().unwrap().revision, rev(2));
    let page = functions.traverse(&Prefix::SESSION, Cursor::start(), 1).unwrap();
    assert_eq!(page.entries.len(), 1);
    assert!(functions.capabilities().conditional);
    clock.set(later());
    assert_eq!(functions.clock().now(), later());
    assert_eq!(functions.purge(1).unwrap().removed, 1);
    assert!(!model.has("one"));
    assert!(!functions.remove(&one, Any).unwrap().is_applied());
    functions.flush().unwrap();
    functions.close().unwrap();
    assert_eq!(functions.retrieve(&one).unwrap_err().kind(), StoreErrorKind::Closed);
}
