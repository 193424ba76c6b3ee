//! Every operation is one unit of work: the object, its accessors, and at most one flush.

use std::convert::Infallible;

use session_core::Condition::{self, Absent, Any, Revision as At};
use session_core::{
    Capabilities, Change, Cursor, Driver, DriverExt, Entry, Key, Operation, Prefix, Record, StoreError,
    StoreErrorKind, Touch,
};
use session_store_delegate::{Delegate, DelegateConfig, DelegateStore, Flushed, Location, Model, Value};

use super::{NOW, claims, expiring, key, later, record, rev, store, store_with};
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
    let past = Record { expires: Some(NOW), ..record(9) };
    for ending in 0..5 {
        assert!(store.store(&one, expiring(1), Any).await.unwrap().is_applied());
        assert!(model.has("one"));
        model.calls();
        let (look, flush) = match ending {
            0 => {
                assert!(store.remove(&one, Any).await.unwrap().is_applied());
                (true, "flush revision")
            }
            1 => {
                assert!(store.remove(&one, At(rev(1))).await.unwrap().is_applied());
                (true, "flush revision")
            }
            2 => {
                assert!(store.store(&one, past.clone(), Any).await.unwrap().is_applied());
                (false, "flush any")
            }
            3 => {
                assert!(store.store(&one, past.clone(), At(rev(1))).await.unwrap().is_applied());
                (true, "flush revision")
            }
            _ => {
                clock.set(later());
                assert_eq!(store.purge(1).await.unwrap().removed, 1);
                assert_eq!(
                    model.calls(),
                    joined(&[&["expired"], &LOOK, &EMPTY, &["flush revision", "expired"]])
                );
                assert!(!model.has("one"));
                return;
            }
        };
        let look: &[&str] = if look { &LOOK } else { &["delegate"] };
        made(&model, &joined(&[look, &EMPTY, &[flush]]));
        assert!(!model.has("one"), "ending {ending}");
    }
}

#[tokio::test]
async fn a_refused_operation_does_not_call_the_model() {
    let (store, model, _) = store();
    let one = key("session:one");
    let large = Record::new(vec![0; 101], None, rev(1));
    assert_eq!(store.store(&one, large, Any).await.unwrap_err().kind(), StoreErrorKind::TooLarge);
    for cursor in [&b"\x01session:a"[..], b"\x01", b"user:a", b"session:", b"\xff"] {
        let cursor = Cursor::from_bytes(cursor.to_vec());
        let answer = store.traverse(&Prefix::SESSION, cursor, 1).await;
        assert_eq!(answer.unwrap_err().kind(), StoreErrorKind::InvalidCursor);
    }
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
    assert_eq!(store.store(&one, record(1), Absent).await.unwrap_err().kind(), StoreErrorKind::Unsupported);
    assert_eq!(
        store.store(&one, record(1), At(rev(1))).await.unwrap_err().kind(),
        StoreErrorKind::Unsupported
    );
    assert_eq!(store.remove(&one, At(rev(1))).await.unwrap_err().kind(), StoreErrorKind::Unsupported);
    assert_eq!(
        store.touch(&one, Touch { from: rev(1), to: rev(2), deadline: None }).await.unwrap_err().kind(),
        StoreErrorKind::Unsupported
    );
    assert_eq!(store.purge(1).await.unwrap_err().kind(), StoreErrorKind::Unsupported);
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

/// A model that always lists one key.
struct Liar(&'static str);

struct Nothing;

impl Delegate for Nothing {
    type Error = Infallible;

    fn get(&self, _: &str) -> Result<Option<Value>, Infallible> {
        Ok(None)
    }
    fn set(&mut self, _: &str, _: Value) -> Result<(), Infallible> {
        Ok(())
    }
    fn delete(&mut self, _: &str) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Model for Liar {
    type Delegate = Nothing;
    type Error = Infallible;

    async fn delegate(&self, _: &Location) -> Result<Nothing, Infallible> {
        Ok(Nothing)
    }
    async fn flush(&self, _: &Location, _: Nothing, _: Condition) -> Result<Flushed, Infallible> {
        Ok(Flushed::Yes)
    }
    fn capabilities(&self) -> Capabilities {
        claims()
    }
    async fn list(&self, _: &Prefix, _: Option<&Key>, _: usize) -> Result<Option<Vec<Entry>>, Infallible> {
        Ok(Some(vec![Entry::new(key(self.0))]))
    }
}

#[tokio::test]
async fn a_wrong_or_repeated_list_is_an_error() {
    let answer = DelegateStore::open(DelegateConfig::new(Liar("user:one"))).count(&Prefix::SESSION).await;
    assert_eq!(answer.unwrap_err().kind(), StoreErrorKind::Backend);
    let answer = DelegateStore::open(DelegateConfig::new(Liar("session:one"))).count(&Prefix::SESSION).await;
    assert_eq!(answer.unwrap_err().kind(), StoreErrorKind::Backend);
}
