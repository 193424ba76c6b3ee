//! Every operation is one unit of work: the object, its accessors, and at most one flush.

use session_core::Condition::{Absent, Any, Revision as At};
use session_core::{
    Change, ChangeRequest, Cursor, Driver, DriverExt, Key, Operation, Prefix, Record, StoreError,
    StoreErrorKind, Touch,
};
use session_store_delegate::{DelegateConfig, DelegateStore, Location};

use super::{NOW, claims, expiring, key, later, record, rev, store, store_in, store_with};
use crate::objects::Objects;

#[track_caller]
fn made(model: &Objects, expected: &[&str]) {
    assert_eq!(model.calls(), expected);
}

const LOOK: [&str; 3] = ["delegate", "get expires", "get revision"];
const WRITE: [&str; 3] = ["set session", "set expires", "set revision"];
const EMPTY: [&str; 3] = ["delete session", "delete expires", "delete revision"];

fn joined(parts: &[&[&'static str]]) -> Vec<&'static str> {
    parts.concat()
}

#[tokio::test]
async fn a_retrieve_does_not_flush() {
    let (store, model, clock) = store();
    let one = key("session:one");
    assert_eq!(store.retrieve(&one).await.unwrap(), None);
    made(&model, &joined(&[&LOOK, &["get session"]]));
    assert!(store.store(&one, expiring(1), Any).await.unwrap().is_applied());
    model.calls();
    assert_eq!(store.retrieve(&one).await.unwrap(), Some(expiring(1)));
    made(&model, &joined(&[&LOOK, &["get session"]]));
    clock.set(later());
    assert_eq!(store.retrieve(&one).await.unwrap(), None);
    made(&model, &LOOK);
    assert!(model.has("one"), "a retrieve does not remove an expired record");
}

#[tokio::test]
async fn a_store_flushes_once_with_the_seen_revision() {
    let (store, model, clock) = store();
    let one = key("session:one");
    assert!(store.store(&one, expiring(1), Absent).await.unwrap().is_applied());
    made(&model, &joined(&[&LOOK, &["get session"], &WRITE, &["flush absent"]]));
    assert!(store.store(&one, expiring(2), At(rev(1))).await.unwrap().is_applied());
    made(&model, &joined(&[&LOOK, &WRITE, &["flush revision"]]));
    // Without a condition it reads no field.
    assert!(store.store(&one, record(3), Any).await.unwrap().is_applied());
    made(&model, &["delegate", "set session", "delete expires", "set revision", "flush any"]);
    // The flush expects the expired record, because another writer may have replaced it.
    assert!(store.store(&one, expiring(4), Any).await.unwrap().is_applied());
    clock.set(later());
    model.calls();
    assert!(store.store(&one, record(5), Absent).await.unwrap().is_applied());
    made(&model, &joined(&[&LOOK, &["set session", "delete expires", "set revision", "flush revision"]]));
}

#[tokio::test]
async fn an_operation_without_effect_does_not_flush() {
    let (store, model, clock) = store();
    let one = key("session:one");
    assert!(store.store(&one, expiring(1), Absent).await.unwrap().is_applied());
    model.calls();

    // A conflict returns the record.
    let answer = store.store(&one, record(2), Absent).await.unwrap();
    assert_eq!(answer, Change::Conflict(Some(expiring(1))));
    made(&model, &joined(&[&LOOK, &["get session"]]));
    let answer = store.remove(&one, At(rev(9))).await.unwrap();
    assert_eq!(answer, Change::Conflict(Some(expiring(1))));
    made(&model, &joined(&[&LOOK, &["get session"]]));
    // A repeated change.
    assert!(store.store(&one, expiring(1), At(rev(9))).await.unwrap().is_applied());
    made(&model, &LOOK);
    assert!(store.touch(&one, Touch { from: rev(9), to: rev(1), deadline: None }).await.unwrap());
    made(&model, &LOOK);
    // A touch of another revision.
    assert!(!store.touch(&one, Touch { from: rev(8), to: rev(9), deadline: None }).await.unwrap());
    made(&model, &LOOK);
    // Removals of a missing and of an expired record.
    for gone in ["session:two", "session:one"] {
        if gone == "session:one" {
            clock.set(later());
        }
        model.calls();
        assert_eq!(store.remove(&key(gone), Any).await.unwrap(), Change::Conflict(None));
        assert!(store.remove(&key(gone), Absent).await.unwrap().is_applied());
        assert_eq!(store.remove(&key(gone), At(rev(1))).await.unwrap(), Change::Conflict(None));
        assert!(!store.touch(&key(gone), Touch { from: rev(1), to: rev(2), deadline: None }).await.unwrap());
        // A store of an expired record acts as a removal.
        let past = Record { expires: Some(NOW), ..record(3) };
        assert!(store.store(&key(gone), past.clone(), Absent).await.unwrap().is_applied());
        assert_eq!(store.store(&key(gone), past, At(rev(1))).await.unwrap(), Change::Conflict(None));
        let calls = model.calls();
        assert!(!calls.iter().any(|call| call.starts_with("flush")), "{gone}: {calls:?}");
    }
}

#[tokio::test]
async fn a_touch_does_not_set_the_data() {
    let (store, model, _) = store();
    let one = key("session:one");
    assert!(store.store(&one, expiring(1), Any).await.unwrap().is_applied());
    model.calls();
    assert!(store.touch(&one, Touch { from: rev(1), to: rev(2), deadline: Some(later()) }).await.unwrap());
    made(&model, &joined(&[&LOOK, &["set expires", "set revision", "flush revision"]]));
    assert!(store.touch(&one, Touch { from: rev(2), to: rev(3), deadline: None }).await.unwrap());
    made(&model, &joined(&[&LOOK, &["delete expires", "set revision", "flush revision"]]));
    // A deadline in the past ends the record.
    assert!(store.touch(&one, Touch { from: rev(3), to: rev(4), deadline: Some(NOW) }).await.unwrap());
    made(&model, &joined(&[&LOOK, &EMPTY, &["flush revision"]]));
    assert!(!model.has("one"));
}

#[tokio::test]
async fn a_removed_record_is_one_flush_of_empty_fields() {
    let (store, model, clock) = store();
    let one = key("session:one");
    let (at, past) = (At(rev(1)), Record { expires: Some(NOW), ..record(9) });
    for (ends, look, flush) in [
        (ChangeRequest::Remove { condition: Any }, &LOOK[..], "flush revision"),
        (ChangeRequest::Remove { condition: at }, &LOOK, "flush revision"),
        (ChangeRequest::Store { record: past.clone(), condition: Any }, &["delegate"], "flush any"),
        (ChangeRequest::Store { record: past, condition: at }, &LOOK, "flush revision"),
    ] {
        assert!(store.store(&one, expiring(1), Any).await.unwrap().is_applied());
        model.calls();
        let answer = match ends.clone() {
            ChangeRequest::Store { record, condition } => store.store(&one, record, condition).await,
            ChangeRequest::Remove { condition } => store.remove(&one, condition).await,
            ChangeRequest::Touch(_) => continue,
        };
        assert!(answer.unwrap().is_applied());
        made(&model, &joined(&[look, &EMPTY, &[flush]]));
        assert!(!model.has("one"), "{ends:?}");
    }
    assert!(store.store(&one, expiring(1), Any).await.unwrap().is_applied());
    clock.set(later());
    model.calls();
    assert_eq!(store.purge(1).await.unwrap().removed, 1);
    made(&model, &joined(&[&["expired"], &LOOK, &EMPTY, &["flush revision", "expired"]]));
    assert!(!model.has("one"));
}

#[tokio::test]
async fn a_refused_operation_does_not_call_the_model() {
    let (store, model, _) = store();
    let one = key("session:one");
    let large = Record::new(vec![0; 101], None, rev(1));
    assert_eq!(store.store(&one, large, Any).await.unwrap_err().kind(), StoreErrorKind::TooLarge);
    let answer = store.traverse(&Prefix::SESSION, Cursor::after(&key("user:a")), 1).await;
    assert_eq!(answer.unwrap_err().kind(), StoreErrorKind::InvalidCursor);
    made(&model, &[]);
    store.close().await.unwrap();
    made(&model, &["sync"]);
    assert_eq!(store.retrieve(&one).await.unwrap_err().kind(), StoreErrorKind::Closed);
    assert_eq!(store.flush().await.unwrap_err().kind(), StoreErrorKind::Closed);
    made(&model, &[]);
}

#[tokio::test]
async fn without_comparison_conditional_changes_are_unsupported() {
    let (store, model, _) = store_with(claims().conditional(false));
    let one = key("session:one");
    let touch = Touch { from: rev(1), to: rev(2), deadline: None };
    let errors = [
        store.store(&one, record(1), Absent).await.unwrap_err(),
        store.store(&one, record(1), At(rev(1))).await.unwrap_err(),
        store.remove(&one, At(rev(1))).await.unwrap_err(),
        store.touch(&one, touch).await.unwrap_err(),
        store.purge(1).await.unwrap_err(),
    ];
    assert!(errors.iter().all(|error| error.kind() == StoreErrorKind::Unsupported), "{errors:?}");
    made(&model, &[]);
    assert!(store.store(&one, expiring(1), Any).await.unwrap().is_applied());
    made(&model, &joined(&[&["delegate"], &WRITE, &["flush any"]]));
    assert!(store.remove(&one, Any).await.unwrap().is_applied());
    made(&model, &joined(&[&LOOK, &EMPTY, &["flush any"]]));
}

#[tokio::test]
async fn without_lists_traversal_and_purge_are_unsupported() {
    let store = DelegateStore::open(DelegateConfig::new(Objects::unlisted(claims())));
    let answer = store.traverse(&Prefix::SESSION, Cursor::start(), 1).await;
    assert_eq!(answer.unwrap_err().kind(), StoreErrorKind::Unsupported);
    assert_eq!(store.count(&Prefix::SESSION).await.unwrap_err().kind(), StoreErrorKind::Unsupported);
    assert_eq!(store.clear(&Prefix::SESSION).await.unwrap_err().kind(), StoreErrorKind::Unsupported);
    assert_eq!(store.purge(1).await.unwrap_err().kind(), StoreErrorKind::Unsupported);
}

#[tokio::test]
async fn an_error_of_the_mapping_fails_the_operation() {
    let model = Objects::new(claims());
    let refuse = |_: &Key| -> session_core::Result<Location> {
        Err(StoreError::new(StoreErrorKind::Misconfigured, Operation::Parse).with_detail("no such prefix"))
    };
    let store = DelegateStore::open(DelegateConfig::new(model.clone()).mapping(refuse));
    let error =
        store.touch(&key("user:one"), Touch { from: rev(1), to: rev(2), deadline: None }).await.unwrap_err();
    assert_eq!((error.kind(), error.operation()), (StoreErrorKind::Misconfigured, Operation::Touch));
    made(&model, &[]);
}

#[tokio::test]
async fn a_wrong_or_repeated_list_is_an_error() {
    for listed in ["user:one", "session:one"] {
        let (store, ..) = store_in(Objects::listing(listed));
        assert_eq!(store.count(&Prefix::SESSION).await.unwrap_err().kind(), StoreErrorKind::Backend);
    }
}
