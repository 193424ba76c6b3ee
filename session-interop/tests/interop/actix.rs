//! `ActixStore` through the trait of actix-session, as its middleware calls it.

use std::collections::HashMap;
use std::error::Error as _;
use std::time::Duration as StdDuration;

use actix_session_0_11::storage::{LoadError, SessionKey, SessionStore, UpdateError};
use session_core::{Condition, Driver, DynDriver, Record, Revision};
use session_interop::{ActixStore, Error, ErrorKind, RESERVED};
use time::Duration;

use crate::stores::{keys, memory, sqlite};

const HOUR: Duration = Duration::HOUR;

type Values = HashMap<String, String>;

fn values(pairs: &[(&str, &str)]) -> Values {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

async fn load(store: &ActixStore<DynDriver>, key: &SessionKey) -> Option<Values> {
    store.load(key).await.unwrap()
}

/// The values without the one that the store has added.
async fn loaded(store: &ActixStore<DynDriver>, key: &SessionKey) -> Option<Values> {
    let mut found = load(store, key).await?;
    assert!(found.remove(RESERVED).is_some());
    Some(found)
}

/// The key, which cannot be cloned.
fn copy(key: &SessionKey) -> SessionKey {
    SessionKey::try_from(key.as_ref().to_owned()).unwrap()
}

/// The kind of a refused update.
async fn refused(store: &ActixStore<DynDriver>, key: &SessionKey, values: Values) -> ErrorKind {
    let Err(UpdateError::Other(error)) = store.update(copy(key), values, &HOUR).await else {
        panic!("the update was not refused");
    };
    error.downcast_ref::<Error>().unwrap().kind()
}

#[tokio::test]
async fn update_after_delete_brings_nothing_back() {
    let (drivers, _directory) = sqlite();
    let [ours, theirs] = drivers.map(ActixStore::new);
    let key = ours.save(values(&[("n", "1")]), &HOUR).await.unwrap();
    let mut late = load(&ours, &key).await.unwrap();
    late.insert("n".into(), "2".into());
    theirs.delete(&key).await.unwrap();
    assert_eq!(refused(&ours, &key, late).await, ErrorKind::Ended);
    assert_eq!(refused(&ours, &key, values(&[("n", "3")])).await, ErrorKind::Ended, "without a base");
    assert_eq!(load(&ours, &key).await, None);
    assert_eq!(keys(ours.driver(), "actix-session").await.len(), 0, "nor is there another session");
    ours.update_ttl(&key, &HOUR).await.unwrap();
    ours.delete(&key).await.unwrap();
    assert_eq!(load(&ours, &key).await, None);
}

#[tokio::test]
async fn concurrent_updates_are_joined_or_refused() {
    let (driver, _) = memory();
    let store = ActixStore::new(driver);
    let key = store.save(values(&[("a", "1"), ("b", "1")]), &HOUR).await.unwrap();
    let [mut one, mut two, mut three] =
        [load(&store, &key).await, load(&store, &key).await, load(&store, &key).await].map(Option::unwrap);
    one.insert("a".into(), "2".into());
    two.remove("b");
    three.insert("a".into(), "3".into());
    assert_eq!(store.update(copy(&key), one, &HOUR).await.unwrap().as_ref(), key.as_ref());
    assert_eq!(store.update(copy(&key), two, &HOUR).await.unwrap().as_ref(), key.as_ref());
    assert_eq!(refused(&store, &key, three).await, ErrorKind::Changed);
    assert_eq!(loaded(&store, &key).await, Some(values(&[("a", "2")])));
}

#[tokio::test]
async fn session_lives_for_its_ttl() {
    let (driver, clock) = memory();
    let store = ActixStore::new(driver);
    let key = store.save(values(&[("n", "1")]), &Duration::seconds(10)).await.unwrap();
    let late = load(&store, &key).await.unwrap();
    clock.advance(StdDuration::from_millis(9_999));
    store.update_ttl(&key, &Duration::seconds(10)).await.unwrap();
    clock.advance(StdDuration::from_millis(9_999));
    assert_eq!(loaded(&store, &key).await, Some(values(&[("n", "1")])));
    clock.advance(StdDuration::from_millis(1));
    assert_eq!(load(&store, &key).await, None);
    store.update_ttl(&key, &HOUR).await.unwrap();
    assert_eq!(refused(&store, &key, late).await, ErrorKind::Ended);
    let gone = store.save(values(&[("n", "1")]), &Duration::seconds(-1)).await.unwrap();
    assert_eq!(load(&store, &gone).await, None);
    store.delete_expired().await.unwrap();
    assert_eq!(store.driver().purge(10).await.unwrap().removed, 0);
}

#[tokio::test]
async fn renewed_session_has_its_values_under_a_new_key() {
    let (driver, _) = memory();
    let store = ActixStore::new(driver);
    let old = store.save(values(&[("n", "1")]), &HOUR).await.unwrap();
    let state = load(&store, &old).await.unwrap();
    // As the middleware does it.
    store.delete(&old).await.unwrap();
    let new = store.save(state, &HOUR).await.unwrap();
    assert_ne!(new.as_ref(), old.as_ref());
    assert_eq!(loaded(&store, &new).await, Some(values(&[("n", "1")])));
}

#[tokio::test]
async fn store_holds_no_key_of_a_client() {
    let (driver, _) = memory();
    let store = ActixStore::new(driver.clone());
    let key = store.save(values(&[("n", "1")]), &HOUR).await.unwrap();
    let stored = keys(&driver, "actix-session").await;
    assert_eq!((stored.len(), stored[0].id().len()), (1, 43));
    let record = driver.retrieve(&stored[0]).await.unwrap().unwrap();
    let kept = [stored[0].as_bytes(), &record.data].concat();
    assert!(!kept.windows(key.as_ref().len()).any(|part| part == key.as_ref().as_bytes()));
}

#[tokio::test]
async fn failures_of_the_store_have_the_right_kind() {
    let (driver, _) = memory();
    let store = ActixStore::new(driver.clone());
    let key = store.save(values(&[("n", "1")]), &HOUR).await.unwrap();
    let foreign = Record::new(&b"\x01"[..], None, Revision::random().unwrap());
    let stored = keys(&driver, "actix-session").await.remove(0);
    assert!(driver.store(&stored, foreign, Condition::Any).await.unwrap().is_applied());
    assert!(matches!(store.load(&key).await, Err(LoadError::Deserialization(_))));
    driver.close().await.unwrap();
    let Err(LoadError::Other(error)) = store.load(&key).await else { panic!("a closed store answers") };
    let error = error.downcast_ref::<Error>().unwrap();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert_eq!(error.source().unwrap().to_string(), "retrieve: the store is closed");
}
