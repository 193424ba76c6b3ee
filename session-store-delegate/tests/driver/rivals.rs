//! Another writer changes the object between the look and the flush.

use std::collections::BTreeMap;

use bytes::Bytes;
use session_core::Condition::{Absent, Any, Revision as At};
use session_core::{Applied, Change, Driver, StoreErrorKind, Touch};
use session_store_delegate::Value;

use super::{Store, expiring, key, later, record, rev, store};
use crate::objects::{Object, Objects};

/// Stores record `number` under `session:one`, as the other writer.
fn put(objects: &mut BTreeMap<String, Object>, number: u8) {
    let object = objects.entry("one".into()).or_default();
    object.clear();
    object.insert("session".into(), Value::Bytes(Bytes::from(vec![number])));
    object.insert("revision".into(), Value::Bytes(Bytes::copy_from_slice(&rev(number).to_bytes())));
}

fn rival_puts(model: &Objects, number: u8) {
    model.calls();
    model.rival(move |objects| {
        put(objects, number);
        false
    });
}

fn rival_removes(model: &Objects) {
    model.calls();
    model.rival(|objects| {
        objects.remove("one");
        false
    });
}

/// The number of units of work, and of flushes.
fn units(model: &Objects) -> (usize, usize) {
    let calls = model.calls();
    let count = |word: &str| calls.iter().filter(|call| call.starts_with(word)).count();
    (count("delegate"), count("flush"))
}

async fn with_one() -> (Store, Objects, session_core::TestClock) {
    let (store, model, clock) = store();
    assert!(store.store(&key("session:one"), expiring(1), Any).await.unwrap().is_applied());
    (store, model, clock)
}

#[tokio::test]
async fn the_second_of_two_stores_gets_the_record_of_the_first() {
    let (store, model, _) = with_one().await;
    rival_puts(&model, 7);
    let answer = store.store(&key("session:one"), record(2), At(rev(1))).await.unwrap();
    assert_eq!(answer, Change::Conflict(Some(record(7))));
    assert_eq!(units(&model), (2, 1));

    let (store, model, _) = super::store();
    rival_puts(&model, 7);
    let answer = store.store(&key("session:one"), record(2), Absent).await.unwrap();
    assert_eq!(answer, Change::Conflict(Some(record(7))));
    assert_eq!(units(&model), (2, 1));
}

#[tokio::test]
async fn a_change_that_the_rival_made_is_applied() {
    let (store, model, _) = with_one().await;
    rival_puts(&model, 2);
    assert!(store.store(&key("session:one"), record(2), At(rev(1))).await.unwrap().is_applied());
    assert_eq!(units(&model), (2, 1));

    let (store, model, _) = with_one().await;
    rival_puts(&model, 2);
    assert!(
        store.touch(&key("session:one"), Touch { from: rev(1), to: rev(2), deadline: None }).await.unwrap()
    );
    assert_eq!(units(&model), (2, 1));
}

#[tokio::test]
async fn a_removed_record_does_not_come_back() {
    let one = key("session:one");
    let (store, model, _) = with_one().await;
    rival_removes(&model);
    assert_eq!(store.store(&one, record(2), At(rev(1))).await.unwrap(), Change::Conflict(None));
    assert_eq!(units(&model), (2, 1));

    let (store, model, _) = with_one().await;
    rival_removes(&model);
    assert!(!store.touch(&one, Touch { from: rev(1), to: rev(2), deadline: None }).await.unwrap());
    assert!(!model.has("one"));

    let (store, model, _) = with_one().await;
    rival_removes(&model);
    assert_eq!(store.remove(&one, Any).await.unwrap(), Change::Conflict(None), "the other writer removed it");
}

#[tokio::test]
async fn remove_any_removes_the_rivals_record() {
    let (store, model, _) = with_one().await;
    rival_puts(&model, 7);
    assert!(store.remove(&key("session:one"), Any).await.unwrap().is_applied());
    assert_eq!(units(&model), (2, 2));
    assert!(!model.has("one"));
}

#[tokio::test]
async fn a_create_over_an_expired_record_survives_a_purge() {
    let (store, model, clock) = with_one().await;
    clock.set(later());
    rival_removes(&model);
    assert!(store.store(&key("session:one"), record(2), Absent).await.unwrap().is_applied());
    assert_eq!(units(&model), (2, 2));
    assert_eq!(store.retrieve(&key("session:one")).await.unwrap(), Some(record(2)));
}

#[tokio::test]
async fn a_purge_spares_a_new_record() {
    let (store, model, clock) = with_one().await;
    clock.set(later());
    rival_puts(&model, 7);
    assert_eq!(store.purge(5).await.unwrap().removed, 0);
    assert_eq!(units(&model), (1, 1));
    assert_eq!(store.retrieve(&key("session:one")).await.unwrap(), Some(record(7)));
}

#[tokio::test]
async fn endless_conflicts_are_unavailable() {
    let (store, model, _) = with_one().await;
    model.calls();
    let mut turn = 1_u8;
    model.rival(move |objects| {
        turn = turn % 100 + 1;
        put(objects, turn);
        true
    });
    let error = store.remove(&key("session:one"), Any).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Unavailable, Applied::No));
    assert_eq!(units(&model), (1_000, 1_000));
}
